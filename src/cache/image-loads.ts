/** Loading images in the background for whoever asks the running server to: all that is asked for at once is loaded together, some at a time. */
import { OVER } from '../async/over.ts'
import type { Config } from '../config/config.ts'
import type { Log } from '../observe/log.ts'
import type { ImageName } from '../oci/image-name.ts'
import type { Platform } from '../oci/manifest.ts'
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

export interface ImageLoads {
  /** Queues them; what goes wrong with one is logged, and stops no other. */
  load(images: readonly ImageName[], options: ImageLoadOptions): void
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
  #run: Pick<LoadRun<never>, 'running'> | undefined
  /** One request after the other: each takes the places that the configuration gives. */
  #runs = Promise.resolve()

  constructor(deps: ImageLoadQueueDeps) {
    this.#deps = deps
  }

  get progress(): LoadCounts | undefined {
    return this.#counts.listed === 0 ? undefined : { ...this.#counts, running: this.#run?.running.length ?? 0 }
  }

  load(images: readonly ImageName[], { platforms, referrers }: ImageLoadOptions): void {
    const { newLoader, settings } = this.#deps
    const defaults = settings.load
    const options = { platforms: platforms ?? defaults.platforms, referrers: referrers ?? defaults.referrers }
    const loader = newLoader({ ...options, urgency: 'background' })
    const items = images.map((image) => ({ image }))
    const run = new LoadRun(items, { loader, concurrency: defaults.concurrency, onResult: (_, image) => this.#note(image) })
    this.#counts.listed += images.length
    this.#runs = this.#runs.then(() => {
      this.#run = run
      return run.run(this.#stopping.signal)
    })
  }

  /** Resolves when nothing is being loaded any more. */
  async stop(): Promise<void> {
    this.#stopping.abort(OVER)
    await this.#runs
  }

  #note({ name, result }: ImageProgress): void {
    const { log } = this.#deps
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
