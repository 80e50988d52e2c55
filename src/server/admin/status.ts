/** `/cmd/status`: what the server is doing, and how its parts are. */
import { resolve } from 'node:path'
import type { FillView } from '../../cache/fills.ts'
import type { LoadCounts } from '../../cache/image-progress.ts'
import type { PreloadProgress } from '../../cache/preload.ts'
import { formatLocalTime } from '../../store/record.ts'
import { sizeText } from '../../store/size-text.ts'
import type { StorageTrouble } from '../../store/space.ts'
import { type AdminAnswer, textOfLines } from './answer.ts'
import { healthText } from './health-text.ts'
import type { Parameters } from './parameters.ts'
import type { AdminParts } from './parts.ts'

/** Of fills in line, as text; JSON has all. */
const MOST_LINES = 50

export async function status(_: Parameters, parts: AdminParts): Promise<AdminAnswer> {
  const now = statusOf(parts, await parts.storage())
  return { json: now, text: () => textOf(now) }
}

type Status = ReturnType<typeof statusOf>

function statusOf(
  { cache, upstreams, config, version, startedMs, pruner, loads, preload, clock }: AdminParts,
  trouble: StorageTrouble | undefined,
) {
  const { manifestCount, referenceCount, blobCount } = cache.catalog
  const { last } = pruner
  return {
    version,
    uptimeMs: Math.round(clock.monotonic() - startedMs),
    store: { path: resolve(config.imagePath), usedBytes: cache.usedBytes, trouble },
    airGapped: config.airGapped,
    catalog: { isLoaded: cache.isLoaded, manifests: manifestCount, references: referenceCount, blobs: blobCount },
    fills: cache.fills(),
    upstreams: Array.from(upstreams.all(), (upstream) => ({ registry: upstream.registry, ...upstream.health() })),
    lastPrune: last && {
      ended: new Date(last.endedMs).toISOString(),
      references: last.references,
      manifests: last.manifests,
      blobs: last.blobs,
      freedBytes: last.freedBytes,
    },
    loads: { preload: preload(), prefetch: loads.progress },
  }
}

function textOf({ version, uptimeMs, store, airGapped, catalog, fills, upstreams, lastPrune, loads }: Status): string {
  const used = store.usedBytes === undefined ? '' : `, ${sizeText(store.usedBytes)} used`
  const lines = [
    `version: ${version}`,
    `uptime: ${Math.floor(uptimeMs / 1000)} s`,
    `store: ${store.path}${used}, ${store.trouble === undefined ? 'well' : `${store.trouble.kind}: ${store.trouble.why}`}`,
    ...(airGapped ? ['air-gapped: no registry is asked'] : []),
    `catalog: ${catalog.manifests} manifest(s), ${catalog.references} reference(s), ${catalog.blobs} blob(s)${catalog.isLoaded ? '' : ', still loading'}`,
    ...upstreams.map(({ registry, ...health }) => `registry: ${registry} ${healthText(health)}`),
    ...fillLines(fills),
    ...(lastPrune === undefined ? [] : [`last prune: ${pruneText(lastPrune)}`]),
    ...(loads.preload === undefined ? [] : [`preload: ${preloadText(loads.preload)}`]),
    ...(loads.prefetch === undefined ? [] : [`prefetch: ${loadText(loads.prefetch)}`]),
  ]
  return textOfLines(lines)
}

function fillLines(fills: readonly FillView[]): string[] {
  const queued = fills.filter(({ state }) => state === 'queued').length
  const shown = fills.slice(0, MOST_LINES).map(({ digest, state, sources, writtenBytes, sizeBytes = '?', waiters }) => {
    return `fill: ${digest} ${state} ${writtenBytes}/${sizeBytes} bytes, ${waiters} waiting, from ${sources.join(' ')}`
  })
  const left = fills.length - shown.length
  return [`fills: ${fills.length - queued} running, ${queued} queued`, ...shown, ...(left > 0 ? [`fill: … and ${left} more`] : [])]
}

function pruneText({ ended, manifests, blobs, freedBytes }: NonNullable<Status['lastPrune']>): string {
  return `${formatLocalTime(Date.parse(ended))}, removed ${manifests} manifest(s) and ${blobs} blob(s), ${sizeText(freedBytes)}`
}

function preloadText({ problem, ...counts }: PreloadProgress): string {
  return problem === undefined ? loadText(counts) : `${loadText(counts)}; the list cannot be read: ${problem}`
}

function loadText({ listed, complete, failed, running }: LoadCounts): string {
  return `${complete} of ${listed} image(s) complete, ${failed} failed, ${running} being loaded`
}
