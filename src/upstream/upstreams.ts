/** The upstreams of a server: one per registry, for those that are configured and for those that clients name. */
import { Lru } from '../async/lru.ts'
import type { ProxyConfig, RegistryConfig } from '../config/config.ts'
import type { Clock } from '../observe/clock.ts'
import type { Log } from '../observe/log.ts'
import { OciError } from '../oci/error.ts'
import { DOCKER_HUB, type Registry } from '../oci/name.ts'
import { Advice } from './advice.ts'
import { assembleClient, type SharedParts } from './assemble.ts'
import { type Budgets, DEFAULT_BUDGETS } from './budgets.ts'
import { CredentialSources, type CredentialsOptions } from './credential-sources.ts'
import { Lookups, type Resolve, systemResolve } from './lookup.ts'
import { ownTls, peerRules } from './peer-rules.ts'
import { Proxies } from './proxies.ts'
import type { RegistryClient } from './registry-client.ts'
import { Trust } from './trust.ts'
import type { UpstreamDirectory } from './upstream.ts'

export type UpstreamsOptions = {
  readonly registries: readonly RegistryConfig[]
  /** Whether registries without an entry are pulled from: anonymously, by https, verified. */
  readonly allowUnconfigured: boolean
  /** Bounds the wait for an answer, never an advancing download. */
  readonly pullTimeoutMs: number
  /** Value of the `Via` header, by which this server knows its own requests. */
  readonly via: string
  readonly userAgent: string
  readonly clock: Clock
  readonly log: Log
  /** Default: the system's resolver. */
  readonly resolve?: Resolve
  /** Default: none. */
  readonly proxies?: ProxyConfig
  /** Default: only those of the entries. */
  readonly credentials?: CredentialsOptions
  readonly env?: Readonly<Record<string, string | undefined>>
  readonly budgets?: Partial<Budgets>
  /** Between 0 and 1. Default: `Math.random`. */
  readonly random?: () => number
}

/** Where Docker Hub lives if nobody says otherwise. */
const HUB_ADDRESS = 'registry-1.docker.io'

export class Upstreams implements UpstreamDirectory {
  readonly #options: UpstreamsOptions
  readonly #shared: SharedParts
  readonly #credentials: CredentialSources
  readonly #configured = new Map<Registry, RegistryClient>()
  /** Clients choose these names: bounded, and one that is dropped lets go of its connections. */
  readonly #unconfigured: Lru<Registry, RegistryClient>

  constructor(options: UpstreamsOptions) {
    const { clock, env = process.env, resolve = systemResolve } = options
    const budgets = { ...DEFAULT_BUDGETS, ...options.budgets }
    this.#options = options
    this.#credentials = new CredentialSources(options.credentials ?? {}, { ...options, env, budgets })
    this.#shared = {
      random: Math.random,
      ...options,
      budgets,
      trust: new Trust({ env, clock, log: options.log }),
      lookups: new Lookups({ resolve, clock, giveUpMs: budgets.lookupMs }),
      credentials: this.#credentials,
      proxies: new Proxies(options.proxies ?? { exceptions: [] }),
    }
    this.#unconfigured = new Lru({ capacity: budgets.unconfigured, onEvicted: (client) => client.retire() })
    for (const config of options.registries) {
      const client = this.#create(config, true)
      for (const name of [config.name, ...config.aliases]) this.#configured.set(name, client)
    }
  }

  /** @throws OciError 404 NAME_UNKNOWN for a registry that the configuration closes, 400 NAME_INVALID for a name that no URL can have */
  of(registry: Registry): RegistryClient {
    const known = this.#configured.get(registry) ?? this.#unconfigured.get(registry)
    if (known !== undefined) return known
    if (!this.#options.allowUnconfigured) {
      throw new OciError(404, 'NAME_UNKNOWN', `${registry} is not configured, and allowUnconfigured is false`)
    }
    const client = this.#create(unconfigured(registry), false)
    this.#unconfigured.set(registry, client)
    return client
  }

  all(): Iterable<RegistryClient> {
    return new Set([...this.#configured.values(), ...this.#unconfigured.values()])
  }

  /** Ends every request that is under way, with its connection. */
  async close(): Promise<void> {
    await this.#credentials.close()
    await Promise.all([...this.all()].map((client) => client.close()))
  }

  #create(config: RegistryConfig, configured: boolean): RegistryClient {
    const { trust, log } = this.#shared
    const advice = new Advice({ registry: config, configured, log, outdated: () => trust.outdated(ownTls(config.tls)) })
    return assembleClient(config, peerRules(config, configured, advice), advice, this.#shared)
  }
}

function unconfigured(registry: Registry): RegistryConfig {
  const address = registry === DOCKER_HUB ? HUB_ADDRESS : registry
  return { name: registry, aliases: [], scheme: 'https', address, tls: { insecureSkipVerify: false } }
}
