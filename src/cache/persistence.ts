/** Tries again what may go better: work that no client waits for sits out the trouble of a registry, for a bounded time. A refusal is final. */
import type { Clock } from '../observe/clock.ts'
import type { Log } from '../observe/log.ts'
import type { Registry } from '../oci/name.ts'
import { UpstreamError, type UpstreamErrorKind } from '../upstream/error.ts'
import { Tries } from './tries.ts'

export type PersistenceDeps = {
  readonly clock: Clock
  readonly log: Log
  /** From 0 to 1; default `Math.random`. */
  readonly random?: () => number
}

/** One thing to be done at a registry. */
export type Attempt<T> = {
  readonly registry: Registry
  /** For the log. */
  readonly what: string
  readonly work: () => Promise<T>
  /** What has come by now: each MiB earns new tries. */
  readonly bytes?: () => number
  readonly onPause?: () => void
  readonly signal: AbortSignal
}

const PASSING: ReadonlySet<UpstreamErrorKind> = new Set(['unreachable', 'dns', 'timeout', 'failed', 'limited', 'circuitOpen'])
const WAITS_MS = [1_000, 2_000, 4_000, 8_000, 15_000, 30_000]
/** Who asks for a longer pause is not waited for. */
const LONGEST_PAUSE_MS = 5 * 60_000

/** Whether an error is a registry's trouble that may be over soon. */
export function mayPass(error: unknown): error is UpstreamError {
  return error instanceof UpstreamError && PASSING.has(error.kind) && (error.retryAfterMs ?? 0) <= LONGEST_PAUSE_MS
}

export class Persistence {
  readonly #deps: PersistenceDeps
  /** Registries that were waited for in vain: for the next thing they are not waited for again. */
  readonly #givenUp = new Set<Registry>()

  constructor(deps: PersistenceDeps) {
    this.#deps = deps
  }

  /** @throws what the last try failed with; the signal's reason */
  async run<T>({ registry, what, work, bytes = () => 0, onPause, signal }: Attempt<T>): Promise<T> {
    const { clock, log, random = Math.random } = this.#deps
    const tries = new Tries({ waitsMs: WAITS_MS, random })
    for (;;) {
      signal.throwIfAborted()
      try {
        const result = await work()
        this.#givenUp.delete(registry)
        return result
      } catch (error) {
        signal.throwIfAborted()
        if (!mayPass(error) || this.#givenUp.has(registry)) throw error
        const waitMs = tries.take(bytes(), error.retryAfterMs)
        if (waitMs === undefined) {
          this.#givenUp.add(registry)
          throw error
        }
        log.info('trying again later', { what, waitMs: Math.round(waitMs), kind: error.kind, error })
        onPause?.()
        await clock.sleep(waitMs, signal)
      }
    }
  }
}
