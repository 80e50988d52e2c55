/** Opens connections for undici: only to allowed addresses, through the proxy if there is one, with the registry's TLS, through the shared look-ups. */
import { X509Certificate } from 'node:crypto'
import type { LookupAddress } from 'node:dns'
import { isIP, isIPv6, type LookupFunction, type Socket } from 'node:net'
import { checkServerIdentity, type PeerCertificate, type SecureContext, TLSSocket } from 'node:tls'
import type { buildConnector } from 'undici'
import { withDeadline } from '../async/deadline.ts'
import type { ProxyServer } from '../config/config.ts'
import type { Clock } from '../observe/clock.ts'
import { type AddressClass, classify, isAllowed } from './addresses.ts'
import type { UpstreamError } from './error.ts'
import type { Lookups } from './lookup.ts'
import { effectivePort, type Proxies } from './proxies.ts'
import type { TlsSettings, Trust } from './trust.ts'
import { openTunnel, proxyFailure, proxyTrouble } from './tunnel.ts'

export type ConnectRules = {
  readonly tls: TlsSettings
  readonly insecureSkipVerify: boolean
  /** Besides public and private addresses. Asked for every connection. */
  readonly exempt: () => ReadonlySet<AddressClass>
  /** What to tell whoever is refused an address. */
  readonly refusal: (host: string, refused: readonly string[]) => UpstreamError
  /** Told the address of every connection that stands, where it is known: a proxy alone knows what a name leads to. */
  readonly onConnected: (address: string) => void
}

export type ConnectParts = {
  readonly trust: Trust
  readonly lookups: Lookups
  readonly proxies: Proxies
  readonly clock: Clock
  readonly connectMs: number
}

type Options = buildConnector.Options
type Build = typeof buildConnector
type Opener = (options: Options) => Promise<Socket>

/** @param build undici's own, handed in since undici is loaded on first use only */
export function makeConnector(build: Build, rules: ConnectRules, parts: ConnectParts): buildConnector.connector {
  const { proxies, connectMs, clock } = parts
  const direct = opener(build, { ...rules, lookup: admittedLookup(rules, parts.lookups) }, parts)
  // the proxy is the administrator's choice: it may be anywhere, and the system's certificates vouch for it
  const toProxy = opener(build, { tls: { system: true }, insecureSkipVerify: false, lookup: plainLookup(parts.lookups) }, parts)

  return (options, callback) => {
    open(options).then(
      (socket) => callback(null, socket),
      (error) => callback(error, null),
    )
  }

  async function open(options: Options): Promise<Socket> {
    const { hostname } = options
    const isLiteral = isIP(hostname) !== 0
    if (isLiteral) admit(hostname, [{ address: hostname, family: isIP(hostname) }], rules)
    const proxy = proxies.for({ ...options, port: options.port ?? '' })
    const socket = await (proxy === undefined ? direct(options) : throughProxy(proxy, options))
    const address = proxy === undefined ? socket.remoteAddress : isLiteral ? hostname : undefined
    if (address !== undefined) rules.onConnected(address)
    return socket
  }

  /** All of it takes no longer than a direct connection may. */
  async function throughProxy(proxy: ProxyServer, options: Options): Promise<Socket> {
    const timeoutError = (): UpstreamError => proxyTrouble(proxy, 'timeout', `no connection within ${connectMs} ms`)
    return withDeadline({ clock, ms: connectMs, timeoutError }, async (signal) => {
      const socket = await toProxy(addressOf(proxy)).catch((error) => {
        throw proxyFailure(proxy, error)
      })
      destroyOn(signal, socket)
      if (options.protocol !== 'https:') return socket
      await openTunnel({ socket, proxy, authority: authorityOf(options) })
      return direct({ ...options, httpSocket: socket })
    })
  }
}

type OpenerRules = Pick<ConnectRules, 'tls' | 'insecureSkipVerify'> & { readonly lookup: LookupFunction }

/** Opens connections of one kind: makes undici's connector anew, without the TLS sessions of the old one, when the certificates changed. */
function opener(build: Build, { tls, insecureSkipVerify, lookup }: OpenerRules, { trust, connectMs }: ConnectParts): Opener {
  let made: { readonly context: SecureContext | undefined; readonly connect: buildConnector.connector } | undefined

  async function connectorFor(protocol: string): Promise<buildConnector.connector> {
    const context = protocol === 'https:' ? await trust.context(tls) : undefined
    if (made?.context !== context || made === undefined) {
      const secure =
        context === undefined ? {} : { secureContext: context, rejectUnauthorized: !insecureSkipVerify, checkServerIdentity: checkIdentity }
      made = { context, connect: build({ ...secure, lookup, autoSelectFamily: true, timeout: connectMs, allowH2: false }) }
    }
    return made.connect
  }

  return async (options) => {
    const connect = await connectorFor(options.protocol)
    return new Promise((resolve, reject) => {
      connect(options, (...[error, socket]) => (error === null ? resolve(endedByAlerts(socket)) : reject(error)))
    })
  }
}

/** In TLS 1.3 a server's verdict on a client certificate comes as an alert after the handshake; the end that follows would hide it. */
function endedByAlerts(socket: Socket): Socket {
  return socket instanceof TLSSocket ? socket.on('error', (error) => socket.destroy(error)) : socket
}

/** Where undici is to connect to for a proxy. */
function addressOf({ origin }: ProxyServer): Options {
  const { host, hostname, protocol, port } = new URL(origin)
  return { host, hostname: hostname.replace(/^\[(.*)\]$/, '$1'), protocol, port }
}

/** Host and port, as CONNECT wants them. */
function authorityOf({ hostname, protocol, port }: Options): string {
  return `${isIPv6(hostname) ? `[${hostname}]` : hostname}:${effectivePort({ protocol, port: port ?? '' })}`
}

/** A connection that nobody waits for any more is ended, also if it comes up late. */
function destroyOn(signal: AbortSignal, socket: Socket): void {
  if (signal.aborted) socket.destroy()
  signal.addEventListener('abort', () => socket.destroy(), { once: true })
}

function plainLookup(lookups: Lookups): LookupFunction {
  return lookupBy((hostname) => lookups.lookup(hostname))
}

/** Checked where the connection is made: a name that was harmless when it was checked may lead elsewhere when it is used. */
function admittedLookup(rules: ConnectRules, lookups: Lookups): LookupFunction {
  return lookupBy(async (hostname) => admit(hostname, await lookups.lookup(hostname), rules))
}

function lookupBy(find: (hostname: string) => Promise<readonly LookupAddress[]>): LookupFunction {
  return (hostname, options, callback) => {
    find(hostname).then(
      (addresses) => {
        const [first] = addresses
        if (options.all || first === undefined) callback(null, addresses as LookupAddress[])
        else callback(null, first.address, first.family)
      },
      (error) => callback(error, ''),
    )
  }
}

/** The allowed ones among the addresses of a host. @throws UpstreamError 'refusedAddress' if there are none */
function admit(host: string, addresses: readonly LookupAddress[], rules: ConnectRules): LookupAddress[] {
  const admitted = addresses.filter(({ address }) => isAllowed(address, rules.exempt()))
  if (admitted.length > 0) return admitted
  throw rules.refusal(
    host,
    addresses.map(({ address }) => `${address} (${classify(address)})`),
  )
}

/** Node's own check, which in 22.23 takes no IPv6 address for one: those are left to OpenSSL. */
function checkIdentity(host: string, certificate: PeerCertificate): Error | undefined {
  if (isIPv6(host) && new X509Certificate(certificate.raw).checkIP(host) !== undefined) return undefined
  return checkServerIdentity(host, certificate)
}
