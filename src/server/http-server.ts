/**
 * The HTTP server below a listener, plain or over TLS, and the limits of its connections: what strangers may hold, and for how long.
 * Who speaks the wrong one of the two languages is told so, in HTTP.
 */
import { createServer, IncomingMessage, type Server } from 'node:http'
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https'
import type { Socket } from 'node:net'
import type { TLSSocket, TlsOptions } from 'node:tls'
import type { Log } from '../observe/log.ts'
import { Answer } from './answer.ts'
import { ClientCounts, clientOf } from './clients.ts'

/** How long what may take, in ms. */
export type HttpTimes = {
  readonly keepAlive: number
  readonly headers: number
  readonly request: number
  readonly stalled: number
  /** How often headers and requests are looked after. */
  readonly look: number
}

const TIMES: HttpTimes = {
  /** Longer than any client keeps an idle connection (BuildKit, 120 s), so that none writes into a closing one. */
  keepAlive: 130_000,
  /** From a request's first byte, or the connection's beginning, to the end of its headers; and of a TLS handshake. */
  headers: 20_000,
  /** To the end of a request's body: hardly anything here has one. */
  request: 60_000,
  /** Without a byte in either direction. Pulls may stall for minutes, at a slow client or a slow registry, and go on (containerd waits for 5). */
  stalled: 600_000,
  look: 10_000,
}

/** One client may hold this part of all connections: who opens them and asks for nothing keeps nobody out. This host may hold all. */
const PARTS = 4

/** What is shown to clients and wanted of them; all of it may change while connections are open. */
export type TlsMaterial = Required<Pick<TlsOptions, 'cert' | 'key' | 'ca' | 'minVersion'>>

export type HttpServerOptions = {
  /** Undefined: plain HTTP. */
  readonly tls?: { readonly material: TlsMaterial; readonly clientAuth: 'none' | 'verify' } | undefined
  /** 0: no limit. */
  readonly maxConnections?: number
  /** For tests: other waits. */
  readonly times?: Partial<HttpTimes>
  readonly log: Log
}

export type AnswerServer = Server<typeof IncomingMessage, typeof Answer>
type AnswerTlsServer = TlsServer<typeof IncomingMessage, typeof Answer>

export class HttpServer {
  readonly server: AnswerServer
  readonly #tls: AnswerTlsServer | undefined
  readonly #handshakes = new Map<string, Socket>()
  readonly #limit: ConnectionLimit

  constructor({ tls, maxConnections = 0, log, ...options }: HttpServerOptions) {
    const times = { ...TIMES, ...options.times }
    const { keepAlive: keepAliveTimeout, headers: headersTimeout, request: requestTimeout, look: connectionsCheckingInterval } = times
    const limits = {
      IncomingMessage,
      ServerResponse: Answer,
      keepAliveTimeout,
      headersTimeout,
      requestTimeout,
      connectionsCheckingInterval,
      requireHostHeader: false, // the listener does, and says so in its log
    }
    this.#tls = tls && createTlsServer({ ...limits, ...tlsOptions(tls), ...tls.material, handshakeTimeout: times.headers })
    this.server = this.#tls ?? createServer(limits)
    this.server.timeout = times.stalled
    // `close` ends idle connections by this, in newer Nodes those as well that have asked for nothing yet: the listener knows better which to end
    this.server.closeIdleConnections = () => {}
    this.#limit = new ConnectionLimit(this.server, log)
    this.limitConnections(maxConnections)
    if (this.#tls !== undefined) this.#watchHandshakes(this.#tls, log)
  }

  /** Calls back with each connection on which requests may come. */
  onConnection(took: (socket: Socket) => void): void {
    this.server.on(this.#tls === undefined ? 'connection' : 'secureConnection', took)
  }

  /** How many there may be; those that are open stay, should they be more. @param most 0: no limit */
  limitConnections(most: number): void {
    this.#limit.most = most === 0 ? Number.POSITIVE_INFINITY : most
  }

  /** For connections that begin from now on; those that are open stay as they are. */
  renew(material: TlsMaterial): void {
    this.#tls?.setSecureContext(material)
  }

  /** Ends those that have not got as far as requests: nobody waits for them. */
  endHandshakes(): void {
    for (const socket of this.#handshakes.values()) socket.destroy()
  }

  /** What a client speaks below TLS is known by its address until TLS stands. */
  #watchHandshakes(server: AnswerTlsServer, log: Log): void {
    server.on('connection', (socket: Socket) => {
      const peer = peerOf(socket)
      this.#handshakes.set(peer, socket)
      socket.once('close', () => this.#handshakes.get(peer) === socket && this.#handshakes.delete(peer))
    })
    server.on('secureConnection', (socket: Socket) => this.#handshakes.delete(peerOf(socket)))
    server.on('tlsClientError', (error: NodeJS.ErrnoException, socket: TLSSocket) => {
      if (error.code === 'ERR_SSL_HTTP_REQUEST') this.#handshakes.get(peerOf(socket))?.write(WRONG_LANGUAGE)
      log.info('no TLS with a client', {
        client: socket.remoteAddress,
        error: String(socket.authorizationError ?? error.code ?? error.message),
      })
    })
  }
}

/** HTTP/1.1 only: `h2` is not offered, and who wants nothing else is told by TLS itself. */
function tlsOptions({ clientAuth }: { readonly clientAuth: 'none' | 'verify' }): TlsOptions {
  const verify = clientAuth === 'verify'
  return { ALPNProtocols: ['http/1.1'], requestCert: verify, rejectUnauthorized: verify }
}

/**
 * One more is closed at once; so is one more of a client that has its part. The log says so when that begins, and again only after there was room for a
 * while.
 */
class ConnectionLimit {
  readonly #server: AnswerServer
  readonly #log: Log
  readonly #counts = new ClientCounts(() => Math.ceil(this.most / PARTS))
  #open = 0
  #told = false

  constructor(server: AnswerServer, log: Log) {
    this.#server = server
    this.#log = log
    server.on('drop', (dropped) => this.#tell('too many connections', dropped?.remoteAddress))
    server.on('connection', (socket: Socket) => this.#take(socket))
  }

  get most(): number {
    return this.#server.maxConnections
  }

  set most(most: number) {
    this.#server.maxConnections = most
  }

  #take(socket: Socket): void {
    const client = clientOf(socket.remoteAddress)
    const isTaken = this.#counts.take(client)
    this.#open++
    socket.once('close', () => {
      if (isTaken) this.#counts.leave(client)
      this.#open--
      if (this.#open < this.most * 0.9) this.#told = false
    })
    if (isTaken) return
    this.#tell('too many connections of one client', socket.remoteAddress)
    socket.destroy()
  }

  #tell(message: string, client: string | undefined): void {
    if (!this.#told) this.#log.warn(`${message}: more are closed at once (maxConnections)`, { most: this.most, client })
    this.#told = true
  }
}

function peerOf({ remoteAddress, remotePort, localAddress }: Socket): string {
  return `${remoteAddress} ${remotePort} ${localAddress}`
}

const MESSAGE = JSON.stringify({ errors: [{ code: 'UNSUPPORTED', message: 'this port speaks https: the request came by plain http' }] })
const WRONG_LANGUAGE = [
  'HTTP/1.1 400 Bad Request',
  'connection: close',
  'content-type: application/json',
  `content-length: ${Buffer.byteLength(MESSAGE)}`,
  '',
  MESSAGE,
].join('\r\n')
