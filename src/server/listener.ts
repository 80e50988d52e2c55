/** The listener and its life: HTTP limits, one request of a socket at a time, a log line per request, and a stop that lets answers end. */
import type { IncomingMessage } from 'node:http'
import type { AddressInfo, ListenOptions, Socket } from 'node:net'
import { OVER } from '../async/over.ts'
import type { Clock } from '../observe/clock.ts'
import type { Metrics } from '../observe/metrics.ts'
import { OciError } from '../oci/error.ts'
import type { Answer } from './answer.ts'
import { type AnswerServer, HttpServer, type HttpServerOptions, type TlsMaterial } from './http-server.ts'
import { RequestIds } from './request-id.ts'
import { answeredRequest, type FinishedRequest, type Note, requestFields, requestMessage } from './request-line.ts'
import { writeError } from './respond.ts'

/** How long a stop waits for the request of a client that has only connected: some take it for a failure when such a connection ends. */
const UNASKED_MS = 1_000
/** Requests of one socket that wait for their turn; nobody pipelines so many in earnest. */
const MAX_PIPELINED = 100

const STOPPING = new OciError(503, 'UNAVAILABLE', 'the server is stopping', { 'retry-after': '1' })

/** RFC 9110, 10.1.1 */
const UNKNOWN_EXPECTATION = new OciError(417, 'UNSUPPORTED', 'Expect: found something else, want 100-continue or no such header')
/** RFC 9112, 3.2 */
const NO_HOST = new OciError(400, 'UNSUPPORTED', 'Host: found none, want one in a request of HTTP/1.1')

export type ListenerDeps = HttpServerOptions & {
  /** Answers one request; a promise where it takes longer than this turn. Neither throws nor rejects. */
  readonly handle: (req: IncomingMessage, res: Answer, note: Note) => void | Promise<void>
  readonly clock: Clock
  readonly metrics?: Pick<Metrics, 'answered'> | undefined
}

/** A request and its answer: over when the handler is done and the answer has left. */
type Turn = {
  readonly req: IncomingMessage
  readonly res: Answer
  readonly note: Note
  readonly client: string | undefined
  readonly beganMs: number
  /** Why it is not handed on. */
  readonly refusal: OciError | undefined
  /** What is not over yet of the two. */
  open: number
}

/** Of an open connection: the request that is being answered, those that wait for it, and whether there ever was one. */
type Connection = { current: Turn | undefined; readonly waiting: Turn[]; asked: boolean }

export class Listener {
  readonly #deps: ListenerDeps
  readonly #http: HttpServer
  readonly #server: AnswerServer
  readonly #ids = new RequestIds()
  readonly #connections = new Map<Socket, Connection>()
  #stopping = false

  constructor(deps: ListenerDeps) {
    this.#deps = deps
    this.#http = new HttpServer(deps)
    this.#server = this.#http.server
    this.#server.on('request', (req, res) => this.#take(req, res))
    this.#server.on('checkContinue', (req, res) => {
      res.shouldKeepAlive = false // hardly anything here reads a body: who does asks for it, and else it need not come
      this.#take(req, res)
    })
    this.#server.on('checkExpectation', (req, res) => this.#take(req, res, UNKNOWN_EXPECTATION))
    this.#http.onConnection((socket) => {
      this.#connections.set(socket, { current: undefined, waiting: [], asked: false })
      socket.once('close', () => this.#connections.delete(socket))
    })
  }

  /** @returns the port it listens on. @throws the system's error */
  async start(host: string, port: number): Promise<number> {
    return (await this.#listen({ host, port }))?.port ?? port
  }

  /**
   * Accepts from a socket that somebody else has opened, and keeps open when this one stops.
   * @param fd its descriptor
   * @param role what it is for
   * @returns its address; undefined for a Unix socket, whose path nobody says
   * @throws Error in one line
   */
  adopt(fd: number, role: string): Promise<AddressInfo | undefined> {
    return this.#listen({ fd }).catch((cause: Error) => {
      const found = `found what is no stream socket that listens (${cause.message})`
      throw new Error(`cannot listen on descriptor ${fd} of the service manager, for ${role}: ${found}, want one (ListenStream=)`, {
        cause,
      })
    })
  }

  /**
   * Accepts no more, and resolves when every answer has ended, or after `graceMs`, when the rest is cut, and who has no answer yet is told to come again.
   * From now on each answer says that it is the last one of its connection.
   */
  async stop(graceMs: number): Promise<void> {
    const { clock } = this.#deps
    const done = new AbortController()
    const grace = clock.sleep(graceMs, done.signal)
    const unasked = clock.sleep(Math.min(graceMs, UNASKED_MS), done.signal)
    this.#stopping = true
    for (const connection of this.#connections.values()) announceEnd(connection)
    await new Promise((resolve) => setImmediate(resolve)) // whoever has asked by now is answered
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    this.#http.endHandshakes()
    this.#endIdle(({ asked }) => asked)
    void unasked.then(() => this.#endIdle(() => true))
    if (await Promise.race([closed, grace])) await this.#refuseRest()
    done.abort(OVER)
    this.#server.closeAllConnections()
    await closed
  }

  #listen(options: ListenOptions | { readonly fd: number }): Promise<AddressInfo | undefined> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen(options, () => {
        this.#server.off('error', reject)
        this.#server.on('error', (error) => this.#deps.log.error('listener failed', { error }))
        const address = this.#server.address()
        resolve(typeof address === 'object' && address !== null ? address : undefined)
      })
    })
  }

  /** @param most 0: no limit */
  limitConnections(most: number): void {
    this.#http.limitConnections(most)
  }

  /** TLS with other files, for connections that begin from now on. */
  renewTls(material: TlsMaterial): void {
    this.#http.renew(material)
  }

  async #refuseRest(): Promise<void> {
    for (const { current } of this.#connections.values()) {
      if (current?.res.headersSent === false) writeError(current.res, STOPPING, ['cache-control', 'no-store'])
    }
    await new Promise((resolve) => setImmediate(resolve)) // by then the system has what was written
  }

  #endIdle(which: (connection: Connection) => boolean): void {
    for (const [socket, connection] of this.#connections) if (connection.current === undefined && which(connection)) socket.destroy()
  }

  /** Answers of one socket go out in the order of its requests anyway; handling them one by one keeps a pipelining client from holding many. */
  #take(req: IncomingMessage, res: Answer, refusal = lacksHost(req) ? NO_HOST : undefined): void {
    const { clock } = this.#deps
    const connection = this.#connections.get(req.socket)
    const turn: Turn = { req, res, note: {}, client: req.socket.remoteAddress, beganMs: clock.monotonic(), refusal, open: 2 }
    res.prepare(this.#ids.of(req.headers['x-request-id']), clock)
    res.on('close', () => {
      if (connection?.current !== turn) return // newer Nodes close those as well that never had their turn
      this.#tell(turn)
      this.#part(connection, turn)
    })
    if (this.#stopping || refusal !== undefined) res.shouldKeepAlive = false
    if (connection === undefined || (connection.current === undefined && isOver(req.socket))) return
    connection.asked = true
    if (connection.current === undefined) this.#begin(connection, turn)
    else if (connection.waiting.push(turn) >= MAX_PIPELINED) req.socket.destroy()
  }

  #begin(connection: Connection, turn: Turn): void {
    connection.current = turn
    const handling = turn.refusal === undefined ? this.#deps.handle(turn.req, turn.res, turn.note) : refuse(turn, turn.refusal)
    if (handling === undefined) this.#part(connection, turn)
    else handling.then(() => this.#part(connection, turn))
  }

  /**
   * The next request has its turn when the answer before it has left and has the socket no more: one that has none yet would not hear of its
   * client leaving. Where the connection ended before its turn, nobody is there to answer; where the answer before it said that it was the last one,
   * what came behind is not heeded (RFC 9112, 9.6).
   */
  #part(connection: Connection, turn: Turn): void {
    if (--turn.open > 0 || connection.current !== turn) return
    connection.current = undefined
    const next = connection.waiting.shift()
    if (next === undefined) {
      if (this.#stopping) turn.req.socket.destroySoon()
    } else if (next.res.socket !== null && !isOver(next.res.socket)) this.#begin(connection, next)
  }

  /** The one place where a request is logged and counted. */
  #tell({ req, res, note, client, beganMs }: Turn): void {
    const { clock, log, metrics } = this.#deps
    const level = note.level ?? 'info'
    const isLogged = log.isOn(level)
    if (!isLogged && metrics === undefined) return
    const finished: FinishedRequest = {
      id: res.requestId,
      method: req.method,
      url: req.url,
      note,
      client,
      status: res.statusCode,
      bytes: res.bodyBytes,
      firstMs: res.beganMs === undefined ? undefined : res.beganMs - beganMs,
      totalMs: clock.monotonic() - beganMs,
      isWhole: res.writableFinished,
    }
    if (isLogged) log[level](requestMessage(finished), requestFields(finished))
    metrics?.answered(answeredRequest(finished))
  }
}

function lacksHost({ headers, httpVersion }: IncomingMessage): boolean {
  return headers.host === undefined && httpVersion === '1.1'
}

function refuse({ res, note }: Turn, refusal: OciError): void {
  note.why = refusal.message
  writeError(res, refusal, ['cache-control', 'no-store'])
}

/** Whether no answer can go out any more: Node ends its side of a connection behind an answer that said it was the last one. */
function isOver({ destroyed, writableEnded }: Socket): boolean {
  return destroyed || writableEnded
}

/** The last answer that is still to come says so, unless its headers have left. */
function announceEnd({ current, waiting }: Connection): void {
  const last = waiting.at(-1) ?? current
  if (last?.res.headersSent === false) last.res.shouldKeepAlive = false
}
