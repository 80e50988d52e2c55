/** The upstream, a process of its own: a registry of plain files that may be slow, and that counts what it sends. Prints its port. */
import { once } from 'node:events'
import { open, readFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { decideRange } from '../../src/oci/range.ts'
import type { Item } from '../content.ts'
import { Bucket } from './bucket.ts'
import type { Sent } from './start.ts'

const [contentFile = '', linkBytesPerSecond = ''] = process.argv.slice(2)
const items = new Map<string, Item>((JSON.parse(await readFile(contentFile, 'utf8')) as Item[]).map((item) => [item.path, item]))
const link = new Bucket(Number(linkBytesPerSecond))
const sent: Sent = { bodyBytes: 0, requests: 0, running: 0 }
const chunkBytes = 64 * 1024

function json(response: ServerResponse, status: number, value: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value))
}

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { pathname } = new URL(request.url ?? '/', 'http://upstream')
  if (pathname === '/sent') return json(response, 200, sent)
  if (pathname === '/v2/') return json(response, 200, {})
  const item = items.get(decodeURIComponent(pathname))
  if (item === undefined) return json(response, 404, { errors: [{ code: 'NAME_UNKNOWN', message: `no ${pathname}` }] })
  sent.requests += 1
  sent.running += 1
  try {
    await sendItem(item, request, response)
  } finally {
    sent.running -= 1
  }
}

async function sendItem(item: Item, { method, headers }: IncomingMessage, response: ServerResponse): Promise<void> {
  const decision = decideRange(headers.range, item.sizeBytes)
  if (decision === 'unsatisfiable') {
    response.writeHead(416, { 'content-range': `bytes */${item.sizeBytes}` }).end()
    return
  }
  const whole = { start: 0, end: item.sizeBytes - 1 }
  const { start, end } = decision === 'whole' ? whole : decision
  response.writeHead(decision === 'whole' ? 200 : 206, {
    'content-type': item.mediaType,
    'content-length': end - start + 1,
    'docker-content-digest': item.digest,
    'accept-ranges': 'bytes',
    ...(decision === 'whole' ? {} : { 'content-range': `bytes ${start}-${end}/${item.sizeBytes}` }),
  })
  if (method !== 'HEAD') await sendBytes(item.file, start, end, response)
  response.end()
}

/** By the chunk, as the link has room and the other side takes them; who leaves early ends it. */
async function sendBytes(file: string, start: number, end: number, response: ServerResponse): Promise<void> {
  const gone = new AbortController()
  response.once('close', () => gone.abort())
  const handle = await open(file)
  try {
    for (let offset = start; offset <= end && !gone.signal.aborted; ) {
      const length = Math.min(chunkBytes, end + 1 - offset)
      const { buffer, bytesRead } = await handle.read(Buffer.allocUnsafe(length), 0, length, offset)
      await link.take(bytesRead)
      if (gone.signal.aborted) break
      offset += bytesRead
      sent.bodyBytes += bytesRead
      if (!response.write(buffer.subarray(0, bytesRead))) await once(response, 'drain', { signal: gone.signal }).catch(() => {})
    }
  } finally {
    await handle.close()
  }
}

const server = createServer((request, response) => {
  answer(request, response).catch((error) => {
    process.stderr.write(`${error.stack}\n`)
    response.destroy()
  })
})
server.listen(0, '127.0.0.1', () => process.stdout.write(`${(server.address() as AddressInfo).port}\n`))
