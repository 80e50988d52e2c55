/** The upstreams of a server: one per registry, for those that are configured and for those that clients name. */
import { isDeepStrictEqual } from 'node:util'
import { Lru } from '../async/lru.ts'
import type { ProxyConfig, RegistryConfig } from '../config/config.ts'
import type { Clock } from '../observe/clock.ts'
import type { Log } from '../observe/log.ts'
import type { Metrics } from '../observe/metrics.ts'
import { OciError } from '../oci/error.ts'
import { DOCKER_HUB, type Registry } from '../oci/name.ts'
import { Advice } from './advice.ts'
import { assembleClient, type SharedParts } from './assemble.ts'
import { type Budgets, DEFAULT_BUDGETS } from './budgets.ts'
import { CredentialHelpers } from './credential-helpers.ts'
import { CredentialSources, type CredentialsOptions } from './credential-sources.ts'
import { Lookups, type Resolve, systemResolve } from './lookup.ts'
import { ownTls, peerRules } from './peer-rules.ts'
import { Proxies } from './proxies.ts'
import type { RegistryClient } from './registry-client.ts'
import { Trust } from './trust.ts'
import type { UpstreamDirectory } from './upstream.ts'

/** What may change while they live. */
export type UpstreamSettings = {
  readonly registries: readonly RegistryConfig[]
  /** Whether registries without an entry are pulled from: anonymously, by https, verified. */
  readonly allowUnconfigured: boolean
  /** No registry is asked, whoever wants it. Default: false. */
  readonly airGapped?: boolean
  /** Bounds the wait for an answer, never an advancing download. */
  readonly pullTimeoutMs: number
  /** Default: only those of the entries. */
  readonly credentials?: CredentialsOptions
}

export type UpstreamsOptions = UpstreamSettings & {
  /** Value of the `Via` header, by which this server knows its own requests. */
  readonly via: string
  readonly userAgent: string
  readonly clock: Clock
  readonly log: Log
  /** Told what comes of manifests and lists; whoever takes a blob counts that. */
  readonly metrics?: Pick<Metrics, 'received'> | undefined
  /** Default: the system's resolver. */
  readonly resolve?: Resolve
  /** Default: none. */
  readonly proxies?: ProxyConfig
  readonly env?: Readonly<Record<string, string | undefined>>
  readonly budgets?: Partial<Budgets>
  /** Between 0 and 1. Default: `Math.random`. */
  readonly random?: () => number
}

/** Where Docker Hub lives if nobody says otherwise. */
const HUB_ADDRESS = 'registry-1.docker.io'

/** An upstream with what it was made from. */
type Made = { readonly config: RegistryConfig; readonly client: RegistryClient }

export class Upstreams implements UpstreamDirectory {
  readonly #parts: Omit<SharedParts, 'credentials' | 'pullTimeoutMs'>
  readonly #env: Readonly<Record<string, string | undefined>>
  readonly #helpers: CredentialHelpers
  /** Clients choose these names: bounded, and one that is dropped lets go of its connections. */
  readonly #unconfigured: Lru<Registry, RegistryClient>
  #settings: UpstreamSettings
  #shared: SharedParts
  #configured = new Map<Registry, Made>()

  constructor(options: UpstreamsOptions) {
    const { clock, log, env = process.env, resolve = systemResolve } = options
    const budgets = { ...DEFAULT_BUDGETS, ...options.budgets }
    this.#env = env
    this.#helpers = new CredentialHelpers({ env, clock, log, timeoutMs: budgets.helperMs })
    this.#parts = {
      random: Math.random,
      ...options,
      budgets,
      trust: new Trust({ env, clock, log }),
      lookups: new Lookups({ resolve, clock, giveUpMs: budgets.lookupMs }),
      proxies: new Proxies(options.proxies ?? { exceptions: [] }),
    }
    this.#unconfigured = new Lru({ capacity: budgets.unconfigured, onEvicted: (client) => client.retire() })
    this.#settings = options
    this.#shared = this.#sharedBy(options)
    this.#configured = this.#entries(options.registries, [])
  }

  /** @throws OciError 404 NAME_UNKNOWN for a registry that the configuration closes, 400 NAME_INVALID for a name that no URL can have */
  of(registry: Registry): RegistryClient {
    const { airGapped, allowUnconfigured } = this.#settings
    if (airGapped) throw new OciError(404, 'NAME_UNKNOWN', `${registry} is not asked: the server is air-gapped`)
    const known = this.#configured.get(registry)?.client ?? this.#unconfigured.get(registry)
    if (known !== undefined) return known
    if (!allowUnconfigured) throw new OciError(404, 'NAME_UNKNOWN', `${registry} is not configured, and allowUnconfigured is false`)
    const client = this.#create(unconfigured(registry), false)
    this.#unconfigured.set(registry, client)
    return client
  }

  all(): Iterable<RegistryClient> {
    return new Set([...this.#made.map(({ client }) => client), ...this.#unconfigured.values()])
  }

  /**
   * Goes by other settings from the next request on. A registry about which nothing has changed keeps its connections, tokens and circuit; the others
   * begin anew, and what is under way with the old ones goes on to its end.
   */
  reconfigure(settings: UpstreamSettings): void {
    const before = [...this.all()]
    const { pullTimeoutMs, credentials = {} } = this.#settings
    const isForAll = pullTimeoutMs !== settings.pullTimeoutMs || !isSameFiles(credentials, settings.credentials ?? {})
    if (isForAll) this.#shared = this.#sharedBy(settings)
    this.#settings = settings
    this.#configured = this.#entries(settings.registries, isForAll ? [] : this.#made)
    for (const client of this.#unconfigured.values()) {
      const { registry } = client
      if (isForAll || !settings.allowUnconfigured || this.#configured.has(registry)) this.#unconfigured.delete(registry)
    }
    const now = new Set(this.all())
    for (const client of before) if (!now.has(client)) client.leave()
  }

  /** Ends every request that is under way, with its connection. */
  async close(): Promise<void> {
    await this.#helpers.close()
    await Promise.all([...this.all()].map((client) => client.close()))
  }

  get #made(): readonly Made[] {
    return [...new Set(this.#configured.values())]
  }

  #sharedBy({ pullTimeoutMs, credentials = {} }: UpstreamSettings): SharedParts {
    const sources = new CredentialSources(credentials, { env: this.#env, log: this.#parts.log, helpers: this.#helpers })
    return { ...this.#parts, pullTimeoutMs, credentials: sources }
  }

  /** Under all their names. @param known those that are taken over where they are for the same */
  #entries(registries: readonly RegistryConfig[], known: readonly Made[]): Map<Registry, Made> {
    const entries = new Map<Registry, Made>()
    for (const config of registries) {
      const made = known.find((each) => isDeepStrictEqual(each.config, config)) ?? { config, client: this.#create(config, true) }
      for (const name of [config.name, ...config.aliases]) entries.set(name, made)
    }
    return entries
  }

  #create(config: RegistryConfig, configured: boolean): RegistryClient {
    const { trust, log } = this.#shared
    const advice = new Advice({ registry: config, configured, log, outdated: () => trust.outdated(ownTls(config.tls)) })
    return assembleClient(config, peerRules(config, configured, advice), advice, this.#shared)
  }
}

function isSameFiles(one: CredentialsOptions, other: CredentialsOptions): boolean {
  return one.credsFile?.path === other.credsFile?.path && one.dockerConfig === other.dockerConfig
}

function unconfigured(registry: Registry): RegistryConfig {
  const address = registry === DOCKER_HUB ? HUB_ADDRESS : registry
  return { name: registry, aliases: [], scheme: 'https', address, tls: { insecureSkipVerify: false } }
}
