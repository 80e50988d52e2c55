/** Sends the bytes of a blob to one client, at that client's pace. */
import type { ServerResponse } from 'node:http'
import type { ByteRange } from '../oci/range.ts'
import type { ReadableBlob } from '../store/store.ts'
import { type BufferPool, ResponseBuffers } from './buffers.ts'

/** The client closed the connection before it had everything: its right, and no error of ours. */
export class ClientGone extends Error {
  constructor() {
    super('the client closed the connection')
    this.name = 'ClientGone'
  }
}

/**
 * Sends `range` of `blob` (inclusive, as on the wire) and ends the response.
 * @throws ClientGone, or what reading the blob threw: then the response is still open, and short
 */
export async function sendBlob(res: ServerResponse, blob: ReadableBlob, range: ByteRange, pool: BufferPool): Promise<void> {
  const buffers = new ResponseBuffers(pool)
  const cut = () => res.destroy() // what the kernel has still goes out, and FIN behind it
  blob.cut?.addEventListener('abort', cut, { once: true })
  try {
    for await (const chunk of blob.read(range.start, range.end + 1, buffers)) {
      const began = performance.now()
      await write(res, chunk)
      buffers.sent(chunk.byteLength, performance.now() - began)
    }
    res.end()
  } finally {
    blob.cut?.removeEventListener('abort', cut)
  }
}

/** Resolves when the kernel has taken the chunk, so that its buffer may be used again; by the time of 'close' no write is under way any more. */
function write(res: ServerResponse, chunk: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    if (res.closed || res.destroyed) {
      reject(new ClientGone())
      return
    }
    const gone = () => reject(new ClientGone())
    res.once('close', gone)
    res.write(chunk, (error) => {
      res.off('close', gone)
      if (error) reject(new ClientGone())
      else resolve()
    })
  })
}
