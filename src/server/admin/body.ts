/** The JSON body of an admin request. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { OciError } from '../../oci/error.ts'
import { badRequest } from './parameters.ts'

/** @throws OciError 400 for what is no JSON object, 413 for one that is larger than `maxBytes` */
export async function readObject(req: IncomingMessage, res: ServerResponse, maxBytes: number): Promise<Readonly<Record<string, unknown>>> {
  const text = (await readBody(req, res, maxBytes)).toString('utf8')
  try {
    const json: unknown = JSON.parse(text)
    if (typeof json === 'object' && json !== null && !Array.isArray(json)) return json as Readonly<Record<string, unknown>>
  } catch {
    // told below
  }
  throw badRequest('body: found no JSON object')
}

/** Not by `for await`, which would end the connection with what is too large, and with it the answer that says so. */
function readBody(req: IncomingMessage, res: ServerResponse, maxBytes: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let bytes = 0
    const refuse = () => {
      chunks.length = 0
      res.shouldKeepAlive = false
      reject(new OciError(413, 'SIZE_INVALID', `body: found more than ${maxBytes} bytes`))
    }
    req.on('data', (chunk: Buffer) => {
      bytes += chunk.byteLength
      if (bytes > maxBytes) refuse()
      else chunks.push(chunk)
    })
    req.once('end', () => resolve(Buffer.concat(chunks)))
    req.once('close', () => reject(badRequest('body: it was cut off')))
    if (Number(req.headers['content-length'] ?? 0) > maxBytes) refuse()
    else if (req.headers.expect !== undefined) res.writeContinue() // curl waits for it before it sends more than a little
  })
}
