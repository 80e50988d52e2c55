/** The shape of a validated configuration: frozen, complete, nothing left to guess. `load.ts` makes it; nobody else does. */
import type { LogLevel } from '../observe/log.ts'
import type { Registry } from '../oci/name.ts'

/** Where a password comes from. Files and environment are read when it is needed, so that a changed secret counts without a restart. */
export type PasswordSource =
  | { readonly from: 'config'; readonly password: string }
  | { readonly from: 'env'; readonly variable: string }
  | { readonly from: 'file'; readonly path: string }

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
  readonly auth?: { readonly user: string; readonly password: PasswordSource }
  readonly tls: RegistryTls
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
  readonly os: string
  readonly arch: string
  readonly pullTimeoutMs: number
  readonly alwaysPullLatest: boolean
  readonly airGapped: boolean
  readonly prefetch: boolean
  readonly allowUnconfigured: boolean
  readonly defaultNs: Registry
  readonly registries: readonly RegistryConfig[]
}
