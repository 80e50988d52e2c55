/** Loads images for whoever wants them whole: the command, the server beside serving, its admin API. One that fails is told, and stops no other. */
import { setMaxListeners } from 'node:events'
import type { Clock } from '../observe/clock.ts'
import type { Log } from '../observe/log.ts'
import { formatImageName, type ImageName } from '../oci/image-name.ts'
import { isSystemError } from '../store/space.ts'
import { troubleOf } from './answer.ts'
import { ImageLoad, type ImageLoadDeps, LoadError, type LoadOptions } from './image-load.ts'
import type { ImageProgress, LoadResult } from './image-progress.ts'
import { Persistence } from './persistence.ts'
import { NotStoredError } from './supply.ts'

export type ImageLoaderDeps = Omit<ImageLoadDeps, 'persistence'> & {
  readonly clock: Clock
  readonly log: Log
}

export class ImageLoader {
  readonly #options: LoadOptions
  readonly #deps: ImageLoadDeps
  readonly #log: Log

  constructor(options: LoadOptions, { clock, log, ...deps }: ImageLoaderDeps) {
    this.#options = options
    this.#deps = { ...deps, persistence: new Persistence({ clock, log }) }
    this.#log = log
  }

  /**
   * Never rejects: what went wrong is in the result, which is in `progress` as well.
   * @param signal ends the wait; downloads go on until the cache stops, and are continued by the next one
   */
  async load(name: ImageName, progress: ImageProgress, signal: AbortSignal): Promise<LoadResult> {
    setMaxListeners(0, signal) // each thing that an image waits for listens to it
    const load = new ImageLoad(name, this.#options, progress, signal, this.#deps)
    progress.result = await this.#resultOf(load, name, signal)
    progress.phase = 'over'
    return progress.result
  }

  async #resultOf(load: ImageLoad, name: ImageName, signal: AbortSignal): Promise<LoadResult> {
    const { warnings } = load
    try {
      const digest = await load.run()
      return { is: load.hasFetched ? 'loaded' : 'complete', digest, warnings }
    } catch (error) {
      if (signal.aborted) return { is: 'stopped', warnings }
      const isExpected =
        troubleOf(error) !== undefined || error instanceof LoadError || error instanceof NotStoredError || isSystemError(error)
      if (!isExpected) this.#log.error('could not load an image', { image: formatImageName(name), error })
      return { is: 'failed', why: (error as Error).message, warnings }
    }
  }
}
