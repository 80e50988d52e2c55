/** Decides for each URL whether it is reached through a proxy. Pure: the environment was parsed at start (`config/proxies.ts`). */
import { BlockList, isIP } from 'node:net'
import type { ProxyConfig, ProxyException, ProxyServer } from '../config/config.ts'
import { classify } from './addresses.ts'

/** What undici and URLs agree on. */
export type Destination = {
  /** `https:` */
  readonly protocol: string
  /** IPv6 addresses with or without brackets. */
  readonly hostname: string
  /** Empty: the protocol's own. */
  readonly port: string
}

export class Proxies {
  readonly #config: ProxyConfig
  readonly #matchers: readonly ((host: string, port: string) => boolean)[]

  constructor(config: ProxyConfig) {
    this.#config = config
    this.#matchers = config.exceptions.map(matcherOf)
  }

  /** @returns undefined where the connection is made directly */
  for({ protocol, hostname, port }: Destination): ProxyServer | undefined {
    const server = protocol === 'https:' ? this.#config.https : this.#config.http
    if (server === undefined) return undefined
    const host = plainHost(hostname)
    if (isThisMachine(host)) return undefined
    const asked = effectivePort({ protocol, port })
    return this.#matchers.some((matches) => matches(host, asked)) ? undefined : server
  }
}

/** `443` for https without a port. */
export function effectivePort({ protocol, port }: Pick<Destination, 'protocol' | 'port'>): string {
  return port !== '' ? port : protocol === 'https:' ? '443' : '80'
}

/** Lower case, without brackets, and without the dot that a complete name may end with. */
function plainHost(hostname: string): string {
  return hostname
    .replace(/^\[(.*)\]$/, '$1')
    .replace(/\.$/, '')
    .toLowerCase()
}

/** No proxy leads to this machine (RFC 6761 6.3 for the name), and none may be asked to: it would reach its own. */
function isThisMachine(host: string): boolean {
  if (isIP(host) !== 0) return classify(host) === 'loopback'
  return host === 'localhost' || host.endsWith('.localhost')
}

function matcherOf(exception: ProxyException): (host: string, port: string) => boolean {
  if (exception.kind === 'all') return () => true
  const matches = exception.kind === 'domain' ? domainMatcher(exception) : addressMatcher(exception)
  return (host, port) => (exception.port === undefined || exception.port === port) && matches(host)
}

function domainMatcher({ name, itself }: ProxyException & { kind: 'domain' }): (host: string) => boolean {
  return (host) => (itself && host === name) || host.endsWith(`.${name}`)
}

/** An IPv6 address that stands for an IPv4 one is in that one's networks. */
function addressMatcher({ address, prefix, family }: ProxyException & { kind: 'addresses' }): (host: string) => boolean {
  const block = new BlockList()
  block.addSubnet(address, prefix, family)
  return (host) => {
    const version = isIP(host)
    return version !== 0 && block.check(host, version === 4 ? 'ipv4' : 'ipv6')
  }
}
