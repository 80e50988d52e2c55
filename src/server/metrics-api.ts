/** Answers `/metrics`. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Exposition } from '../observe/exposition.ts'
import { writeBody } from './respond.ts'

export function isForMetrics(url: string): boolean {
  return url === '/metrics' || url.startsWith('/metrics?')
}

/** @param expose does not reject */
export async function answerMetrics(req: IncomingMessage, res: ServerResponse, expose: () => Promise<Exposition>): Promise<void> {
  if (req.method !== 'GET' && req.method !== 'HEAD') {
    writeBody(res, 405, ['cache-control', 'no-store', 'allow', 'GET, HEAD'], '')
    return
  }
  const { contentType, text } = await expose()
  writeBody(res, 200, ['cache-control', 'no-store', 'content-type', contentType], text)
}
