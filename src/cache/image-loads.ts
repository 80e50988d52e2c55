/**
 * Loading images in the background for whoever asks the running server to: in the order in which they were asked for, some at a time, whoever asked. An
 * image that waits or is being loaded already is not queued again, and no more than so many do.
 */
import { OVER } from '../async/over.ts'
import type { Config } from '../config/config.ts'
import type { Log } from '../observe/log.ts'
import { formatImageName, type ImageName } from '../oci/image-name.ts'
import type { Platform } from '../oci/manifest.ts'
import { formatPlatform } from '../oci/platform.ts'
import type { LoadOptions } from './image-load.ts'
import type { ImageLoader } from './image-loader.ts'
import { BlobLedger, ImageProgress, type LoadCounts } from './image-progress.ts'

/** What is left out is as the configuration has it. */
export type ImageLoadOptions = {
  readonly platforms?: readonly Platform[] | 'all'
  /** Whether signatures, SBOMs and attestations come along. */
  readonly referrers?: boolean
}

/** Too many images are queued. */
export class LoadsFull extends Error {}

/** More are for `preloadImages`. */
export const MOST_QUEUED = 1000

export interface ImageLoads {
  /**
   * Queues them; what goes wrong with one is logged, and stops no other.
   * @returns those that were queued already, to be loaded in the same way. @throws LoadsFull, and nothing is queued
   */
  load(images: readonly ImageName[], options: ImageLoadOptions): readonly ImageName[]
  /** Of all that were ever asked for; undefined before anything was. */
  readonly progress: LoadCounts | undefined
}

export type ImageLoadQueueDeps = {
  readonly newLoader: (options: Omit<LoadOptions, 'onlyLook'>) => ImageLoader
  /** Read each time. */
  readonly settings: Pick<Config, 'load'>
  readonly log: Log
}

type Item = { readonly key: string; readonly image: ImageName; readonly loader: ImageLoader }

export class ImageLoadQueue implements ImageLoads {
  readonly #deps: ImageLoadQueueDeps
  readonly #stopping = new AbortController()
  readonly #counts = { listed: 0, complete: 0, failed: 0 }
  /** Images that are not over, with the way in which they are to be loaded. */
  readonly #queued = new Set<string>()
  readonly #waiting: Item[] = []
  /** One that hangs takes a place, and holds up nothing else. */
  readonly #running = new Set<Promise<void>>()

  constructor(deps: ImageLoadQueueDeps) {
    this.#deps = deps
  }

  get progress(): LoadCounts | undefined {
    return this.#counts.listed === 0 ? undefined : { ...this.#counts, running: this.#running.size }
  }

  load(images: readonly ImageName[], { platforms, referrers }: ImageLoadOptions): readonly ImageName[] {
    const { newLoader, settings } = this.#deps
    const defaults = settings.load
    const options = { platforms: platforms ?? defaults.platforms, referrers: referrers ?? defaults.referrers }
    const way = wayOf(options)
    const named = new Map(images.map((image) => [`${formatImageName(image)} ${way}`, image]))
    const added = [...named].filter(([key]) => !this.#queued.has(key))
    const joined = [...named].filter(([key]) => this.#queued.has(key)).map(([, image]) => image)
    this.#refuseTooMany(added.length)
    if (added.length === 0) return joined
    const loader = newLoader({ ...options, urgency: 'background' })
    for (const [key, image] of added) {
      this.#queued.add(key)
      this.#waiting.push({ key, image, loader })
    }
    this.#counts.listed += added.length
    this.#begin()
    return joined
  }

  /** Resolves when nothing is being loaded any more. */
  async stop(): Promise<void> {
    this.#stopping.abort(OVER)
    await Promise.all(this.#running)
  }

  /** As many as there are places for. */
  #begin(): void {
    const { settings } = this.#deps
    while (this.#running.size < settings.load.concurrency && !this.#stopping.signal.aborted) {
      const next = this.#waiting.shift()
      if (next === undefined) return
      const running = this.#load(next).finally(() => {
        this.#running.delete(running)
        this.#begin()
      })
      this.#running.add(running)
    }
  }

  async #load({ key, image, loader }: Item): Promise<void> {
    const progress = new ImageProgress(formatImageName(image), new BlobLedger())
    await loader.load(image, progress, this.#stopping.signal)
    this.#note(key, progress)
  }

  #refuseTooMany(more: number): void {
    const { size } = this.#queued
    if (size + more <= MOST_QUEUED) return
    throw new LoadsFull(`${MOST_QUEUED} images may be queued: ${size} are, and ${more} more is too many; ask again later, or for fewer`)
  }

  #note(key: string, { name, result }: ImageProgress): void {
    const { log } = this.#deps
    this.#queued.delete(key)
    if (result === undefined || result.is === 'stopped') return
    for (const warning of result.warnings) log.warn('loading', { image: name, warning })
    if (result.is === 'failed') {
      this.#counts.failed++
      log.warn('could not load an image', { image: name, why: result.why })
      return
    }
    this.#counts.complete++
    log.info('image loaded', { image: name, digest: result.digest, was: result.is })
  }
}

/** The same for all that comes to the same. */
function wayOf({ platforms, referrers }: Pick<LoadOptions, 'platforms' | 'referrers'>): string {
  const names = platforms === 'all' ? platforms : [...new Set(platforms.map(formatPlatform))].sort().join(',')
  return `${names} ${referrers}`
}
