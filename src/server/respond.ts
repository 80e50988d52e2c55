/** Writes answers without a blob behind them: the one place that answers for a failure, and short JSON. */
import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http'
import type { OciError } from '../oci/error.ts'

/** After this a client that does not close its half is cut off. */
const LINGER_MS = 5_000

/** Sends a body whole; of a HEAD request its headers only. */
export function writeBody(res: ServerResponse, status: number, headers: OutgoingHttpHeaders, body: Uint8Array | string): void {
  res.writeHead(status, { ...headers, 'content-length': Buffer.byteLength(body) })
  if (res.req.method === 'HEAD') res.end()
  else res.end(body)
}

export function writeError(res: ServerResponse, error: OciError): void {
  if (res.headersSent) {
    endShort(res.req, res)
    return
  }
  const body = JSON.stringify({ errors: [{ code: error.code, message: error.message }] })
  writeBody(res, error.status, { 'content-type': 'application/json', ...error.headers }, body)
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
