/** The configuration that counts now: one value that is read anew each time, and takes the place of another without a restart as far as that is possible. */
import { isDeepStrictEqual } from 'node:util'
import type { Config, ServerTlsConfig } from './config.ts'

/** Which keys have another value than before. */
export type ChangedKeys = ReadonlySet<keyof Config>

/** What counts as soon as it is read again; all else waits for the next start. In the table of settings the same rows are marked. */
const LIVE = [
  'logLevel',
  'logFile',
  'logFormat',
  'os',
  'arch',
  'pullTimeoutMs',
  'alwaysPullLatest',
  'tagPolicy',
  'skipTags',
  'cacheManifests',
  'privateRegistries',
  'negativeTtlMs',
  'airGapped',
  'scrub',
  'prefetch',
  'allowUnconfigured',
  'defaultNs',
  'registries',
  'credsFile',
  'dockerConfig',
  'nameRules',
  'minFree',
  'budget',
  'pins',
  'prune',
  'load',
  'limits',
  'drainTimeoutMs',
  'list',
] as const satisfies readonly (keyof Config)[]

export class LiveConfig {
  #current: Config
  /** Reads as the configuration that counts at that moment: to be kept as it is, never copied. */
  readonly view: Config

  constructor(config: Config) {
    this.#current = config
    this.view = viewOf(config, () => this.#current)
  }

  /** Takes over what can change now. @returns the keys that did */
  replace(next: Config): ChangedKeys {
    const before = this.#current
    const live = Object.fromEntries(LIVE.map((key) => [key, next[key]])) as Pick<Config, (typeof LIVE)[number]>
    this.#current = Object.freeze({
      ...before,
      ...live,
      admin: { ...next.admin, port: before.admin.port },
      serverTls: serverTlsOf(before.serverTls, next.serverTls),
    })
    const keys = Object.keys(before) as (keyof Config)[]
    return new Set(keys.filter((key) => !isDeepStrictEqual(before[key], this.#current[key])))
  }
}

/** Files of TLS to clients can be others; TLS itself, and whether clients need certificates, wait for the next start, and with them all the rest of it. */
export function serverTlsOf(before: ServerTlsConfig | undefined, next: ServerTlsConfig | undefined): ServerTlsConfig | undefined {
  return next !== undefined && next.clientAuth === before?.clientAuth ? next : before
}

function viewOf(config: Config, current: () => Config): Config {
  const getters = Object.keys(config).map((key) => [key, { enumerable: true, get: () => current()[key as keyof Config] }] as const)
  return Object.freeze(Object.defineProperties({}, Object.fromEntries(getters))) as Config
}
