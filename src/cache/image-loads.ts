/**
 * Loading images in the background for whoever asks the running server to: all that is asked for at once is loaded together, some at a time. An image
 * that waits or is being loaded already is not queued again, and no more than so many do.
 */
import { OVER } from '../async/over.ts'
import type { Config } from '../config/config.ts'
import type { Log } from '../observe/log.ts'
import { formatImageName, type ImageName } from '../oci/image-name.ts'
import type { Platform } from '../oci/manifest.ts'
import { formatPlatform } from '../oci/platform.ts'
import type { LoadOptions } from './image-load.ts'
import type { ImageLoader } from './image-loader.ts'
import type { ImageProgress, LoadCounts } from './image-progress.ts'
import { LoadRun } from './load-run.ts'

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

export class ImageLoadQueue implements ImageLoads {
  readonly #deps: ImageLoadQueueDeps
  readonly #stopping = new AbortController()
  readonly #counts = { listed: 0, complete: 0, failed: 0 }
  /** Images that are not over, with the way in which they are to be loaded. */
  readonly #queued = new Set<string>()
  #run: Pick<LoadRun<never>, 'running'> | undefined
  /** One request after the other: each takes the places that the configuration gives. */
  #runs = Promise.resolve()

  constructor(deps: ImageLoadQueueDeps) {
    this.#deps = deps
  }

  get progress(): LoadCounts | undefined {
    return this.#counts.listed === 0 ? undefined : { ...this.#counts, running: this.#run?.running.length ?? 0 }
  }

  load(images: readonly ImageName[], { platforms, referrers }: ImageLoadOptions): readonly ImageName[] {
    const { newLoader, settings } = this.#deps
    const { concurrency, ...defaults } = settings.load
    const options = { platforms: platforms ?? defaults.platforms, referrers: referrers ?? defaults.referrers }
    const way = wayOf(options)
    const named = new Map(images.map((image) => [`${formatImageName(image)} ${way}`, image]))
    const items = Array.from(named, ([key, image]) => ({ key, image })).filter(({ key }) => !this.#queued.has(key))
    const joined = [...named].filter(([key]) => this.#queued.has(key)).map(([, image]) => image)
    this.#refuseTooMany(items.length)
    if (items.length === 0) return joined
    const loader = newLoader({ ...options, urgency: 'background' })
    const run = new LoadRun(items, { loader, concurrency, onResult: ({ key }, image) => this.#note(key, image) })
    for (const { key } of items) this.#queued.add(key)
    this.#counts.listed += items.length
    this.#runs = this.#runs.then(() => {
      this.#run = run
      return run.run(this.#stopping.signal)
    })
    return joined
  }

  /** Resolves when nothing is being loaded any more. */
  async stop(): Promise<void> {
    this.#stopping.abort(OVER)
    await this.#runs
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
