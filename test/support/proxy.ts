/** A real forward proxy on loopback, in this process: it leads wherever it is asked to, remembers what it was asked, and can be told to misbehave. */
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { type AddressInfo, connect, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { TestContext } from 'node:test'
import type { ProxyConfig } from '../../src/config/config.ts'
import { readProxies } from '../../src/config/proxies.ts'

export type FakeProxyOptions = {
  /** PEM: clients speak TLS to it. */
  readonly tls?: { readonly cert: string; readonly key: string }
  /** `user:password`; whoever does not know them gets 407. */
  readonly credentials?: string
  /** Its `Proxy-Authenticate`. Default `Basic realm="proxy"`. */
  readonly challenge?: string
  /** What it writes in answer to CONNECT instead of opening a tunnel; an empty text: nothing, ever. */
  readonly answer?: string
  /** Written together with its 200. */
  readonly early?: string
  /** Written behind `answer`, as soon as the client says something into its tunnel. */
  readonly late?: string
}

/** What it was asked, as it was written. */
export type Asked = { readonly method: string; readonly target: string; readonly headers: IncomingMessage['headers'] }

export type FakeProxy = {
  readonly port: number
  /** `http://127.0.0.1:port` */
  readonly origin: string
  readonly asked: readonly Asked[]
  /** CONNECT and GET targets, in order. */
  readonly targets: () => string[]
  /** Connections that clients hold open to it. */
  readonly connections: () => number
  stop(): Promise<void>
}

/** Every name leads to 127.0.0.1, as if this proxy alone could look them up. */
export async function startFakeProxy(t: Pick<TestContext, 'after'>, options: FakeProxyOptions = {}): Promise<FakeProxy> {
  const asked: Asked[] = []
  const sockets = new Set<Duplex>()
  const track = (socket: Duplex): void => {
    sockets.add(socket)
    socket.on('error', () => {}).once('close', () => sockets.delete(socket))
  }
  const isKnown = ({ method = '', url = '', headers }: IncomingMessage): boolean => {
    asked.push({ method, target: url, headers })
    const wanted = options.credentials === undefined ? undefined : `Basic ${Buffer.from(options.credentials).toString('base64')}`
    return wanted === undefined || headers['proxy-authorization'] === wanted
  }
  const server: Server = options.tls === undefined ? createServer() : createTlsServer(options.tls)
  let connections = 0
  server.on('connection', (socket: Socket) => {
    track(socket)
    connections++
    socket.once('close', () => connections--)
  })
  server.on('request', (req: IncomingMessage, res: ServerResponse) => {
    if (!isKnown(req)) res.writeHead(407, { 'proxy-authenticate': challengeOf(options), 'content-length': 0 }).end()
    else if (options.answer !== undefined) res.socket?.write(options.answer)
    else forward(req, res)
  })
  server.on('connect', (req: IncomingMessage, socket: Duplex) => {
    socket.on('error', () => {})
    if (!isKnown(req)) socket.end(`HTTP/1.1 407 No\r\nProxy-Authenticate: ${challengeOf(options)}\r\nContent-Length: 0\r\n\r\n`)
    else if (options.answer !== undefined) say(socket, options.answer, options.late)
    else track(tunnel(req.url ?? '', socket, options.early ?? ''))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const stop = async (): Promise<void> => {
    const closed = new Promise<void>((resolve) => server.close(() => resolve()))
    for (const socket of sockets) socket.destroy()
    await closed
  }
  t.after(() => (server.listening ? stop() : undefined))
  const { port } = server.address() as AddressInfo
  return {
    port,
    origin: `${options.tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}`,
    asked,
    targets: () => asked.map(({ target }) => target),
    connections: () => connections,
    stop,
  }
}

/** The configuration for an environment: both schemes through this proxy. */
export function through(url: string, noProxy = ''): ProxyConfig {
  return readProxies({ HTTP_PROXY: url, HTTPS_PROXY: url, NO_PROXY: noProxy }).proxies
}

function challengeOf({ challenge = 'Basic realm="proxy"' }: FakeProxyOptions): string {
  return challenge
}

/** Then waits for the client to leave. */
function say(socket: Duplex, text: string, late?: string): void {
  socket.write(text)
  if (late !== undefined) socket.once('data', () => socket.write(late))
  socket.resume().once('end', () => socket.destroy())
}

function tunnel(authority: string, client: Duplex, early: string): Socket {
  const upstream = connect(Number(authority.split(':').at(-1)), '127.0.0.1', () => {
    client.write(`HTTP/1.1 200 Connection established\r\n\r\n${early}`)
    upstream.pipe(client).pipe(upstream)
  })
  upstream.on('error', () => client.end('HTTP/1.1 502 Bad Gateway\r\n\r\n'))
  upstream.once('close', () => client.destroy())
  client.once('close', () => upstream.destroy())
  return upstream
}

function forward({ method = 'GET', url = '', headers }: IncomingMessage, res: ServerResponse): void {
  const { port, pathname, search, host } = new URL(url)
  const { 'proxy-authorization': _, ...rest } = headers
  const onward = request({ host: '127.0.0.1', port: port === '' ? 80 : port, method, path: pathname + search, headers: { ...rest, host } })
  onward.on('error', () => res.writeHead(502).end())
  onward.on('response', (answer) => {
    res.writeHead(answer.statusCode ?? 502, answer.headers)
    answer.pipe(res)
  })
  onward.end()
}
