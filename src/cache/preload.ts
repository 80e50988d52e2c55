/**
 * Loads the images of a list beside serving, behind all that clients want. What fails is logged and tried again, after a minute, two, and so on up to
 * an hour; what is complete is left alone. Where no registry may be asked, it is only said what is missing.
 */
import { OVER } from '../async/over.ts'
import type { Clock } from '../observe/clock.ts'
import type { Log } from '../observe/log.ts'
import type { ImageLoader } from './image-loader.ts'
import type { ImageProgress, LoadCounts } from './image-progress.ts'
import { type Listed, LoadRun, nameOf } from './load-run.ts'

export type PreloadDeps = {
  readonly loader: ImageLoader
  /** Reads the list; again before each try, since it may have been mended. @throws Error that says in one line what is wrong with it */
  readonly list: () => Promise<readonly Listed[]>
  readonly concurrency: number
  readonly airGapped: boolean
  readonly clock: Clock
  readonly log: Log
}

/** @property problem why the list cannot be read; what it had before counts */
export type PreloadProgress = LoadCounts & { readonly problem?: string }

const FIRST_WAIT_MS = 60_000
const LONGEST_WAIT_MS = 3600_000

export class Preload {
  readonly #deps: PreloadDeps
  readonly #stopping = new AbortController()
  /** By name: they are not looked at again. */
  readonly #complete = new Set<string>()
  /** By name, those that the last try failed for. */
  readonly #failed = new Set<string>()
  #listed: readonly string[] = []
  #problem: string | undefined
  #current: LoadRun<Listed> | undefined
  #pause = new AbortController()
  #loop = Promise.resolve()

  constructor(deps: PreloadDeps) {
    this.#deps = deps
  }

  get progress(): PreloadProgress {
    const running = new Set(this.#current?.running.map(({ name }) => name))
    return {
      listed: this.#listed.length,
      complete: this.#listed.filter((name) => this.#complete.has(name)).length,
      failed: this.#listed.filter((name) => this.#failed.has(name) && !running.has(name)).length,
      running: running.size,
      ...(this.#problem === undefined ? {} : { problem: this.#problem }),
    }
  }

  start(): void {
    this.#loop = this.#run()
  }

  /** Tries at once what is left: what kept it from being stored is over. */
  again(): void {
    this.#pause.abort(OVER)
  }

  /** Resolves when nothing is being loaded any more; downloads end with the cache. */
  async stop(): Promise<void> {
    this.#stopping.abort(OVER)
    await this.#loop
  }

  async #run(): Promise<void> {
    const { clock, log } = this.#deps
    const { signal } = this.#stopping
    for (let waitMs = FIRST_WAIT_MS; ; waitMs = Math.min(2 * waitMs, LONGEST_WAIT_MS)) {
      const isOver = await this.#round().catch((error: unknown) => {
        log.error('cannot preload images', { error })
        return false
      })
      this.#pause = new AbortController()
      if (!isOver) await clock.sleep(waitMs, AbortSignal.any([signal, this.#pause.signal]))
      if (isOver || signal.aborted) return
    }
  }

  /** @returns whether there is nothing left to be tried */
  async #round(): Promise<boolean> {
    const { loader, concurrency, airGapped, log } = this.#deps
    const listed = await this.#read()
    const left = listed.filter((item) => !this.#complete.has(nameOf(item)))
    const run = new LoadRun(left, { loader, concurrency, onResult: (_, image) => this.#note(image) })
    this.#current = run
    await run.run(this.#stopping.signal)
    const failed = run.images.filter(({ progress: { result } }) => result?.is === 'failed').length
    if (this.#stopping.signal.aborted) return true
    const { fetchedBytes } = run.amounts()
    log.info('images of the preload list', { complete: listed.length - failed, failed, fetchedBytes })
    return failed === 0 || airGapped
  }

  async #read(): Promise<readonly Listed[]> {
    try {
      const listed = await this.#deps.list()
      this.#listed = listed.map(nameOf)
      this.#problem = undefined
      return listed
    } catch (error) {
      this.#problem = (error as Error).message
      throw error
    }
  }

  #note({ name, result }: ImageProgress): void {
    const { airGapped, log } = this.#deps
    if (result === undefined || result.is === 'stopped') return
    for (const warning of result.warnings) log.warn('preloading', { image: name, warning })
    if (result.is === 'failed') {
      this.#failed.add(name)
      log.warn(airGapped ? 'an image of the preload list is missing' : 'could not preload an image; it is tried again', {
        image: name,
        why: result.why,
      })
      return
    }
    this.#failed.delete(name)
    this.#complete.add(name)
    log[result.is === 'loaded' ? 'info' : 'debug']('image preloaded', { image: name, digest: result.digest, was: result.is })
  }
}
