/** Whom one registry's connections may reach, and with what TLS: the registry itself, and those that it sends us to. */
import type { RegistryConfig, RegistryTls } from '../config/config.ts'
import { type AddressClass, classify } from './addresses.ts'
import type { Advice } from './advice.ts'
import type { ConnectRules } from './connector.ts'
import { UpstreamError } from './error.ts'
import type { Peer } from './transport.ts'
import type { TlsSettings } from './trust.ts'

const NONE: ReadonlySet<AddressClass> = new Set()
const ALL: ReadonlySet<AddressClass> = new Set(['loopback', 'linkLocal', 'unspecified', 'multicast'])

/** @param configured whether somebody wrote an entry for it: its own address is exempt then, and those of the same class for its redirects and realms */
export function peerRules({ tls }: RegistryConfig, configured: boolean, advice: Advice): Record<Peer, ConnectRules> {
  let ownClass: ReadonlySet<AddressClass> = NONE
  return {
    own: {
      tls: ownTls(tls),
      insecureSkipVerify: tls.insecureSkipVerify,
      exempt: () => (configured ? ALL : NONE),
      refusal: (host, refused) => refusal(host, refused, (problem) => ownAdvice(advice, refused, problem)),
      onConnected: (address) => {
        ownClass = new Set([classify(address)])
      },
    },
    other: {
      tls: { ...authorityOf(tls), system: true },
      insecureSkipVerify: false,
      exempt: () => (configured ? ownClass : NONE),
      refusal: (host, refused) =>
        refusal(host, refused, () => 'a registry may send us only to public and private addresses and to the kind that its own is'),
      onConnected: () => {},
    },
  }
}

/** What the registry itself is shown, and believed by. */
export function ownTls(tls: RegistryTls): TlsSettings {
  const client = tls.cert === undefined || tls.key === undefined ? {} : { cert: tls.cert, key: tls.key }
  return { ...authorityOf(tls), ...client, system: tls.ca === undefined }
}

function authorityOf({ ca }: RegistryTls): Pick<TlsSettings, 'ca'> {
  return ca === undefined ? {} : { ca }
}

function refusal(host: string, refused: readonly string[], adviceOn: (problem: string) => string): UpstreamError {
  const problem = `${host} is at ${refused.join(', ')}, which clients must not reach through this server`
  return new UpstreamError('refusedAddress', `${problem}; ${adviceOn(problem)}`)
}

function ownAdvice(advice: Advice, refused: readonly string[], problem: string): string {
  const hopeless = refused.every((address) => address.endsWith('(metadata)'))
  return hopeless ? 'no configuration allows that' : advice.against('refusedAddress', problem)
}
