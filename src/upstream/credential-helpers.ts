/** Asks the credential helpers of Docker: seldom, one at a time for each registry, and never for longer than a pull can wait. */
import { Limiter } from '../async/limiter.ts'
import { Lru } from '../async/lru.ts'
import { SingleFlight } from '../async/single-flight.ts'
import type { Clock } from '../observe/clock.ts'
import type { Log } from '../observe/log.ts'
import { type Credentials, toCredentials } from './credentials.ts'
import { UpstreamError } from './error.ts'
import { expiryOf, readHelperAnswer } from './helper-answer.ts'
import { HelperError, runHelper } from './helper-process.ts'

export type CredentialHelpersOptions = {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly clock: Clock
  readonly log: Log
  /** How long a helper may take. */
  readonly timeoutMs: number
}

type Answer = { readonly credentials?: Credentials; readonly failure?: UpstreamError; readonly lifeMs: number }
type Entry = Answer & {
  /** Monotonic. */
  readonly usableUntilMs: number
  /** The same: until when it stands although it is refused. */
  readonly standsUntilMs: number
}

/** Clients name registries, so neither is unbounded. */
const MAX_ENTRIES = 1024
const MAX_AT_ONCE = 4
/** How long an answer is used that does not say until when it is good. */
const LIFE_MS = 10 * 60_000
const LONGEST_LIFE_MS = 12 * 3600_000
/** How long before a secret expires it is not used any more. */
const EARLY_MS = 60_000
/** For so long a failure counts, and an answer that was asked for because the last was refused: clients must not start programs without end. */
const PAUSE_MS = 10_000

export class CredentialHelpers {
  readonly #options: CredentialHelpersOptions
  readonly #entries = new Lru<string, Entry>({ capacity: MAX_ENTRIES })
  readonly #runs = new SingleFlight<Entry>()
  readonly #places = new Limiter(MAX_AT_ONCE)
  readonly #closing = new AbortController()

  constructor(options: CredentialHelpersOptions) {
    this.#options = options
  }

  /**
   * @param helper `x` for the program `docker-credential-x`. @param server what it is asked for
   * @param refused credentials that the registry refused: the helper is asked once more, if that was not done just now
   * @returns undefined where the helper has none. @throws UpstreamError 'denied' or 'timeout'
   */
  async get(helper: string, server: string, refused?: Credentials): Promise<Credentials | undefined> {
    const key = `${helper} ${server}`
    const known = this.#entries.get(key)
    const isRefused = refused !== undefined && known?.credentials?.identity === refused.identity
    const { failure, credentials } = this.#isUsable(known, isRefused) ? known : await this.#ask(key, helper, server, isRefused)
    if (failure !== undefined) throw failure
    return credentials
  }

  /** Ends the programs that run. */
  close(): Promise<void> {
    this.#closing.abort()
    return this.#runs.idle()
  }

  #isUsable(entry: Entry | undefined, isRefused: boolean): entry is Entry {
    return entry !== undefined && this.#options.clock.monotonic() < (isRefused ? entry.standsUntilMs : entry.usableUntilMs)
  }

  #ask(key: string, helper: string, server: string, again: boolean): Promise<Entry> {
    return this.#runs.run(key, async () => {
      const answer = await this.#places.run(() => this.#run(`docker-credential-${helper}`, server))
      const now = this.#options.clock.monotonic()
      const entry = { ...answer, usableUntilMs: now + answer.lifeMs, standsUntilMs: again ? now + PAUSE_MS : now }
      this.#entries.set(key, entry)
      return entry
    }).result
  }

  async #run(program: string, server: string): Promise<Answer> {
    const { env, clock, log, timeoutMs } = this.#options
    const { signal } = this.#closing
    try {
      const stored = readHelperAnswer(await runHelper({ program, input: server, env, clock, timeoutMs, signal }))
      if (stored === undefined) return { lifeMs: LIFE_MS }
      const secret = stored.kind === 'password' ? stored.password : stored.token
      return { credentials: toCredentials(stored, `what ${program} has for ${server}`), lifeMs: this.#lifeOf(secret) }
    } catch (error) {
      const reason = (error as Error).message
      if (!signal.aborted) log.error('a credential helper gave no answer', { helper: program, server, reason })
      const kind = error instanceof HelperError && error.late ? 'timeout' : 'denied'
      return { failure: new UpstreamError(kind, `${program} gave no credentials for ${server}: ${reason}`), lifeMs: PAUSE_MS }
    }
  }

  /** Of what has expired by our own clock, which may be wrong, at least the pause. */
  #lifeOf(secret: string): number {
    const expiry = expiryOf(secret)
    if (expiry === undefined) return LIFE_MS
    return Math.max(PAUSE_MS, Math.min(expiry - this.#options.clock.now() - EARLY_MS, LONGEST_LIFE_MS))
  }
}
