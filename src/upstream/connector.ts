/** Opens connections for undici: only to allowed addresses, with the registry's TLS, through the shared look-ups. */
import { X509Certificate } from 'node:crypto'
import type { LookupAddress } from 'node:dns'
import { isIP, isIPv6, type LookupFunction } from 'node:net'
import { checkServerIdentity, type PeerCertificate, type SecureContext } from 'node:tls'
import type { buildConnector } from 'undici'
import { type AddressClass, classify, isAllowed } from './addresses.ts'
import type { UpstreamError } from './error.ts'
import type { Lookups } from './lookup.ts'
import type { TlsSettings, Trust } from './trust.ts'

export type ConnectRules = {
  readonly tls: TlsSettings
  readonly insecureSkipVerify: boolean
  /** Besides public and private addresses. Asked for every connection. */
  readonly exempt: () => ReadonlySet<AddressClass>
  /** What to tell whoever is refused an address. */
  readonly refusal: (host: string, refused: readonly string[]) => UpstreamError
  /** Told the address of every connection that stands. */
  readonly onConnected: (address: string) => void
}

export type ConnectParts = { readonly trust: Trust; readonly lookups: Lookups; readonly connectMs: number }

/** @param build undici's own, handed in since undici is loaded on first use only */
export function makeConnector(build: typeof buildConnector, rules: ConnectRules, parts: ConnectParts): buildConnector.connector {
  const lookup = admittedLookup(rules, parts.lookups)
  let made: { readonly context: SecureContext | undefined; readonly connect: buildConnector.connector } | undefined

  async function connectorFor(protocol: string): Promise<buildConnector.connector> {
    const context = protocol === 'https:' ? await parts.trust.context(rules.tls) : undefined
    if (made?.context !== context || made === undefined) {
      const rejectUnauthorized = !rules.insecureSkipVerify
      const tls = context === undefined ? {} : { secureContext: context, rejectUnauthorized, checkServerIdentity: checkIdentity }
      made = { context, connect: build({ ...tls, lookup, autoSelectFamily: true, timeout: parts.connectMs, allowH2: false }) }
    }
    return made.connect
  }

  return (options, callback) => {
    prepare().then(
      (connect) => connect(options, (...outcome) => callback(...noted(outcome))),
      (error) => callback(error, null),
    )

    async function prepare(): Promise<buildConnector.connector> {
      if (isIP(options.hostname) !== 0) admit(options.hostname, [{ address: options.hostname, family: isIP(options.hostname) }], rules)
      return connectorFor(options.protocol)
    }
  }

  function noted(outcome: Parameters<buildConnector.Callback>): Parameters<buildConnector.Callback> {
    const address = outcome[1]?.remoteAddress
    if (address !== undefined) rules.onConnected(address)
    return outcome
  }
}

/** Checked where the connection is made: a name that was harmless when it was checked may lead elsewhere when it is used. */
function admittedLookup(rules: ConnectRules, lookups: Lookups): LookupFunction {
  return (hostname, options, callback) => {
    lookups
      .lookup(hostname)
      .then((addresses) => admit(hostname, addresses, rules))
      .then(
        (admitted) => {
          const [first] = admitted
          if (options.all || first === undefined) callback(null, admitted as LookupAddress[])
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
