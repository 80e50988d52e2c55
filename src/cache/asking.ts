/**
 * Whom a fill asks next, and when: its sources in order; those that broke off again, after a pause; one that is slow or hardly sends anything only until
 * there is another.
 */
import type { Changes } from '../async/changes.ts'
import { OVER } from '../async/over.ts'
import type { Clock } from '../observe/clock.ts'
import type { Log } from '../observe/log.ts'
import type { Digest } from '../oci/digest.ts'
import { UpstreamError } from '../upstream/error.ts'
import type { UpstreamBlob, UpstreamDirectory } from '../upstream/upstream.ts'
import type { Budgets } from './budgets.ts'
import { type Source, Sources, sourceName } from './sources.ts'
import { Tries } from './tries.ts'
import { momentToRecover } from './within.ts'

export type AskingDeps = {
  readonly upstreams: UpstreamDirectory
  readonly clock: Clock
  readonly log: Log
  readonly budgets: Budgets
  /** It waits for an upstream, and uses nothing meanwhile. */
  readonly onWaiting: () => void
}

/** In the time of `tricklingMs`; less, and a source that has nothing else to do is as good as hung. */
const TRICKLING_BYTES = 64 * 1024

export class Asking {
  readonly sources = new Sources()
  readonly #digest: Digest
  readonly #deps: AskingDeps
  readonly #tries: Tries
  readonly #changes: Changes
  readonly #stopped: AbortSignal
  #isWaiting = false
  #isTrickling = false

  /**
   * @param changes rings when there is a new source
   * @param stopped ends all waits
   */
  constructor(digest: Digest, deps: AskingDeps, changes: Changes, stopped: AbortSignal) {
    this.#digest = digest
    this.#deps = deps
    this.#tries = new Tries({ waitsMs: deps.budgets.retryWaitsMs })
    this.#changes = changes
    this.#stopped = stopped
  }

  get isWaiting(): boolean {
    return this.#isWaiting || this.#isTrickling
  }

  /**
   * The source to ask now: one that was not tried yet, else one that broke off, when it is time to ask that again.
   * @param bytes that have come
   * @param trouble that broke off the last one
   * @returns undefined where it is not worth asking any more. @throws the signal's reason
   */
  async next(bytes: number, trouble: Error | undefined): Promise<Source | undefined> {
    const { sources } = this
    const next = sources.next()
    if (next !== undefined) return next
    const again = sources.again()
    const waitMs = again === undefined ? undefined : this.#tries.take(bytes, this.#pauseAskedFor(trouble))
    if (again === undefined || waitMs === undefined) return undefined
    await this.#pause(again, bytes, waitMs)
    const better = sources.next()
    if (better !== undefined) sources.brokeOff(again)
    return better ?? again
  }

  /** Asks a source for what comes behind `offset`; undefined if it was slow to answer and another one waits. @throws UpstreamError, OciError */
  async open(source: Source, offset: number): Promise<UpstreamBlob | undefined> {
    const { upstreams, clock, budgets } = this.#deps
    const upstream = upstreams.of(source.registry)
    if (!upstream.mayBeAsked('client') && !this.sources.hasNext) {
      await this.#waitFor((signal) => momentToRecover(upstream, clock, budgets.circuitMs, signal))
    }
    const giveUp = new AbortController()
    const opening = upstream.openBlob(source.repository, this.#digest, offset, AbortSignal.any([giveUp.signal, this.#stopped]))
    const patience = new AbortController()
    const first = await Promise.race([opening, this.#slowAndReplaceable(patience.signal)]).finally(() => {
      patience.abort(OVER)
      this.#isWaiting = false
    })
    if (first !== 'replace') return first
    giveUp.abort(new UpstreamError('timeout', `${sourceName(source)} was slow to answer, and another source was there`))
    this.sources.putBack(source)
    opening.then(
      (late) => late.body.destroy(),
      () => {}, // it was given up: its error is the one that giving up made
    )
    return undefined
  }

  /**
   * Watches a body until the signal. While it hardly brings anything it counts as waiting, and as soon as there is another source it is broken off.
   * @param bytes how many have come
   * @param onTrickle called after each time in which hardly anything came
   */
  async watchPace(
    { body }: UpstreamBlob,
    source: Source,
    bytes: () => number,
    onTrickle: () => Promise<void>,
    signal: AbortSignal,
  ): Promise<void> {
    const { clock, budgets } = this.#deps
    for (let before = bytes(); await clock.sleep(budgets.tricklingMs, signal); before = bytes()) {
      const trickles = bytes() - before < TRICKLING_BYTES && !body.isPaused() // else it is our own disk or readers that are slow
      this.#isTrickling = trickles
      if (trickles && this.sources.hasFresh) {
        const problem = `${sourceName(source)} hardly sends anything of ${this.#digest}, and another source is there`
        body.destroy(new UpstreamError('timeout', problem))
      } else if (trickles) {
        this.#deps.onWaiting()
        await onTrickle()
      }
    }
    this.#isTrickling = false
  }

  /** Longer ones than a client would bear are not waited for: the upstream itself will refuse the tries until then. */
  #pauseAskedFor(trouble: Error | undefined): number {
    const askedMs = trouble instanceof UpstreamError ? (trouble.retryAfterMs ?? 0) : 0
    return askedMs <= this.#deps.budgets.retryAfterMs ? askedMs : 0
  }

  /** Until it is time, there is a new source, or the upstream has recovered. */
  async #pause(source: Source, bytes: number, ms: number): Promise<void> {
    const { clock, upstreams, log } = this.#deps
    log.info('continuing a download', { source: sourceName(source), digest: this.#digest, written: bytes, waitMs: Math.round(ms) })
    const upstream = upstreams.of(source.registry)
    await this.#waitFor((signal) => {
      const whichever: Promise<unknown>[] = [clock.sleep(ms, signal), this.#freshSource(signal)]
      if (!upstream.mayBeAsked('client')) whichever.push(upstream.untilMayBeAsked('client', signal).catch(() => {})) // rejected by the signal
      return Promise.race(whichever)
    })
  }

  async #waitFor(what: (signal: AbortSignal) => Promise<unknown>): Promise<void> {
    const over = new AbortController()
    this.#beginWaiting()
    try {
      await what(AbortSignal.any([over.signal, this.#stopped]))
    } finally {
      over.abort(OVER)
      this.#isWaiting = false
    }
    this.#stopped.throwIfAborted()
  }

  #beginWaiting(): void {
    this.#isWaiting = true
    this.#deps.onWaiting()
  }

  /** Resolves when the source being asked has been slow and a fresh one waits; never where none comes. */
  async #slowAndReplaceable(signal: AbortSignal): Promise<'replace'> {
    const slow = await this.#deps.clock.sleep(this.#deps.budgets.slowSourceMs, signal)
    if (!slow) return new Promise(() => {}) // it answered: nobody waits for this any more
    this.#beginWaiting()
    await this.#freshSource(signal)
    return 'replace'
  }

  /** Resolves when there is a source that was not tried yet; never after the signal. */
  async #freshSource(signal: AbortSignal): Promise<void> {
    while (!this.sources.hasFresh) {
      if (signal.aborted) return new Promise(() => {})
      await this.#changes.next
    }
  }
}
