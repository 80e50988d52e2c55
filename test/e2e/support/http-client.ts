/** A client as plain as can be: `node:http`, a connection of its own for each request, exact bytes. */
import { createHash } from 'node:crypto'
import { type IncomingHttpHeaders, type IncomingMessage, request } from 'node:http'

export type Answer = { readonly status: number; readonly headers: IncomingHttpHeaders; readonly bytes: Buffer }
export type AskOptions = {
  readonly method?: 'GET' | 'HEAD'
  readonly headers?: Record<string, string>
  /** Breaks the request off, and the body with it. */
  readonly signal?: AbortSignal
}

/** The answer's head; its body waits to be read. */
export function open(url: string, { method = 'GET', headers = {}, signal }: AskOptions = {}): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    request(url, { method, headers, agent: false, ...(signal && { signal }) })
      .once('response', resolve)
      .on('error', reject)
      .end()
  })
}

export async function ask(url: string, options: AskOptions = {}): Promise<Answer> {
  const response = await open(url, options)
  const chunks: Buffer[] = []
  for await (const chunk of response) chunks.push(chunk)
  return { status: response.statusCode ?? 0, headers: response.headers, bytes: Buffer.concat(chunks) }
}

/** Reads to the end, as fast as it comes; a body that ends short throws. */
export async function digestOfBody(response: IncomingMessage): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of response) hash.update(chunk)
  return `sha256:${hash.digest('hex')}`
}
