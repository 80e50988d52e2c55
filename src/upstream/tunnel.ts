/** Asks a proxy for a tunnel to a registry (CONNECT, RFC 9110 9.3.6), over a connection to it that stands. */
import { type IncomingMessage, request } from 'node:http'
import type { Socket } from 'node:net'
import type { ProxyServer } from '../config/config.ts'
import { parseChallenges } from '../oci/challenge.ts'
import { UpstreamError } from './error.ts'
import { failureOf } from './failure.ts'

/** Of what a proxy says beside its status nothing is needed. */
const MAX_HEADER_BYTES = 16 * 1024

export type TunnelRequest = {
  readonly socket: Socket
  readonly proxy: ProxyServer
  /** `registry.example:443` */
  readonly authority: string
}

/**
 * Resolves when the socket leads to the registry; otherwise the socket is destroyed.
 * @throws UpstreamError that names the proxy, without its credentials
 */
export function openTunnel({ socket, proxy, authority }: TunnelRequest): Promise<void> {
  const credentials = proxy.authorization === undefined ? {} : { 'proxy-authorization': proxy.authorization }
  return new Promise<void>((resolve, reject) => {
    const asking = request({
      method: 'CONNECT',
      path: authority,
      headers: { host: authority, ...credentials },
      createConnection: () => socket,
      maxHeaderSize: MAX_HEADER_BYTES,
    })
    asking.once('error', (error) => reject(proxyFailure(proxy, error)))
    asking.once('connect', (answer, _socket, early) => {
      if (!isSuccess(answer))
        reject(proxyRefusal(proxy, authority, answer.statusCode ?? 0, answer.headers['proxy-authenticate']?.toString()))
      // a TLS server is silent until it is spoken to: whatever comes with the answer is not from the registry
      else if (early.length > 0) reject(proxyTrouble(proxy, 'failed', 'it sent more than an answer to CONNECT'))
      else resolve()
    })
    asking.end()
  }).catch((error) => {
    socket.destroy()
    throw error
  })
}

function isSuccess({ statusCode = 0 }: IncomingMessage): boolean {
  return statusCode >= 200 && statusCode < 300
}

/** What its connection failed with: the connection to the proxy, or the proxy's own TLS. */
export function proxyFailure(proxy: ProxyServer, error: unknown): UpstreamError {
  const { kind, text } = error instanceof UpstreamError ? { kind: error.kind, text: error.message } : failureOf(error)
  const certificate = kind === 'tls' ? '; its certificate is checked by the certificates of the system or SSL_CERT_FILE' : ''
  return proxyTrouble(proxy, kind, `${text}${certificate}`, { cause: error })
}

/** An answer that is the proxy's and not the registry's. @param challenges the value of `Proxy-Authenticate` */
export function proxyRefusal(proxy: ProxyServer, to: string, status: number, challenges = ''): UpstreamError {
  const { variable } = proxy
  const problem = `it answered ${status} when asked for ${to}`
  if (status === 407 || status === 401) {
    return proxyTrouble(proxy, 'unreachable', `${problem}${wanted(proxy, challenges)}`, {
      remedy: `correct user and password in ${variable}`,
    })
  }
  const remedy =
    status >= 500 ? 'the registry may be down, or belong into NO_PROXY' : 'it has to allow that, or NO_PROXY to list the registry'
  return proxyTrouble(proxy, 'unreachable', problem, { remedy })
}

export function proxyTrouble(
  proxy: ProxyServer,
  kind: UpstreamError['kind'],
  problem: string,
  { cause, remedy = `correct ${proxy.variable}, or list the registry in NO_PROXY` }: { cause?: unknown; remedy?: string } = {},
): UpstreamError {
  return new UpstreamError(kind, `the proxy ${nameOf(proxy)} does not lead there: ${problem}; ${remedy}`, { cause })
}

/** `http://proxy.example:3128 (HTTPS_PROXY)` */
export function nameOf({ origin, variable }: ProxyServer): string {
  return `${origin} (${variable})`
}

function wanted({ authorization }: ProxyServer, challenges: string): string {
  const schemes = parseChallenges(challenges.slice(0, 200)).map(({ scheme }) => scheme)
  if (schemes.length > 0 && !schemes.includes('basic')) return ` and wants ${schemes.join(', ')}, of which this server knows only basic`
  return authorization === undefined
    ? ' and wants user and password, which the URL has not'
    : ' and refuses the user and password of the URL'
}
