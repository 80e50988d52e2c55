/**
 * Decides whether one server is asked at all. Three failures in a row open its circuit (where the third is an error that it answered with, a probe has
 * to fail as well): nobody asks it then but one probe at a time, in the background, after waits that grow. Its word that it is asked too often (429) is a
 * pause: nobody asks it while that runs.
 */
import { Changes } from '../async/changes.ts'
import { withDeadline } from '../async/deadline.ts'
import { OVER } from '../async/over.ts'
import type { Clock } from '../observe/clock.ts'
import type { Log } from '../observe/log.ts'
import { Backoff } from './backoff.ts'
import type { Budgets } from './budgets.ts'
import { UpstreamError } from './error.ts'
import { Prober } from './prober.ts'
import type { UpstreamHealth, Urgency } from './upstream.ts'
import { UNKNOWN, type Verdict, verdictOnError } from './verdict.ts'

export type CircuitOptions = {
  /** For messages: `https://registry.example:5000`. */
  readonly name: string
  readonly clock: Clock
  readonly log: Log
  /** Between 0 and 1. */
  readonly random: () => number
  readonly budgets: Budgets
  /** Told when it opens: what lay ready to reach the server is not to be trusted any more. */
  readonly onOpened: () => void
}

/** Asks the server something harmless. @throws UpstreamError */
export type Probe = (signal: AbortSignal) => Promise<Verdict>

/** A request that was let out. */
export type Pass = {
  /** It has no answer yet, after a time in which there should be one. That is a failure; what it ends with is no second one. */
  silent(why: string): void
  /** To be called once, when the request has its headers or failed. */
  end(verdict: Verdict): void
}

const FAILURES_TO_OPEN = 3

type Failed = Extract<Verdict, { health: 'failed' }>

export class Circuit {
  readonly #options: CircuitOptions
  readonly #changes = new Changes()
  #stopped = false

  /** Of requests, in a row. A probe that is answered leaves one to go: it may be answered where requests are not. */
  #failures = 0
  #isOpen = false
  /** It failed, and nothing was heard of it since: enough to stop work in the background. */
  #isShaky = false
  #why = ''
  /** Wall clock. */
  #since: number | undefined
  /** Counts what changes the judgement: a request that began before tells old news when it fails. */
  #news = 0

  #probe: Probe | undefined
  /** The next wait for a probe, or of a pause that the server set no end to. Doubles until a request succeeds. */
  readonly #backoff: Backoff
  readonly #prober: Prober
  #probeAtMs = 0
  /** An answered probe outweighs errors that requests are answered with until then. */
  #trustedUntilMs = 0
  /** Since the last probe. */
  #isWanted = false
  #waiting = 0

  #pausedUntilMs = 0
  /** After a pause, until a request succeeds: requests follow each other. */
  #isCautious = false
  #isTrying = false

  constructor(options: CircuitOptions) {
    const { clock, random, budgets } = options
    this.#options = options
    this.#backoff = new Backoff({ firstMs: budgets.backoffMs, maxMs: budgets.maxBackoffMs, random })
    this.#prober = new Prober({
      clock,
      isNeeded: () => this.#needsProbe,
      waitMs: () => this.#untilProbeMs,
      probe: () => this.#probeOnce(),
    })
  }

  /** See `Upstream`. Who is told no wants the server: it is probed. */
  mayBeAsked(urgency: Urgency): boolean {
    const may = !this.#isOpen && this.#pauseLeftMs <= 0 && !(urgency === 'background' && this.#isShaky)
    if (!may) this.#want()
    return may
  }

  /** See `Upstream`. @throws the signal's reason; UpstreamError 'unreachable' when it is stopped */
  async untilMayBeAsked(urgency: Urgency, signal?: AbortSignal): Promise<void> {
    const ring = (): void => this.#changes.ring()
    signal?.addEventListener('abort', ring, { once: true })
    this.#waiting++
    try {
      while (!this.mayBeAsked(urgency)) {
        signal?.throwIfAborted()
        if (this.#stopped) throw new UpstreamError('unreachable', `${this.#options.name} is not asked any more`)
        await this.#changeWithin(this.#pauseLeftMs)
      }
    } finally {
      this.#waiting--
      signal?.removeEventListener('abort', ring)
    }
  }

  health(): UpstreamHealth {
    const pauseMs = Math.max(this.#pauseLeftMs, 0)
    if (!this.#isOpen && !this.#isShaky && pauseMs === 0) return { state: 'well' }
    const blockedMs = this.#isOpen ? Math.max(this.#untilProbeMs, 0) : pauseMs
    return {
      state: this.#isOpen ? 'down' : 'troubled',
      why: this.#why,
      ...(this.#since === undefined ? {} : { since: this.#since }),
      ...(this.#isOpen || pauseMs > 0 ? { retryInMs: Math.ceil(blockedMs) } : {}),
    }
  }

  /**
   * Lets a request out, or not. The first one after a pause goes alone; those behind it wait for its answer, but not for long.
   * @param probe what is to be asked in its place while the circuit is open
   * @throws UpstreamError 'circuitOpen' or 'limited'; the signal's reason
   */
  async enter(probe: Probe, signal: AbortSignal): Promise<Pass> {
    this.#probe = probe
    this.#refuseWhereBlocked()
    if (this.#isTrying) {
      await this.#trialOver(signal)
      signal.throwIfAborted()
      this.#refuseWhereBlocked()
    }
    const isTrial = this.#isCautious && !this.#isTrying
    if (isTrial) this.#isTrying = true
    const news = this.#news
    let wasSilent = false
    return {
      silent: (why) => {
        wasSilent = true
        this.#judge({ health: 'failed', why }, news)
      },
      end: (verdict) => this.#end(wasSilent && verdict.health === 'failed' ? UNKNOWN : verdict, news, isTrial),
    }
  }

  /** Somebody gave up waiting for an answer that others still wait for. */
  givenUp(verdict: Verdict): void {
    if (verdict.health === 'failed') this.#judge(verdict, this.#news)
  }

  /** Whatever ends from now on says nothing; who waits is told. */
  stop(): void {
    this.#stopped = true
    this.#prober.reconsider()
    this.#changes.ring()
  }

  #end(verdict: Verdict, news: number, wasTrial: boolean): void {
    if (wasTrial) this.#isTrying = false
    this.#judge(verdict, news)
    if (wasTrial) this.#changes.ring()
  }

  #judge(verdict: Verdict, news: number): void {
    if (this.#stopped) return
    if (verdict.health === 'well') this.#recover()
    else if (verdict.health === 'pause') this.#pause(verdict.why, verdict.pauseMs, news)
    else if (verdict.health === 'failed' && news === this.#news && !this.#isOpen) this.#fail(verdict)
  }

  #recover(): void {
    this.#news++
    if (this.#pauseLeftMs > 0)
      this.#close() // what began before a pause does not end it
    else if (this.#failures > 0 || this.#isCautious) {
      this.#close()
      this.#failures = 0
      this.#isCautious = false
      this.#trustedUntilMs = 0
      this.#backoff.reset()
    }
  }

  /** The failures stay counted. */
  #close(): void {
    const { name, clock, log } = this.#options
    if (this.#isOpen) log.info('upstream answers again', { upstream: name, downMs: clock.now() - (this.#since ?? clock.now()) })
    this.#failures = Math.min(this.#failures, FAILURES_TO_OPEN - 1)
    this.#isOpen = false
    this.#isShaky = false
    if (this.#pauseLeftMs <= 0) this.#since = undefined
    this.#prober.reconsider()
    this.#changes.ring()
  }

  #fail({ why, isDoubtful = false }: Failed): void {
    this.#note(why)
    this.#failures++
    this.#isShaky = true
    if (this.#failures < FAILURES_TO_OPEN) this.#delayProbe()
    else if (isDoubtful) this.#suspect()
    else this.#open(why)
  }

  /** It answers, if only with errors, maybe to one client's odd names: a probe decides. Requests go on meanwhile. */
  #suspect(): void {
    this.#failures = FAILURES_TO_OPEN
    this.#probeAtMs = this.#trustedUntilMs
    this.#want()
    this.#prober.reconsider()
  }

  #open(why: string): void {
    this.#note(why)
    this.#isOpen = true
    this.#isWanted = true
    this.#delayProbe()
    const { name, log, onOpened } = this.#options
    log.warn('upstream is down: it is not asked until it answers a probe', { upstream: name, failures: this.#failures, why })
    onOpened()
    this.#prober.reconsider() // it may wait for longer
    this.#prober.start()
  }

  /** @param news a request that began before the last pause tells nothing new, unless it names a time */
  #pause(why: string, askedMs: number | undefined, news: number): void {
    const { name, clock, log } = this.#options
    if (askedMs === undefined && news !== this.#news) return
    const pauseMs = askedMs ?? this.#backoff.waitMs()
    if (askedMs === undefined) this.#backoff.grow()
    this.#note(why)
    this.#pausedUntilMs = Math.max(this.#pausedUntilMs, clock.monotonic() + pauseMs)
    log[this.#isCautious ? 'debug' : 'warn']('upstream asks for a pause', { upstream: name, pauseMs, why })
    this.#isCautious = true
    this.#news++
    this.#changes.ring()
  }

  #note(why: string): void {
    this.#why = why
    this.#since ??= this.#options.clock.now()
  }

  #refuseWhereBlocked(): void {
    if (this.mayBeAsked('client')) return
    const { name } = this.#options
    const pauseMs = this.#pauseLeftMs
    if (pauseMs > 0) {
      throw new UpstreamError('limited', `${name} is not asked for another ${seconds(pauseMs)}: ${this.#why}`, { retryAfterMs: pauseMs })
    }
    const failed = `it failed ${this.#failures} times in a row, the last time with: ${this.#why}`
    const probeMs = this.#untilProbeMs
    const next = probeMs > 0 ? `it is tried again in ${seconds(probeMs)}` : 'it is being tried again'
    throw new UpstreamError('circuitOpen', `${name} is not asked at present: ${failed}; ${next}`, { retryAfterMs: Math.max(probeMs, 1000) })
  }

  /** Ends when the trial does, or before that when the budget does. */
  async #trialOver(signal: AbortSignal): Promise<void> {
    const { clock, budgets } = this.#options
    const ring = (): void => this.#changes.ring()
    const untilMs = clock.monotonic() + budgets.trialMs
    signal.addEventListener('abort', ring, { once: true })
    try {
      while (this.#isTrying && !signal.aborted && clock.monotonic() < untilMs) await this.#changeWithin(untilMs - clock.monotonic())
    } finally {
      signal.removeEventListener('abort', ring)
    }
  }

  #want(): void {
    this.#isWanted = true
    this.#prober.start()
  }

  get #needsProbe(): boolean {
    return !this.#stopped && (this.#isOpen || this.#isShaky) && (this.#isWanted || this.#waiting > 0)
  }

  async #probeOnce(): Promise<void> {
    const { name, clock, log, budgets } = this.#options
    this.#isWanted = false
    const news = this.#news
    const timeoutError = (): UpstreamError => new UpstreamError('timeout', `${name} did not answer a probe within ${budgets.probeMs} ms`)
    const asked = withDeadline({ clock, ms: budgets.probeMs, timeoutError }, async (signal): Promise<Verdict> => {
      return this.#probe === undefined ? { health: 'unknown' } : this.#probe(signal)
    })
    const verdict = await asked.catch(verdictOnError)
    if (this.#stopped || news !== this.#news) return
    log.debug('upstream probed', { upstream: name, ...verdict })
    if (verdict.health === 'pause') this.#pause(verdict.why, verdict.pauseMs, news)
    else if (verdict.health === 'failed') this.#probeFailed({ ...verdict, isDoubtful: false })
    else this.#probeAnswered()
    this.#changes.ring()
  }

  #probeFailed(failed: Failed): void {
    if (this.#isOpen) {
      this.#backoff.grow()
      this.#note(failed.why)
      this.#delayProbe()
    } else if (this.#failures < FAILURES_TO_OPEN) this.#fail(failed)
    else this.#open(failed.why)
  }

  /** Should requests fail all the same, the next wait is longer. */
  #probeAnswered(): void {
    this.#news++
    this.#trustedUntilMs = this.#options.clock.monotonic() + this.#backoff.waitMs()
    this.#backoff.grow()
    this.#close()
  }

  #delayProbe(): void {
    this.#probeAtMs = this.#options.clock.monotonic() + this.#backoff.waitMs()
  }

  get #pauseLeftMs(): number {
    return this.#pausedUntilMs - this.#options.clock.monotonic()
  }

  get #untilProbeMs(): number {
    return Math.max(this.#probeAtMs, this.#pausedUntilMs) - this.#options.clock.monotonic()
  }

  /** Resolves at the next change, or after `ms` where that is more than 0. */
  async #changeWithin(ms: number): Promise<void> {
    if (ms <= 0) return this.#changes.next
    const changed = new AbortController()
    void this.#changes.next.then(() => changed.abort(OVER))
    await this.#options.clock.sleep(ms, changed.signal)
  }
}

function seconds(ms: number): string {
  return `${Math.ceil(ms / 1000)} s`
}
