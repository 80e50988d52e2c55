/** Who may use the admin API: a decision on what a request shows of itself. No I/O. */
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import { OciError } from '../../oci/error.ts'

/** What the decision depends on. */
export type AccessFacts = {
  readonly remoteAddress: string | undefined
  readonly localAddress: string | undefined
  readonly headers: IncomingHttpHeaders
  /** How often `Host` came. Node keeps the first; a proxy may have gone by another (RFC 9112 3.2). */
  readonly hosts: number
}

/** `token`: only who shows that is let in. `page`: a page of another site sent it, which nothing excuses. */
export type Access = 'open' | 'token' | 'page'

/** As sockets spell them. */
const LOOPBACK_ADDRESS = /^(?:(?:::ffff:)?127(?:\.\d{1,3}){3}|::1)$/
/** As clients spell them, with any port: it may have been forwarded. A name that resolves to this host may be anybody's (DNS rebinding). */
const LOOPBACK_HOST = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d{1,5})?$/i
/** Who carries one of these came through a proxy, whoever may be behind it. */
const BY_PROXY = /^(?:forwarded|via|x-forwarded-.*)$/

export function factsOf({ socket, headers, headersDistinct }: IncomingMessage): AccessFacts {
  const hosts = headersDistinct.host?.length ?? 0
  return { remoteAddress: socket.remoteAddress, localAddress: socket.localAddress, headers, hosts }
}

export function judgeAccess({ remoteAddress = '', localAddress = '', headers, hosts }: AccessFacts): Access {
  if (isFromOtherPage(headers)) return 'page'
  const isLocal = LOOPBACK_ADDRESS.test(remoteAddress) && LOOPBACK_ADDRESS.test(localAddress)
  const isToLocal = hosts === 1 && LOOPBACK_HOST.test(headers.host ?? '')
  return isLocal && isToLocal && !Object.keys(headers).some((name) => BY_PROXY.test(name)) ? 'open' : 'token'
}

/** The token of `Authorization: Bearer …` (RFC 6750 2.1); undefined where there is none. */
export function bearerOf({ authorization = '' }: IncomingHttpHeaders): string | undefined {
  return /^Bearer +(\S+) *$/i.exec(authorization)?.[1]
}

/**
 * What is said to whoever is not let in.
 * @param localUrl where nobody needs a token, `http://127.0.0.1:8080`; undefined where the server does not listen on loopback
 * @param hasToken whether one is configured
 * @param showed whether the request had one, which was not it
 */
export function refusalOf(access: 'token' | 'page', localUrl: string | undefined, hasToken: boolean, showed: boolean): OciError {
  const local = localUrl === undefined ? 'the server does not listen on loopback' : `on the host itself, ${localUrl}/cmd/… needs none`
  if (access === 'page') {
    const way = localUrl === undefined ? 'a program such as curl' : `a program such as curl, on the host itself at ${localUrl}/cmd/…`
    return new OciError(403, 'DENIED', `the admin API answers no page of another site (Origin, Referer, Sec-Fetch-Site): use ${way}`)
  }
  if (!hasToken) return new OciError(403, 'DENIED', `the admin API wants a token here, and admin.tokenFile is not set; ${local}`)
  const what = showed
    ? 'that is not the token in admin.tokenFile'
    : "the admin API wants 'Authorization: Bearer' with the token in admin.tokenFile"
  return new OciError(401, 'DENIED', `${what}; ${local}`, { 'www-authenticate': 'Bearer' })
}

/** Where this host reaches a listener without a token; undefined where that listens on another address only. @param host that it was bound to */
export function localUrlOf(host: string, port: number, scheme: Scheme = 'http'): string | undefined {
  const url = urlOf(host, port, scheme)
  return LOOPBACK_HOST.test(new URL(url).host) ? url : undefined
}

/** Where this host reaches a listener, by loopback if that is possible. @param host that it was bound to */
export function urlOf(host: string, port: number, scheme: Scheme = 'http'): string {
  if (host === '0.0.0.0' || host === '::' || host === 'localhost') return `${scheme}://127.0.0.1:${port}`
  return `${scheme}://${host.includes(':') ? `[${host}]` : host}:${port}`
}

type Scheme = 'http' | 'https'

/** Browsers say where a request comes from; other programs say nothing. */
function isFromOtherPage({ host, origin, referer, 'sec-fetch-site': site }: IncomingHttpHeaders): boolean {
  if (site !== undefined && site !== 'same-origin' && site !== 'none') return true
  return [origin, referer].some((url) => url !== undefined && hostOf(url) !== host?.toLowerCase())
}

/** Undefined for what is no URL, such as the `null` of a page without an origin. */
function hostOf(url: string): string | undefined {
  return URL.canParse(url) ? new URL(url).host || undefined : undefined
}
