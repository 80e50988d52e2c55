/** Requests along redirects: followed by hand, at most ten, never to less protection than the registry has. Explains what fails, and tells the circuits. */
import { OVER } from '../async/over.ts'
import type { RegistryConfig } from '../config/config.ts'
import type { Clock } from '../observe/clock.ts'
import type { Log } from '../observe/log.ts'
import type { Advice } from './advice.ts'
import { type Answer, discard, readAll } from './answer.ts'
import type { Circuit, Pass, Probe } from './circuit.ts'
import { UpstreamError } from './error.ts'
import { type Failure, failureOf } from './failure.ts'
import type { Peer, Transport } from './transport.ts'
import { nameOf } from './tunnel.ts'
import { type Verdict, verdictOnAbort, verdictOnAnswer, verdictOnError } from './verdict.ts'

const MAX_REDIRECTS = 10
const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308])

export type Hop = {
  readonly peer: Peer
  readonly url: URL
  readonly method: 'GET' | 'HEAD' | 'POST'
  /** Of a POST, which no redirect is followed for. */
  readonly body?: string
  /** Complete but for those that every request has; `authorization` only if this very origin may see it. */
  readonly headers: Readonly<Record<string, string>>
  readonly bulk: boolean
  /** Of whom it goes to, where somebody keeps count of that; a redirect's target has none. */
  readonly guard?: { readonly circuit: Circuit; readonly probe: Probe }
  /** Says in an error of the body what the body was wanted for. */
  readonly bodyError?: (error: UpstreamError) => UpstreamError
}

export type HopsOptions = {
  readonly registry: RegistryConfig
  readonly advice: Advice
  readonly transport: Transport
  /** On every request: `via`, `user-agent`. */
  readonly headers: Readonly<Record<string, string>>
  readonly clock: Clock
  readonly log: Log
  readonly idleMs: number
  /** For the body of an answer that is read whole. */
  readonly bodyMs: number
  /** After which a request without an answer counts as failed. */
  readonly silenceMs: number
}

export class Hops {
  readonly #options: HopsOptions

  constructor(options: HopsOptions) {
    this.#options = options
  }

  /** One request, redirects not followed, if its circuit lets it out. @throws UpstreamError, or the signal's reason */
  async send(hop: Hop, signal: AbortSignal): Promise<Answer> {
    if (hop.guard === undefined) return this.#transmit(hop, signal)
    const pass = await hop.guard.circuit.enter(hop.guard.probe, signal)
    const over = new AbortController()
    void this.#noteSilence(hop.url, pass, over.signal)
    try {
      const answer = await this.#transmit(hop, signal)
      pass.end(verdictOnAnswer(answer, this.#options.clock.now()))
      return answer
    } catch (error) {
      pass.end(signal.aborted ? verdictOnAbort(error) : verdictOnError(error))
      throw error
    } finally {
      over.abort(OVER)
    }
  }

  async #noteSilence({ origin }: URL, pass: Pass, over: AbortSignal): Promise<void> {
    const { clock, silenceMs } = this.#options
    if (await clock.sleep(silenceMs, over)) pass.silent(`${origin} has not answered for ${silenceMs} ms`)
  }

  /** A request that no circuit holds back; of its answer only what it says of who gave it. @throws UpstreamError, or the signal's reason */
  async probe(hop: Hop, signal: AbortSignal): Promise<Verdict> {
    const answer = await this.#transmit(hop, signal)
    this.discard(answer)
    return verdictOnAnswer(answer, this.#options.clock.now())
  }

  async #transmit(hop: Hop, signal: AbortSignal): Promise<Answer> {
    const { peer, url, method, bulk } = hop
    const headers = { 'accept-encoding': 'identity', ...this.#options.headers, ...hop.headers }
    const bodyError = (error: unknown): UpstreamError => (hop.bodyError ?? same)(this.#explain(error, hop))
    try {
      const answer = await this.#options.transport.send({
        peer,
        request: { url, method, headers, ...(hop.body === undefined ? {} : { body: hop.body }) },
        bulk,
        signal,
        bodyError,
      })
      this.#note(hop, answer)
      return answer
    } catch (error) {
      if (signal.aborted) throw signal.reason
      throw this.#explain(error, hop)
    }
  }

  /**
   * The answer at the end of the redirects. Where they lead is forgotten: signed links live for minutes.
   * @param send answers for one URL; decides by its origin what that may see
   */
  async follow(start: URL, send: (url: URL) => Promise<Answer>): Promise<Answer> {
    let url = start
    for (let hops = 0; hops <= MAX_REDIRECTS; hops++) {
      const answer = await send(url)
      const location = REDIRECTS.has(answer.status) ? answer.header('location') : undefined
      if (location === undefined) return answer
      this.discard(answer)
      url = this.#target(location, url)
    }
    throw new UpstreamError('failed', `it redirects more than ${MAX_REDIRECTS} times`)
  }

  /** The whole body of an answer. @param onBytes told of each part that comes. @throws UpstreamError, or the signal's reason */
  async read(answer: Answer, maxBytes: number, signal: AbortSignal | undefined, onBytes?: (bytes: number) => void): Promise<Buffer> {
    const { clock, idleMs, bodyMs } = this.#options
    try {
      return await readAll(answer, { maxBytes, idleMs, totalMs: bodyMs, clock, signal, onBytes })
    } catch (error) {
      if (signal?.aborted) throw signal.reason
      throw this.#explain(error, { peer: 'other', url: answer.url }) // no advice: the connection stood
    }
  }

  /** Gets rid of a body in the background. */
  discard(answer: Answer): void {
    const { clock, idleMs } = this.#options
    void discard(answer, { clock, idleMs })
  }

  #target(location: string, from: URL): URL {
    const url = URL.canParse(location, from.href) ? new URL(location, from) : undefined
    if (url === undefined || !/^https?:$/.test(url.protocol)) throw new UpstreamError('failed', 'it redirects to what is no http address')
    if (url.protocol === 'http:' && this.#options.registry.scheme === 'https') {
      throw new UpstreamError('failed', `it redirects to ${url.origin}, which is not https`)
    }
    url.username = ''
    url.password = ''
    url.hash = ''
    return url
  }

  /** The path of other peers stays out of logs and messages: signed links hold secrets. */
  #note({ peer, method, url }: Hop, { status }: Answer): void {
    const { log, registry } = this.#options
    log.debug('upstream answered', {
      registry: registry.name,
      method,
      url: peer === 'own' ? url.origin + url.pathname : url.origin,
      status,
    })
  }

  #explain(error: unknown, { peer, url }: Pick<Hop, 'peer' | 'url'>): UpstreamError {
    const known = error instanceof UpstreamError ? error : upstreamErrorIn(error)
    if (known !== undefined) return known
    const failure = failureOf(error)
    const proxy = this.#options.transport.proxyOf(url)
    const problem = `${url.origin}${proxy === undefined ? '' : ` (through the proxy ${nameOf(proxy)})`}: ${failure.text}`
    const advice = this.#adviceOn(failure, problem, peer, url)
    return new UpstreamError(failure.kind, advice === undefined ? problem : `${problem}; ${advice}`, { cause: error })
  }

  #adviceOn({ kind, reason }: Failure, problem: string, peer: Peer, url: URL): string | undefined {
    const { advice } = this.#options
    // what the registry sends us to can be given a CA by its entry, but nothing else
    if (reason !== undefined && (peer === 'own' || reason === 'unknownIssuer')) return advice.against(reason, problem)
    // many servers end a connection whose client certificate they do not like without a word
    if (kind === 'unreachable' && peer === 'own' && advice.outdatedClient !== undefined) return advice.against('clientCertificate', problem)
    return kind === 'unreachable' && peer === 'own' && url.port === '' ? advice.plainHttpHint : undefined
  }
}

/** What our own connector failed with comes back from native fetch as the cause of another error. */
function upstreamErrorIn(error: unknown): UpstreamError | undefined {
  const { cause } = error as { cause?: unknown }
  return cause instanceof UpstreamError ? cause : undefined
}

function same<T>(value: T): T {
  return value
}
