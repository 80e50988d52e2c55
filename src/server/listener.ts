/** The listener and its life: HTTP limits, one request of a socket at a time, a log line per request, and a stop that lets answers end. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import type { Clock } from '../observe/clock.ts'
import type { Log } from '../observe/log.ts'

/** Longer than any client keeps an idle connection (BuildKit, 120 s), so that none writes into a closing one. */
const KEEP_ALIVE_MS = 130_000
/** From a request's first byte to the end of its headers. */
const HEADERS_MS = 20_000
/** Requests of one socket that wait for their turn; nobody pipelines so many in earnest. */
const MAX_PIPELINED = 100

export type ListenerDeps = {
  readonly handle: (req: IncomingMessage, res: ServerResponse) => Promise<void>
  readonly clock: Clock
  readonly log: Log
}

export class Listener {
  readonly #deps: ListenerDeps
  readonly #server: Server
  /** Of every open connection: the requests that are answered or wait for it. */
  readonly #turns = new Map<Socket, { last: Promise<void>; waiting: number }>()
  #stopping = false

  constructor(deps: ListenerDeps) {
    this.#deps = deps
    this.#server = createServer({ keepAliveTimeout: KEEP_ALIVE_MS, headersTimeout: HEADERS_MS }, (req, res) => this.#take(req, res))
    this.#server.on('checkContinue', (req: IncomingMessage, res: ServerResponse) => {
      res.shouldKeepAlive = false // nothing here reads a body, so that this one need not come
      this.#take(req, res)
    })
    this.#server.on('connection', (socket) => {
      this.#turns.set(socket, { last: Promise.resolve(), waiting: 0 })
      socket.once('close', () => this.#turns.delete(socket))
    })
  }

  /** @returns the port it listens on. @throws the system's error */
  start(host: string, port: number): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen({ host, port }, () => {
        this.#server.off('error', reject)
        this.#server.on('error', (error) => this.#deps.log.error('listener failed', { error }))
        resolve((this.#server.address() as AddressInfo).port)
      })
    })
  }

  /** Stops listening and resolves when every answer has ended, or after `graceMs`, when the rest is cut. */
  async stop(graceMs: number): Promise<void> {
    this.#stopping = true
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    for (const [socket, { waiting }] of this.#turns) if (waiting === 0) socket.destroy()
    const done = new AbortController()
    await Promise.race([closed, this.#deps.clock.sleep(graceMs, done.signal)])
    done.abort()
    this.#server.closeAllConnections()
    await closed
  }

  /** Answers of one socket go out in the order of its requests anyway; handling them one by one keeps a pipelining client from holding many. */
  #take(req: IncomingMessage, res: ServerResponse): void {
    this.#logWhenDone(req, res)
    const turns = this.#turns.get(req.socket)
    if (turns === undefined) return
    if (++turns.waiting > MAX_PIPELINED) {
      req.socket.destroy()
      return
    }
    turns.last = turns.last
      .then(() => this.#answer(req, res))
      .finally(() => {
        turns.waiting--
        if (this.#stopping && turns.waiting === 0) req.socket.destroySoon()
      })
  }

  /**
   * Resolves when the answer has left, and the next one has the socket: one that has none yet would not hear of its client leaving.
   * Where the connection ended before its turn, nobody is there to answer.
   */
  async #answer(req: IncomingMessage, res: ServerResponse): Promise<void> {
    if (res.socket === null || res.socket.destroyed) return
    const closed = new Promise<void>((resolve) => res.once('close', resolve))
    await this.#deps.handle(req, res)
    await closed
  }

  #logWhenDone(req: IncomingMessage, res: ServerResponse): void {
    const { clock, log } = this.#deps
    const began = clock.monotonic()
    const client = req.socket.remoteAddress
    res.once('close', () => {
      log.info(`${req.method} ${req.url}`, {
        status: res.statusCode,
        ms: Math.round((clock.monotonic() - began) * 10) / 10,
        client,
        cache: res.getHeader('cache-status'),
        ...(res.writableFinished ? {} : { ended: 'short' }),
      })
    })
  }
}
