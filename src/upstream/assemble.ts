/** Puts the client of one registry together from its parts, and those that all registries share. */
import type { RegistryConfig } from '../config/config.ts'
import type { Clock } from '../observe/clock.ts'
import type { Log } from '../observe/log.ts'
import type { Metrics } from '../observe/metrics.ts'
import { OciError } from '../oci/error.ts'
import type { Advice } from './advice.ts'
import { Authenticator } from './authenticator.ts'
import type { Budgets } from './budgets.ts'
import { Circuits } from './circuits.ts'
import type { ConnectRules } from './connector.ts'
import type { CredentialSource } from './credentials.ts'
import { Hops } from './hops.ts'
import type { Lookups } from './lookup.ts'
import type { Proxies } from './proxies.ts'
import { Realm } from './realm.ts'
import { RegistryClient } from './registry-client.ts'
import { Requester } from './requester.ts'
import { Tokens } from './tokens.ts'
import { type Peer, Transport } from './transport.ts'
import type { Trust } from './trust.ts'

export type SharedParts = {
  readonly clock: Clock
  readonly log: Log
  readonly metrics?: Pick<Metrics, 'received'> | undefined
  /** Between 0 and 1. */
  readonly random: () => number
  readonly trust: Trust
  readonly lookups: Lookups
  readonly proxies: Proxies
  readonly credentials: { of(config: RegistryConfig): CredentialSource }
  readonly budgets: Budgets
  readonly pullTimeoutMs: number
  readonly via: string
  readonly userAgent: string
}

/** @throws OciError 400 NAME_INVALID for a name that no URL can have */
export function assembleClient(
  config: RegistryConfig,
  rules: Readonly<Record<Peer, ConnectRules>>,
  advice: Advice,
  shared: SharedParts,
): RegistryClient {
  const { clock, log, metrics, random, budgets, pullTimeoutMs } = shared
  const registry = config.name
  const origin = originOf(config)
  const idleMs = budgets.bodyIdleMs
  const transport = new Transport({ rules, parts: shared, budgets, clock })
  const circuits = new Circuits(origin, { clock, log, random, budgets, onOpened: () => transport.retire() })
  const headers = { via: shared.via, 'user-agent': shared.userAgent }
  const hops = new Hops({
    registry: config,
    advice,
    transport,
    headers,
    clock,
    log,
    idleMs,
    bodyMs: pullTimeoutMs,
    silenceMs: budgets.silenceMs,
  })
  const realm = new Realm({ origin, hops, circuits, clock, timeoutMs: pullTimeoutMs, idleMs })
  const tokens = new Tokens(
    (url, question, form) => realm.ask(url, question, form),
    clock,
    (url, reason) => realm.givenUp(url, reason),
  )
  const credentials = shared.credentials.of(config)
  const authenticator = new Authenticator({ registry, origin, credentials, tokens, advice })
  const requester = new Requester(origin, hops, authenticator, circuits.registry)
  return new RegistryClient({ registry, origin, requester, hops, transport, circuits, advice, clock, metrics, budgets, pullTimeoutMs })
}

/** `1.2.3.999` fits the grammar of hosts, and is none. */
function originOf({ name, scheme, address }: RegistryConfig): URL {
  const text = `${scheme}://${address}/`
  if (!URL.canParse(text)) throw new OciError(400, 'NAME_INVALID', `'${name}' is not a registry: there is no such host`)
  return new URL(text)
}
