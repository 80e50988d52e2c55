/** What the admin API works with: parts of the server, and what reads its parameters. */
import type { Cache } from '../../cache/cache.ts'
import type { ImageLoads } from '../../cache/image-loads.ts'
import type { PreloadProgress } from '../../cache/preload.ts'
import type { Prunes } from '../../cache/prune-report.ts'
import type { Config } from '../../config/config.ts'
import type { Patterns } from '../../config/expression.ts'
import type { Clock } from '../../observe/clock.ts'
import type { StorageTrouble } from '../../store/space.ts'
import type { UpstreamDirectory } from '../../upstream/upstream.ts'
import type { RegistryNames } from '../which-registry.ts'

/** As the configuration file is read. */
export type ParameterReaders = {
  /** @throws Error that says which expression is wrong, and why */
  patterns(source: string): Promise<Patterns>
  /** In ms; undefined for what is none. */
  duration(text: string): number | undefined
  /** In bytes; undefined for what is none. */
  size(text: string): number | undefined
}

export type AdminParts = {
  readonly cache: Pick<Cache, 'catalog' | 'ready' | 'isLoaded' | 'explainer' | 'fills' | 'usedBytes'>
  readonly upstreams: Pick<UpstreamDirectory, 'all'>
  readonly names: RegistryNames
  readonly config: Pick<Config, 'airGapped' | 'nameRules' | 'imagePath' | 'registries' | 'credsFile' | 'dockerConfig'>
  readonly version: string
  /** Monotonic. */
  readonly startedMs: number
  readonly read: ParameterReaders
  readonly pruner: Prunes
  readonly loads: ImageLoads
  /** How far the images are that the configuration lists; undefined where it lists none. */
  readonly preload: () => PreloadProgress | undefined
  /** Looks what keeps the store from being written. */
  readonly storage: () => Promise<StorageTrouble | undefined>
  /** Asks for the end of the server. */
  readonly stop: () => void
  readonly clock: Clock
}
