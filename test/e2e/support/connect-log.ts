/** The proxy that clients are given: it lets nothing out and remembers who wanted to leave, so an empty list says that the mirror satisfied the client. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type Cleanup, onEnd } from './cleanup.ts'

export type ConnectLog = {
  /** Hosts (`CONNECT`) and URLs (plain requests) that a client wanted to reach around the mirror. */
  readonly attempts: readonly string[]
  /** The environment that sends a client here, and to 127.0.0.1 directly. */
  readonly env: NodeJS.ProcessEnv
}

export async function openConnectLog(t: Cleanup): Promise<ConnectLog> {
  const attempts: string[] = []
  const server = createServer((request, response) => {
    attempts.push(`${request.method} ${request.url}`)
    response.writeHead(502, { 'content-length': 0 }).end()
  })
  server.on('connect', (request, socket) => {
    attempts.push(`CONNECT ${request.url}`)
    socket.on('error', () => {})
    socket.end('HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n')
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onEnd(t, () => new Promise((resolve) => server.close(resolve).closeAllConnections()))
  const proxy = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const env = { PATH: process.env.PATH, HTTPS_PROXY: proxy, HTTP_PROXY: proxy, NO_PROXY: '127.0.0.1,localhost' }
  return { attempts, env }
}
