/** A registry in front of the registry: passes everything on at a chosen pace, and counts what was asked and sent. */
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Cleanup, onEnd } from './cleanup.ts'

export type Exchange = { readonly method: string; readonly path: string; readonly range: string | undefined; sentBytes: number }
export type CountingUpstream = { readonly url: string; readonly exchanges: readonly Exchange[] }

export async function openCountingUpstream(t: Cleanup, target: string, bytesPerSecond: number): Promise<CountingUpstream> {
  const exchanges: Exchange[] = []
  const server = createServer((incoming, outgoing) => {
    const exchange = { method: incoming.method ?? '', path: incoming.url ?? '', range: incoming.headers.range, sentBytes: 0 }
    exchanges.push(exchange)
    passOn(incoming, outgoing, target, pace(exchange, bytesPerSecond))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onEnd(t, () => new Promise((resolve) => server.close(resolve).closeAllConnections()))
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, exchanges }
}

function passOn(incoming: IncomingMessage, outgoing: ServerResponse, target: string, body: Transform): void {
  const { method, headers } = incoming
  const upstream = request(new URL(incoming.url ?? '/', target), { ...(method && { method }), headers })
  upstream.once('error', () => outgoing.destroy())
  upstream.once('response', (answer) => {
    outgoing.writeHead(answer.statusCode ?? 502, answer.headers)
    pipeline(answer, body, outgoing).catch(() => upstream.destroy())
  })
  upstream.end()
}

/** Holds a body to a rate, by the time at which each byte was due. */
function pace(exchange: Exchange, bytesPerSecond: number): Transform {
  const startedMs = performance.now()
  return new Transform({
    async transform(chunk: Buffer, _encoding, done) {
      exchange.sentBytes += chunk.length
      const dueMs = startedMs + (exchange.sentBytes / bytesPerSecond) * 1000
      const earlyMs = dueMs - performance.now()
      if (earlyMs > 1) await sleep(earlyMs)
      done(null, chunk)
    },
  })
}
