/** Writes answers without a blob behind them: the one place that answers for a failure, and short JSON. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { OciError } from '../oci/error.ts'

/** After this a client that does not close its half is cut off. */
const LINGER_MS = 5_000

/**
 * Names and values in turn, as Node takes them at once: an object whose keys are put together for each answer gets a hidden class of its own
 * each time, and half of the time and most of the memory of a cached manifest went there.
 */
export type HeaderList = string[]

/** Sends a body whole; of a HEAD request its headers only. @param headers get its length as well */
export function writeBody(res: ServerResponse, status: number, headers: HeaderList, body: Uint8Array | string): void {
  headers.push('content-length', String(Buffer.byteLength(body)))
  res.writeHead(status, headers)
  if (res.req.method === 'HEAD') res.end()
  else res.end(body)
}

/** @param headers of every answer to that request */
export function writeError(res: ServerResponse, error: OciError, headers: HeaderList): void {
  if (res.headersSent) {
    endShort(res.req, res)
    return
  }
  const body = JSON.stringify({ errors: [{ code: error.code, message: error.message }] })
  const own = Object.entries(error.headers).filter(([name]) => !headers.includes(name))
  writeBody(res, error.status, [...headers, 'content-type', 'application/json', ...own.flat()], body)
}

/**
 * Ends an answer short of its length, so that it looks cut: FIN, which clients resume from, and not RST, on which they give up.
 * Unread request bytes would turn the one into the other.
 */
export function endShort(req: IncomingMessage, res: ServerResponse): void {
  req.resume()
  const socket = res.socket
  if (socket === null || socket.destroyed) return
  socket.end()
  setTimeout(() => socket.destroy(), LINGER_MS).unref()
}
