/**
 * What SIGHUP does to a running server: the configuration is read again as at the start, by the same flags; if it has no mistake, what can change
 * without a restart does, all at once. What came of it is logged whatever the level: somebody has asked.
 */
import { changesBetween } from '../config/changes.ts'
import { ConfigError } from '../config/error.ts'
import type { LoadedConfig } from '../config/load.ts'
import type { Log } from '../observe/log.ts'
import type { LogOutput } from '../observe/log-output.ts'
import { printable } from '../observe/printable.ts'
import type { Service } from '../server/service.ts'

/** An editor or a tool that writes into the file has emptied it first: to go by that would open all that its settings close. */
const FOUND_EMPTY = 'found no settings, want some, or {} for none; is it being written? write it beside, and mv it'

export type ReloaderDeps = {
  /** As at the start. @throws ConfigError */
  readonly load: () => Promise<LoadedConfig>
  /** What the server was started with. */
  readonly started: LoadedConfig
  readonly service: Pick<Service, 'reload'>
  readonly output: Pick<LogOutput, 'reopen'>
  readonly log: Log
  /** Told before each reload. */
  readonly onBegin: () => void
  /** Told after it. @param problem one line, if not all is as the file says now */
  readonly onEnd: (problem: string | undefined) => void
}

export class Reloader {
  readonly #deps: ReloaderDeps
  #settings: LoadedConfig['settings']
  /** Whether the file that counts says nothing. */
  #isEmpty: boolean
  #isWanted = false
  #running: Promise<void> | undefined

  constructor(deps: ReloaderDeps) {
    this.#deps = deps
    this.#settings = deps.started.settings
    this.#isEmpty = deps.started.emptyFile !== undefined
  }

  /** One reload after the other; those that are asked for while one runs are one. Resolves when none is left. Never rejects. */
  reload(): Promise<void> {
    this.#isWanted = true
    this.#running ??= this.#whileWanted().finally(() => {
      this.#running = undefined
    })
    return this.#running
  }

  async #whileWanted(): Promise<void> {
    while (this.#isWanted) {
      this.#isWanted = false
      this.#deps.onBegin()
      this.#reopen()
      const problem = await this.#once().catch((error: unknown) => this.#tellFailure(error))
      this.#deps.onEnd(problem && printable(problem))
    }
  }

  /** First, so that what follows is said in the new file: whoever rotates logs wants no more than this. */
  #reopen(): void {
    const { output, log } = this.#deps
    try {
      output.reopen()
    } catch (error) {
      log.error('cannot open the log file again; the old one goes on', { error })
    }
  }

  /** @returns what waits for a restart. @throws ConfigError */
  async #once(): Promise<string | undefined> {
    const { load, service, log } = this.#deps
    const { config, warnings, settings, emptyFile } = await load()
    if (emptyFile !== undefined && !this.#isEmpty) throw new ConfigError(`${emptyFile}: ${FOUND_EMPTY}`)
    const changes = changesBetween(this.#settings, settings)
    await service.reload(config)
    this.#settings = changes.settings
    this.#isEmpty = emptyFile !== undefined
    log.info(`configuration reloaded; ${changes.live.length === 0 ? 'nothing has changed' : `changed: ${changes.live.join(', ')}`}`)
    const waiting = changes.waiting.length === 0 ? undefined : `needs a restart: ${changes.waiting.join(', ')}`
    if (waiting !== undefined) log.warn(waiting)
    for (const warning of warnings) log.warn(warning)
    return waiting
  }

  /** @returns the failure in one line */
  #tellFailure(error: unknown): string {
    const { log } = this.#deps
    if (error instanceof ConfigError) {
      const failure = `configuration not reloaded, all stays as it was: ${error.message}`
      log.error(failure)
      return failure
    }
    log.error('bug: the configuration could not be reloaded', { error, bug: true })
    return 'the configuration could not be reloaded: see the log'
  }
}
