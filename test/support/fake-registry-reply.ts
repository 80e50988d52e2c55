/** An answer of a fake registry as data that faults may change, and the one function that sends it. */
import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { type ByteSource, bytesOf } from './fake-registry-bytes.ts'
import type { SeenRequest } from './fake-registry-ledger.ts'
import { passedOn } from './fake-registry-sockets.ts'

/** Holds whoever waits at it until a test opens it. */
export class Gate {
  #open: () => void = () => {}
  readonly opened = new Promise<void>((resolve) => {
    this.#open = resolve
  })

  open(): void {
    this.#open()
  }
}

export type Cut = { readonly at: number; readonly how: 'fin' | 'rst' }

/** Offsets count from the first byte of this answer's body. */
export type Reply = {
  status: number
  /** Names in lower case. `content-length` is added where `chunked` is false and it is absent. */
  headers: Record<string, string | string[]>
  body: ByteSource
  /** Drops the connection instead of answering. */
  refused: boolean
  /** Opened before the headers go out. */
  gates: Gate[]
  hangs: { readonly at: number; readonly gate: Gate }[]
  cut: Cut | undefined
  flips: number[]
  bytesPerSecond: number | undefined
  chunked: boolean
}

export function reply(status: number, headers: Reply['headers'] = {}, body: Buffer | ByteSource = Buffer.alloc(0)): Reply {
  return {
    status,
    headers,
    body: Buffer.isBuffer(body) ? bytesOf(body) : body,
    refused: false,
    gates: [],
    hangs: [],
    cut: undefined,
    flips: [],
    bytesPerSecond: undefined,
    chunked: false,
  }
}

export function jsonReply(status: number, json: unknown, headers: Reply['headers'] = {}): Reply {
  return reply(status, { 'content-type': 'application/json', ...headers }, Buffer.from(JSON.stringify(json)))
}

export function errorReply(status: number, code: string, message = code, headers: Reply['headers'] = {}): Reply {
  return jsonReply(status, { errors: [{ code, message }] }, headers)
}

/** @param socket the TCP socket, also under TLS. Never rejects: a client that leaves ends it. */
export async function send(res: ServerResponse, socket: Socket, request: SeenRequest, answer: Reply): Promise<void> {
  const gone = new AbortController()
  res.once('close', () => gone.abort())
  for (const gate of answer.gates) await opened(gate, gone.signal)
  if (gone.signal.aborted) return
  if (answer.refused) return reset(socket)
  request.status = answer.status
  res.writeHead(answer.status, framed(answer))
  if (request.method === 'HEAD') res.end()
  else await sendBody(res, socket, request, answer, gone.signal)
}

function framed(answer: Reply): Reply['headers'] {
  if (answer.chunked || answer.headers['content-length'] !== undefined) return answer.headers
  return { ...answer.headers, 'content-length': String(answer.body.sizeBytes) }
}

async function sendBody(res: ServerResponse, socket: Socket, request: SeenRequest, answer: Reply, gone: AbortSignal): Promise<void> {
  res.flushHeaders()
  const end = Math.min(answer.cut?.at ?? Number.POSITIVE_INFINITY, answer.body.sizeBytes)
  let at = 0
  for (const hang of answer.hangs.filter((hang) => hang.at <= end).sort((a, b) => a.at - b.at)) {
    await pump(res, request, answer, at, hang.at, gone)
    at = hang.at
    await opened(hang.gate, gone)
  }
  await pump(res, request, answer, at, end, gone)
  if (gone.aborted) return
  if (answer.cut !== undefined) return cut(res, socket, answer.cut)
  const declared = answer.headers['content-length']
  if (declared !== undefined && Number(declared) !== answer.body.sizeBytes) return cut(res, socket, { at: end, how: 'fin' })
  res.end()
}

async function pump(res: ServerResponse, request: SeenRequest, answer: Reply, from: number, to: number, gone: AbortSignal): Promise<void> {
  let at = from
  for (const chunk of answer.body.read(from, to)) {
    for (const piece of pieces(chunk, answer.bytesPerSecond)) {
      if (gone.aborted) return
      if (!res.write(flipped(piece, at, answer.flips))) await drained(res)
      at += piece.length
      request.bytesSent += piece.length
      if (answer.bytesPerSecond !== undefined) await pause((piece.length / answer.bytesPerSecond) * 1000, gone)
    }
  }
}

/** Some fifty a second where the rate is limited, at least a byte each; else the chunk as it is. */
function* pieces(chunk: Buffer, bytesPerSecond: number | undefined): Iterable<Buffer> {
  const step = bytesPerSecond === undefined ? chunk.length : Math.max(1, Math.floor(bytesPerSecond / 50))
  for (let at = 0; at < chunk.length; at += step) yield chunk.subarray(at, at + step)
}

function flipped(piece: Buffer, at: number, flips: readonly number[]): Buffer {
  const hits = flips.filter((flip) => flip >= at && flip < at + piece.length)
  if (hits.length === 0) return piece
  const copy = Buffer.from(piece)
  for (const hit of hits) copy.writeUInt8(copy.readUInt8(hit - at) ^ 1, hit - at)
  return copy
}

async function cut(res: ServerResponse, socket: Socket, { how }: Cut): Promise<void> {
  await new Promise((resolve) => res.write('', resolve))
  if (how === 'fin') return void res.socket?.end()
  await passedOn(socket)
  reset(socket)
}

function reset(socket: Socket): void {
  if (!socket.destroyed) socket.resetAndDestroy()
}

function opened(gate: Gate, gone: AbortSignal): Promise<void> {
  return Promise.race([gate.opened, aborted(gone)])
}

/** Resolves when more may be written, or nobody reads any more. */
function drained(res: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      res.off('drain', done).off('close', done)
      resolve()
    }
    res.on('drain', done).on('close', done)
  })
}

function aborted(signal: AbortSignal): Promise<void> {
  return signal.aborted ? Promise.resolve() : new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return delay(ms, undefined, { signal, ref: false }).catch(() => {})
}
