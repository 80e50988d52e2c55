/** The connections of one registry: native `fetch` for small answers, undici's dispatcher for blobs, both over the same pools. */
import { Readable } from 'node:stream'
import type { ReadableStream } from 'node:stream/web'
import type { SecureContext } from 'node:tls'
import type { Dispatcher } from 'undici'
import type { ProxyServer } from '../config/config.ts'
import type { Clock } from '../observe/clock.ts'
import type { Answer } from './answer.ts'
import { isBlockedPort } from './blocked-ports.ts'
import type { Budgets } from './budgets.ts'
import { type ConnectParts, type ConnectRules, makeConnector } from './connector.ts'
import { type BodyRules, dispatch, type OutgoingRequest } from './dispatch.ts'
import type { UpstreamError } from './error.ts'
import { isClosedUnderRequest } from './failure.ts'
import { proxyRefusal } from './tunnel.ts'

/**
 * Whom a request goes to: the registry's own origin (and a realm on its host), or whom it sends us to. They share no connection:
 * client certificate, unverified TLS and the exemption of its address are for its own alone.
 */
export type Peer = 'own' | 'other'

export type Sending = {
  readonly peer: Peer
  readonly request: OutgoingRequest
  /** A blob: its body is streamed and may take as long as it advances. */
  readonly bulk: boolean
  readonly signal: AbortSignal
  readonly bodyError: (error: unknown) => UpstreamError
}

export type TransportOptions = {
  readonly rules: Readonly<Record<Peer, ConnectRules>>
  readonly parts: Omit<ConnectParts, 'connectMs'>
  readonly budgets: Budgets
  readonly clock: Clock
}

/** @property context what its TLS connections were made with; undefined where there are none yet */
type Connections = { readonly dispatcher: Promise<Dispatcher>; readonly context: SecureContext | undefined }

/** Signed links are long; undici's own limit is 16 KiB. */
const MAX_HEADER_BYTES = 64 * 1024

export class Transport {
  readonly #options: TransportOptions
  readonly #dispatchers = new Map<Peer, Connections>()
  /** Closing, with requests still under way. */
  readonly #retired = new Set<Promise<Dispatcher>>()

  constructor(options: TransportOptions) {
    this.#options = options
  }

  /**
   * Resolves with the headers. A kept-alive connection that was closed under the request is tried again, once and at once.
   * @throws what `fetch` and undici throw, or the signal's reason
   */
  async send(sending: Sending): Promise<Answer> {
    try {
      return await this.#sendOnce(sending)
    } catch (error) {
      if (sending.signal.aborted) throw sending.signal.reason
      if (!isClosedUnderRequest(error)) throw error
      return await this.#sendOnce(sending)
    }
  }

  /** Lets go of all connections; those in use end with their requests. The next request opens new ones. */
  retire(): void {
    for (const [peer, { dispatcher }] of this.#dispatchers) this.#retire(peer, dispatcher)
  }

  /** Ends all connections, with whatever is under way on them. */
  async destroy(): Promise<void> {
    const dispatchers = [...[...this.#dispatchers.values()].map(({ dispatcher }) => dispatcher), ...this.#retired]
    this.#dispatchers.clear()
    await Promise.all(dispatchers.map((dispatcher) => dispatcher.then((opened) => opened.destroy()).catch(() => {})))
  }

  /** The proxy that requests for this URL go through. */
  proxyOf(url: URL): ProxyServer | undefined {
    return this.#options.parts.proxies.for(url)
  }

  async #sendOnce({ peer, request, bulk, signal, bodyError }: Sending): Promise<Answer> {
    const { clock, budgets } = this.#options
    const dispatcher = await this.#dispatcher(peer, request.url)
    signal.throwIfAborted()
    const rules: BodyRules = { clock, idleMs: budgets.bodyIdleMs, bodyError }
    const proxy = this.proxyOf(request.url)
    if (proxy !== undefined && request.url.protocol === 'http:') return answerOfProxy(proxy, dispatcher, request, rules, signal)
    const answer = await (bulk || isBlockedPort(request.url)
      ? dispatch(dispatcher, request, rules, signal)
      : nativeFetch(dispatcher, request, signal))
    return proxy === undefined ? answer : { ...answer, proxy }
  }

  /** Connections that were made with certificates that have changed since are let go of: what is revoked is not used any longer. */
  async #dispatcher(peer: Peer, url: URL): Promise<Dispatcher> {
    const { rules, parts } = this.#options
    const context = url.protocol === 'https:' ? await parts.trust.context(rules[peer].tls) : undefined
    const known = this.#dispatchers.get(peer)
    const isStale = context !== undefined && known?.context !== undefined && known.context !== context
    if (known !== undefined && isStale) this.#retire(peer, known.dispatcher)
    const dispatcher = known === undefined || isStale ? this.#open(peer) : known.dispatcher
    this.#dispatchers.set(peer, { dispatcher, context: context ?? known?.context })
    return dispatcher
  }

  #retire(peer: Peer, dispatcher: Promise<Dispatcher>): void {
    this.#dispatchers.delete(peer)
    this.#retired.add(dispatcher)
    dispatcher
      .then((opened) => opened.close())
      .catch(() => {})
      .finally(() => this.#retired.delete(dispatcher))
  }

  /** undici is loaded here, on the first request: a server that only answers from its cache never pays for it. */
  async #open(peer: Peer): Promise<Dispatcher> {
    const { Agent, buildConnector } = await import('undici')
    const { rules, parts, budgets } = this.#options
    const agent = new Agent({
      connect: makeConnector(buildConnector, rules[peer], { ...parts, connectMs: budgets.connectMs }),
      // waits are bounded where they are waited for: the header by the caller's deadline, the body by a StallWatch
      headersTimeout: 0,
      bodyTimeout: 0,
      keepAliveTimeout: budgets.keepAliveMs,
      keepAliveMaxTimeout: budgets.keepAliveMs,
      maxHeaderSize: MAX_HEADER_BYTES,
    })
    // else undici ends the connection with every HEAD, and each check of a tag would cost a handshake
    return agent.compose((next) => (request, handler) => next({ ...request, reset: false }, handler))
  }
}

/**
 * An http registry is asked for in absolute form (RFC 9112 3.2.2), since many proxies tunnel to port 443 only.
 * Not by `fetch`, which takes a 407 for a broken network.
 */
async function answerOfProxy(
  proxy: ProxyServer,
  dispatcher: Dispatcher,
  request: OutgoingRequest,
  rules: BodyRules,
  signal: AbortSignal,
): Promise<Answer> {
  const credentials = proxy.authorization === undefined ? {} : { 'proxy-authorization': proxy.authorization }
  const headers = { ...request.headers, ...credentials }
  const answer = await dispatch(dispatcher, { ...request, target: request.url.href, headers }, rules, signal)
  if (answer.status !== 407) return { ...answer, proxy }
  answer.body.destroy()
  throw proxyRefusal(proxy, request.url.host, answer.status, answer.header('proxy-authenticate'))
}

/** The types of Node's own undici know nothing of the package's, whose dispatcher every Node from 20 to 26 takes. */
type FetchOptions = RequestInit & { readonly dispatcher: Dispatcher }

async function nativeFetch(
  dispatcher: Dispatcher,
  { url, method, headers, body: sent }: OutgoingRequest,
  signal: AbortSignal,
): Promise<Answer> {
  const options: FetchOptions = { method, headers, body: sent ?? null, signal, redirect: 'manual', dispatcher } as unknown as FetchOptions
  const response = await fetch(url, options)
  const body = response.body === null ? Readable.from([]) : Readable.fromWeb(response.body as ReadableStream)
  return { url, status: response.status, header: (name) => response.headers.get(name) ?? undefined, body }
}
