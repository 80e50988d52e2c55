/** The state of the server as metrics show it, put together for one scrape. */
import type { Cache } from '../cache/cache.ts'
import type { Census } from '../cache/census.ts'
import type { FillView } from '../cache/fills.ts'
import type { Prunes } from '../cache/prune-report.ts'
import type { Observed } from '../observe/gauges.ts'
import type { StorageTrouble } from '../store/space.ts'
import type { UpstreamDirectory } from '../upstream/upstream.ts'

export type ObservedParts = {
  readonly version: string
  readonly cache: Pick<Cache, 'isLoaded' | 'catalog' | 'fills' | 'usedBytes'>
  readonly census: Pick<Census, 'look'>
  readonly pruner: Pick<Prunes, 'last'>
  readonly upstreams: Pick<UpstreamDirectory, 'all'>
  readonly budgetBytes: () => number | undefined
  /** Looks what keeps the store from being written. */
  readonly storage: () => Promise<StorageTrouble | undefined>
  /** Of the certificate that clients see: the last moment at which it is valid, in ms since 1970. Undefined where there is none. */
  readonly certificateExpiryMs: () => number | undefined
}

export async function observe(parts: ObservedParts): Promise<Observed> {
  const { version, cache, census, pruner, upstreams, budgetBytes, storage, certificateExpiryMs } = parts
  const { isLoaded, catalog, usedBytes } = cache
  const count = census.look()
  let manifestBytes = 0
  for (const { sizeBytes } of catalog.manifests()) manifestBytes += sizeBytes
  return {
    version,
    isLoaded,
    manifests: catalog.manifestCount,
    references: catalog.referenceCount,
    manifestBytes,
    stored: count,
    quarantined: count?.quarantined,
    usedBytes,
    budgetBytes: budgetBytes(),
    storeTrouble: troubles(await storage()),
    fills: byState(cache.fills()),
    upstreams: Array.from(upstreams.all(), (upstream) => ({ registry: upstream.registry, state: upstream.health().state })),
    lastPrune: pruner.last,
    certificateExpiryMs: certificateExpiryMs(),
  }
}

function troubles(trouble: StorageTrouble | undefined): Readonly<Record<StorageTrouble['kind'], boolean>> {
  const is = (kind: StorageTrouble['kind']) => trouble?.kind === kind
  return { full: is('full'), readOnly: is('readOnly'), held: is('held'), failing: is('failing') }
}

function byState(fills: readonly FillView[]): Record<FillView['state'], number> {
  const count = { running: 0, waiting: 0, publishing: 0, queued: 0 }
  for (const { state } of fills) count[state]++
  return count
}
