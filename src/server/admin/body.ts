/** The body of an admin request: JSON where one is wanted, and nothing where none is. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { OciError } from '../../oci/error.ts'
import { badRequest } from './parameters.ts'

/** @throws OciError 400 for what is no JSON object, 413 for one that is larger than `maxBytes` */
export async function readObject(req: IncomingMessage, res: ServerResponse, maxBytes: number): Promise<Readonly<Record<string, unknown>>> {
  const tooLarge = new OciError(413, 'SIZE_INVALID', `body: found more than ${maxBytes} bytes`)
  const text = (await readBody(req, res, maxBytes, tooLarge)).toString('utf8')
  try {
    const json: unknown = JSON.parse(text)
    if (typeof json === 'object' && json !== null && !Array.isArray(json)) return json as Readonly<Record<string, unknown>>
  } catch {
    // told below
  }
  throw badRequest('body: found no JSON object')
}

/**
 * Lets nobody think that what they sent was heeded. A body without content is none.
 * @param want what is to be done in its place. @throws OciError 400
 */
export async function refuseBody(req: IncomingMessage, res: ServerResponse, want: string): Promise<void> {
  const { 'content-length': length, 'transfer-encoding': encoding } = req.headers
  if (encoding === undefined && Number(length ?? 0) === 0) return
  await readBody(req, res, 0, badRequest(`body: found one, want ${want}`))
}

/** Not by `for await`, which would end the connection with what is too large, and with it the answer that says so. */
function readBody(req: IncomingMessage, res: ServerResponse, maxBytes: number, tooLarge: OciError): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let bytes = 0
    const refuse = () => {
      chunks.length = 0
      res.shouldKeepAlive = false
      reject(tooLarge)
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
