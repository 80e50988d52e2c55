/** The shape of a validated configuration: frozen, complete, nothing left to guess. `load.ts` makes it; nobody else does. */
import type { LogLevel } from '../observe/log.ts'
import type { Platform } from '../oci/manifest.ts'
import type { Registry } from '../oci/name.ts'
import type { ReferenceGlob } from '../oci/reference-glob.ts'
import type { Expression, Patterns } from './expression.ts'

/** Where a password comes from. Files and environment are read when it is needed, so that a changed secret counts without a restart. */
export type PasswordSource =
  | { readonly from: 'config'; readonly password: string }
  | { readonly from: 'env'; readonly variable: string }
  | { readonly from: 'file'; readonly path: string }

/** Who an entry says we are. */
export type RegistryAuth =
  | { readonly user: string; readonly password: PasswordSource }
  /** The path of a `config.json` of Docker, or `auth.json` of podman, which says it. */
  | { readonly dockerConfig: string }

export type RegistryTls = {
  /** PEM bundle that replaces the system's trust for this registry. */
  readonly ca?: string
  /** Client certificate and key, PEM. Both or none. */
  readonly cert?: string
  readonly key?: string
  readonly insecureSkipVerify: boolean
}

export type RegistryConfig = {
  readonly name: Registry
  /** Other names that clients use for it. */
  readonly aliases: readonly Registry[]
  readonly scheme: 'http' | 'https'
  /** `host[:port]` where it lives: from `url`, else its name (Docker Hub: `registry-1.docker.io`). */
  readonly address: string
  readonly auth?: RegistryAuth
  readonly tls: RegistryTls
}

/** A forward proxy, as a variable of the environment names it. */
export type ProxyServer = {
  /** `HTTPS_PROXY`, or as it was written: for messages. */
  readonly variable: string
  /** `http://proxy.example:3128`, without user and password. */
  readonly origin: string
  /** The value of `Proxy-Authorization`. */
  readonly authorization?: string
}

/** An entry of `NO_PROXY`. A port narrows it to that port; of addresses with a prefix there is none. */
export type ProxyException =
  | { readonly kind: 'all' }
  | { readonly kind: 'domain'; readonly name: string; readonly itself: boolean; readonly port?: string }
  | {
      readonly kind: 'addresses'
      readonly address: string
      readonly prefix: number
      readonly family: 'ipv4' | 'ipv6'
      readonly port?: string
    }

/** Through which proxy upstreams are reached, by the scheme of the URL. */
export type ProxyConfig = {
  readonly http?: ProxyServer
  readonly https?: ProxyServer
  readonly exceptions: readonly ProxyException[]
}

/** When a cached tag is checked upstream: never, each time, or when the last check is so many ms old. */
export type Revalidate = 'never' | 'always' | number

export type TagRule = { readonly match: ReferenceGlob; readonly revalidate: Revalidate }

/** What is kept free of a disk: so many bytes, or so much of all of it, whichever is less. */
export type Reserve = { readonly bytes: number; readonly percent: number }

/** How often the server reads all that it has stored (0: never), and how fast. */
export type ScrubConfig = { readonly everyMs: number; readonly bytesPerSecond: number }

/** Removing images in the background. */
export type PruneConfig = {
  readonly enabled: boolean
  readonly type: 'accessed' | 'created' | 'pattern'
  /** The age from which an image goes; not used by type pattern. */
  readonly durationMs: number
  /** Of type pattern. */
  readonly patterns: Patterns | undefined
  readonly frequencyMs: number
  /** How many images go in one run; undefined: all. */
  readonly count: number | undefined
  readonly dryRun: boolean
}

/** How much of the disk the store may use. */
export type BudgetConfig = {
  /** Undefined: there is no limit. */
  readonly maxBytes: number | undefined
  /** Images begin to go when more than `highBytes` are used, until no more than `lowBytes` are. */
  readonly highBytes: number
  readonly lowBytes: number
}

/** Who may use the admin API beside this host, and where. */
export type AdminConfig = {
  /** A file with a token; undefined: only this host may. */
  readonly tokenFile: string | undefined
  /** A port of its own; 0: that of pulls. */
  readonly port: number
}

/** TLS towards clients: paths of PEM files. */
export type ServerTlsConfig = {
  readonly cert: string
  readonly key: string
  /** With clientAuth verify: the authorities of clients' certificates; undefined: the operating system's. */
  readonly ca: string | undefined
  /** Whether clients must show a certificate. */
  readonly clientAuth: 'none' | 'verify'
}

/** What of registries and repositories clients may pull. */
export type NameRules = {
  /** Empty: everything. */
  readonly allow: readonly ReferenceGlob[]
  /** Wins. */
  readonly deny: readonly ReferenceGlob[]
}

/** How much clients may have at once. 0: no limit. */
export type LimitsConfig = { readonly maxConnections: number; readonly maxRequestsPerClient: number }

export type ListConfig = { readonly header: boolean; readonly shortDigest: boolean; readonly patterns: Patterns | undefined }

/** Which images are loaded, and what of them. */
export type LoadConfig = {
  /** Files and globs, separated by commas: what the server loads beside serving. */
  readonly preloadImages: string | undefined
  /** The same for the command `load`. */
  readonly imageFile: string | undefined
  readonly platforms: readonly Platform[] | 'all'
  readonly referrers: boolean
  readonly concurrency: number
}

export type Config = {
  readonly imagePath: string
  readonly logLevel: LogLevel
  /** Undefined: stderr. */
  readonly logFile: string | undefined
  readonly logFormat: 'text' | 'json'
  readonly host: string
  /** 0: any free port. */
  readonly port: number
  /** How long answers may go on after a stop; undefined: as long as suits whoever waits for the next process. */
  readonly drainTimeoutMs: number | undefined
  readonly os: string
  readonly arch: string
  readonly pullTimeoutMs: number
  readonly alwaysPullLatest: boolean
  /** The first rule that matches a reference decides. */
  readonly tagPolicy: readonly TagRule[]
  /** Tags that are checked each time, unless a rule says otherwise. */
  readonly skipTags: Expression | undefined
  /** False: every tag is checked each time, unless a rule says otherwise. */
  readonly cacheManifests: boolean
  /** Manifests of these are never answered without the upstream's consent. */
  readonly privateRegistries: readonly Registry[]
  /** How long a 404 of an upstream is remembered; 0: not at all. */
  readonly negativeTtlMs: number
  readonly airGapped: boolean
  readonly scrub: ScrubConfig
  readonly prefetch: boolean
  readonly allowUnconfigured: boolean
  readonly defaultNs: Registry
  readonly registries: readonly RegistryConfig[]
  /** Path of a YAML file with the credentials of many registries. */
  readonly credsFile: string | undefined
  /** Path of a `config.json` of Docker or `auth.json` of podman, for what neither an entry nor `credsFile` has. */
  readonly dockerConfig: string | undefined
  /** From the environment. */
  readonly proxies: ProxyConfig
  /** What is never used of the disk that the store lies on. */
  readonly minFree: Reserve
  readonly budget: BudgetConfig
  /** What matches is never removed, nor what it needs. */
  readonly pins: Patterns | undefined
  readonly prune: PruneConfig
  readonly admin: AdminConfig
  /** Undefined: plain HTTP. */
  readonly serverTls: ServerTlsConfig | undefined
  readonly limits: LimitsConfig
  readonly nameRules: NameRules
  readonly load: LoadConfig
  readonly list: ListConfig
  /** The port of /health, /livez and /readyz; 0: none. */
  readonly health: number
  /** The port of /metrics; 0: none. */
  readonly metrics: number
  /** One built-in image and nothing else: no store, no registry. */
  readonly helloWorld: boolean
}
