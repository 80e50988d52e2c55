/** A real HTTP(S) registry on loopback, in this process, that can be filled, watched, and told to misbehave. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import type { TestContext } from 'node:test'
import { parseRegistry, type Registry } from '../../src/oci/name.ts'
import { type AuthOptions, FakeAuth } from './fake-registry-auth.ts'
import { FakeContent } from './fake-registry-content.ts'
import { type ActiveFault, type FaultRule, Faults } from './fake-registry-faults.ts'
import { Ledger, type SeenRequest } from './fake-registry-ledger.ts'
import { errorReply, type Reply, send } from './fake-registry-reply.ts'
import { answer, targetOf } from './fake-registry-routes.ts'

export type FakeRegistryOptions = {
  /** PEM. With `clientCa` only clients with a certificate of that CA get in. */
  readonly tls?: { readonly cert: string; readonly key: string; readonly clientCa?: string }
  /** Default: open to all. */
  readonly auth?: AuthOptions | FakeAuth
  /** Serves tokens for a registry elsewhere, and asks for none itself. */
  readonly realmOf?: FakeAuth
  /** Where the realm lies on this server. Default `/token`. */
  readonly tokenPath?: string
  /** Shared with another fake server. Default: its own, empty. */
  readonly content?: FakeContent
  /** Whether it has the referrers API. Default true. */
  readonly referrers?: boolean
  /** Tags or referrers in one answer. Default 1000. */
  readonly pageSize?: number
  /** Default 127.0.0.1. */
  readonly host?: string
  /** Default: any free one. */
  readonly port?: number
}

type After = Pick<TestContext, 'after'>

/** Listens when this resolves; is gone, with every connection, when the test ends. */
export async function startFakeRegistry(t: After, options: FakeRegistryOptions = {}): Promise<FakeRegistry> {
  const registry = new FakeRegistry(options)
  t.after(() => registry.stop())
  await registry.start()
  return registry
}

export class FakeRegistry {
  readonly content: FakeContent
  readonly auth: FakeAuth | undefined
  /** Every request, in order of arrival. */
  readonly ledger = new Ledger()
  readonly #options: FakeRegistryOptions
  readonly #faults = new Faults()
  readonly #sockets = new Map<number, Socket>()
  #server: Server | undefined
  #port = 0
  #accepted = 0
  #alerts = 0
  #alerting = false

  constructor(options: FakeRegistryOptions = {}) {
    this.#options = options
    this.#port = options.port ?? 0
    this.content = options.content ?? new FakeContent()
    this.auth = options.auth instanceof FakeAuth || options.auth === undefined ? options.auth : new FakeAuth(options.auth)
  }

  get port(): number {
    return this.#port
  }

  /** `127.0.0.1:port` */
  get host(): string {
    return `${this.#options.host ?? '127.0.0.1'}:${this.#port}`
  }

  /** Its name in references: host and port. */
  get name(): Registry {
    return parseRegistry(this.host)
  }

  /** `http://127.0.0.1:port` */
  get origin(): string {
    return `${this.#options.tls === undefined ? 'http' : 'https'}://${this.host}`
  }

  /** How many connections clients hold open to it. */
  get connections(): number {
    return this.#sockets.size
  }

  /** How many connections it ever accepted. */
  get accepted(): number {
    return this.#accepted
  }

  /** Listens; again on the same port after `stop`. */
  async start(): Promise<void> {
    const server = this.#createServer()
    server.on('connection', (socket: Socket) => this.#track(socket))
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen({ port: this.#port, host: (this.#options.host ?? '127.0.0.1').replace(/[[\]]/g, '') }, resolve)
    })
    this.#port = (server.address() as AddressInfo).port
    this.#server = server
  }

  /** Closes the port and every connection: from now on connections are refused. */
  async stop(): Promise<void> {
    const server = this.#server
    if (server === undefined) return
    this.#server = undefined
    const closed = new Promise((resolve) => server.close(resolve))
    for (const socket of this.#sockets.values()) socket.destroy()
    await closed
  }

  /** Resets every open connection; new ones are accepted. */
  dropConnections(): void {
    for (const socket of this.#sockets.values()) socket.resetAndDestroy()
  }

  /** From now on every TLS handshake ends with an alert; on connections that stand nothing changes. */
  alertHandshakes(): ActiveFault {
    const before = this.#alerts
    const alerts = (): number => this.#alerts - before
    this.#alerting = true
    return {
      get hits() {
        return alerts()
      },
      remove: () => {
        this.#alerting = false
      },
    }
  }

  /** Changes answers until it is removed, or for the requests that the rule counts. */
  fault(rule: FaultRule): ActiveFault {
    return this.#faults.add(rule)
  }

  // What most tests need of content and ledger, at hand.
  addBlob: FakeContent['addBlob'] = (...args) => this.content.addBlob(...args)
  addGeneratedBlob: FakeContent['addGeneratedBlob'] = (...args) => this.content.addGeneratedBlob(...args)
  addManifest: FakeContent['addManifest'] = (...args) => this.content.addManifest(...args)
  addImage: FakeContent['addImage'] = (...args) => this.content.addImage(...args)
  addIndex: FakeContent['addIndex'] = (...args) => this.content.addIndex(...args)
  requests: Ledger['requests'] = (match) => this.ledger.requests(match)
  count: Ledger['count'] = (match) => this.ledger.count(match)
  bytesSent: Ledger['bytesSent'] = (reference) => this.ledger.bytesSent(reference)
  authorizations: Ledger['authorizations'] = (match) => this.ledger.authorizations(match)
  arrived: Ledger['arrived'] = (match, times) => this.ledger.arrived(match, times)

  #createServer(): Server {
    const handle = (req: IncomingMessage, res: ServerResponse): void => void this.#handle(req, res)
    const { tls } = this.#options
    if (tls === undefined) return createServer(handle)
    const clients = tls.clientCa === undefined ? {} : { ca: tls.clientCa, requestCert: true, rejectUnauthorized: true }
    const server = createTlsServer({ cert: tls.cert, key: tls.key, ...clients }, handle)
    const shakeHands = server.listeners('connection')
    server.removeAllListeners('connection').on('connection', (socket: Socket) => {
      if (this.#alerting) this.#alert(socket)
      else for (const listener of shakeHands) listener.call(server, socket)
    })
    return server
  }

  /** A fatal `internal_error` in answer to the first words of a client (RFC 8446 6.2). */
  #alert(socket: Socket): void {
    socket.on('error', () => {})
    socket.once('data', () => {
      this.#alerts++
      socket.end(Buffer.from([0x15, 3, 3, 0, 2, 2, 80]))
    })
  }

  /** Under TLS the request's socket is not the TCP socket, which alone can be reset: found again by its port. */
  #track(socket: Socket): void {
    const port = socket.remotePort ?? 0
    this.#accepted++
    this.#sockets.set(port, socket)
    socket.once('close', () => this.#sockets.delete(port))
  }

  async #handle(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const socket = this.#sockets.get(req.socket.remotePort ?? 0)
    if (socket === undefined) return
    const form = req.method === 'POST' ? { form: new URLSearchParams(await text(req)) } : {}
    req.resume()
    const request = { ...this.#read(req), ...form }
    this.ledger.add(request)
    const reply = this.#answer(request)
    this.#faults.apply(reply, request)
    await send(res, socket, request, reply)
  }

  #read(req: IncomingMessage): SeenRequest {
    const [path = '/', query = ''] = (req.url ?? '/').split('?', 2)
    return {
      ...targetOf(path, this.#options.tokenPath ?? '/token'),
      method: req.method ?? 'GET',
      path,
      query: new URLSearchParams(query),
      headers: req.headers,
      status: undefined,
      bytesSent: 0,
    }
  }

  #answer(request: SeenRequest): Reply {
    const { realmOf = this.auth, referrers = true, pageSize = 1000 } = this.#options
    if (request.kind === 'token' && realmOf !== undefined) return realmOf.token(request)
    if (request.path.startsWith('/cdn/')) {
      // as S3 does: a signed link and a credential are one too many
      if (request.headers.authorization !== undefined) return errorReply(400, 'INVALID', 'Only one auth mechanism allowed')
    } else {
      const refusal = this.auth?.guard(request, this.origin)
      if (refusal !== undefined) return refusal
    }
    return answer(request, this.content, { referrers, pageSize })
  }
}
