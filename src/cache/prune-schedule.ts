/** Removes images in the background, as `pruneConfig` says: each time that its interval is over, also when that was while nobody ran. */
import { OVER } from '../async/over.ts'
import type { PruneConfig } from '../config/config.ts'
import type { Clock } from '../observe/clock.ts'
import type { Log } from '../observe/log.ts'
import type { PruneNote } from '../store/prune-note.ts'
import type { StoreNote } from '../store/store-note.ts'
import { PruneRefused, type PruneReport, type Prunes } from './prune-report.ts'
import type { PruneRules } from './retention.ts'

export type PruneScheduleDeps = {
  readonly settings: PruneConfig
  readonly pruner: Prunes
  readonly note: StoreNote<PruneNote>
  readonly clock: Clock
  readonly log: Log
}

/** The longest sleep: timers of Node end before a month is over. */
const LOOK_MS = 3600_000

export class PruneSchedule {
  readonly #deps: PruneScheduleDeps
  readonly #stopping = new AbortController()
  #loop = Promise.resolve()

  constructor(deps: PruneScheduleDeps) {
    this.#deps = deps
  }

  /** The catalog is complete by then. */
  start(): void {
    this.#loop = this.#run()
  }

  async stop(): Promise<void> {
    this.#stopping.abort(OVER)
    await this.#loop
  }

  async #run(): Promise<void> {
    const { clock, note, settings } = this.#deps
    const lastMs = (await note.read())?.lastMs
    let waitMs = waitFor(lastMs, settings.frequencyMs, clock.now())
    if (lastMs === undefined) await this.#write()
    for (;;) {
      const sleepMs = Math.min(waitMs, LOOK_MS)
      if (!(await clock.sleep(sleepMs, this.#stopping.signal))) return
      waitMs -= sleepMs
      if (waitMs > 0) continue
      await this.#once()
      waitMs = settings.frequencyMs
    }
  }

  async #once(): Promise<void> {
    const { settings, pruner, log } = this.#deps
    const rules = rulesOf(settings)
    try {
      this.#tell(settings.dryRun ? await pruner.look(rules) : await pruner.prune(rules))
      await this.#write()
    } catch (error) {
      if (error instanceof PruneRefused) log.warn('nothing was pruned', { why: error.message })
      else log.error('prune failed', { error })
    }
  }

  #tell({ dryRun, references, manifests, blobs, freedBytes }: PruneReport): void {
    const { log } = this.#deps
    const [does, did] = dryRun ? ['would remove', 'dry run finished: nothing was removed'] : ['removed', 'prune finished']
    for (const { reference, digest } of references) log.info(`prune ${does} a reference`, { reference, digest })
    for (const { digest, orphan } of manifests) log.info(`prune ${does} a manifest`, { digest, orphan })
    log.info(did, { references: references.length, manifests: manifests.length, blobs: blobs.length, bytes: freedBytes })
  }

  async #write(): Promise<void> {
    const { note, clock, log } = this.#deps
    await note.write({ lastMs: clock.now() }).catch((error: unknown) => log.warn('cannot note when the last prune was', { error }))
  }
}

/** The whole interval at first; what is left of it, or nothing, after a restart. A last time in the future was noted by a clock that was wrong. */
export function waitFor(lastMs: number | undefined, frequencyMs: number, nowMs: number): number {
  if (lastMs === undefined || lastMs > nowMs) return frequencyMs
  return Math.max(0, frequencyMs - (nowMs - lastMs))
}

export function rulesOf({ type, durationMs, patterns, count }: PruneConfig): PruneRules {
  const limit = count === undefined ? {} : { count }
  if (type === 'pattern') return { matches: (reference) => patterns?.matches(reference) === true, ...limit }
  return { olderThan: { by: type, ageMs: durationMs }, ...limit }
}
