/** What is counted as it happens, under the names that dashboards know. */
import type { BoundedNames } from './bounded-names.ts'
import {
  type AnsweredRequest,
  type CacheResult,
  type FillEvent,
  type Metrics,
  RECEIVED_KINDS,
  type ReceivedKind,
  type Removal,
} from './metrics.ts'
import { Tally, Times } from './tally.ts'

/** From a hit in memory to a download over a thin line. */
const BOUNDS_S = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300]

/** In the words of the program that had this metric first; without content to be cached there is nothing to be skipped either. */
const AS_BEFORE: Readonly<Record<CacheResult, 'hit' | 'miss' | 'skip'>> = {
  hit: 'hit',
  stale: 'hit',
  miss: 'miss',
  joined: 'miss',
  none: 'skip',
}

export class Counts implements Metrics {
  readonly #registries: BoundedNames
  readonly #requests = new Tally('ociregistry_requests_total', 'Requests answered.', ['route', 'status', 'cache'])
  readonly #firstByte = new Times('ociregistry_first_byte_seconds', 'From a request to the first byte of its answer.', 'route', BOUNDS_S)
  readonly #lastByte = new Times('ociregistry_last_byte_seconds', 'From a request to the last byte of its answer.', 'route', BOUNDS_S)
  readonly #sent = new Tally('ociregistry_sent_bytes_total', 'Bytes of bodies sent to clients.', ['route'])
  readonly #received = new Tally(
    'ociregistry_received_bytes_total',
    'Bytes received from registries: blobs, manifests, lists.',
    ['kind'],
    RECEIVED_KINDS.map((kind) => [kind]),
  )
  readonly #fills: Tally
  readonly #failures: Tally
  readonly #removedReferences = new Tally(
    'ociregistry_removed_references_total',
    'Tags and digests removed, by a prune or for want of room.',
  )
  readonly #removedBlobs = new Tally('ociregistry_removed_blobs_total', 'Blobs removed, by a prune or for want of room.')
  readonly #removedBytes = new Tally('ociregistry_removed_bytes_total', 'Bytes that came free, by a prune or for want of room.')
  readonly #evictions = new Tally('ociregistry_evictions_total', 'How often room had to be made in the store.')
  // the names of the programs before this one
  readonly #endpointHits = new Tally('ociregistry_v2_api_endpoint_hits_total', 'Requests to the pull API.')
  readonly #manifestPulls = new Tally('ociregistry_manifest_pulls_total', 'Requests for manifests, GET and HEAD.')
  readonly #blobPulls = new Tally('ociregistry_blob_pulls_total', 'Requests for blobs, GET.')
  readonly #errors = new Tally('ociregistry_api_errors_total', 'Requests for manifests and blobs answered 404 or 5xx.')
  readonly #cachedPulls = new Tally('ociregistry_cached_pulls_by_ns_total', 'Requests for manifests answered from the cache.', ['ns'])
  readonly #upstreamPulls = new Tally('ociregistry_upstream_pulls_by_ns', 'Requests for manifests that made this server ask a registry.', [
    'ns',
  ])
  readonly #cache = new Tally('containerd_cache_total', 'Requests for content: hit, miss, or skip for refusals.', ['result'], RESULTS)

  /** @param causes that fills may fail with */
  constructor(registries: BoundedNames, causes: readonly string[]) {
    this.#registries = registries
    this.#fills = new Tally('ociregistry_fills_total', 'Downloads of blobs: started, joined, resumed, stored.', ['event'], FILL_EVENTS)
    this.#failures = new Tally(
      'ociregistry_fills_failed_total',
      'Downloads of blobs that failed, by cause.',
      ['cause'],
      causes.map((cause) => [cause]),
    )
  }

  answered({ route, method, status, cache, registry, bytes, firstMs, totalMs }: AnsweredRequest): void {
    this.#requests.addToThree(route, String(status), cache)
    this.#sent.addTo(route, bytes)
    if (firstMs !== undefined) this.#firstByte.add(route, firstMs / 1000)
    this.#lastByte.add(route, totalMs / 1000)
    if (route === 'manifest' || route === 'blob') this.#pull(route, method, status, cache)
    else if (route !== 'ping' && route !== 'tags' && route !== 'referrers') return
    this.#endpointHits.add()
    if (route === 'manifest' && registry !== undefined) this.#manifestOf(this.#registries.of(registry, status < 400), status, cache)
  }

  fill(event: FillEvent): void {
    this.#fills.addTo(event)
  }

  fillFailed(cause: string): void {
    this.#failures.addTo(cause)
  }

  received(kind: ReceivedKind, bytes: number): void {
    this.#received.addTo(kind, bytes)
  }

  removed({ references, blobs, freedBytes }: Removal): void {
    this.#removedReferences.add(references)
    this.#removedBlobs.add(blobs)
    this.#removedBytes.add(freedBytes)
  }

  evicted(): void {
    this.#evictions.add()
  }

  all(): readonly (Tally | Times)[] {
    return [
      this.#requests,
      this.#firstByte,
      this.#lastByte,
      this.#sent,
      this.#received,
      this.#fills,
      this.#failures,
      this.#removedReferences,
      this.#removedBlobs,
      this.#removedBytes,
      this.#evictions,
      this.#endpointHits,
      this.#manifestPulls,
      this.#blobPulls,
      this.#errors,
      this.#cachedPulls,
      this.#upstreamPulls,
      this.#cache,
    ]
  }

  #pull(route: 'manifest' | 'blob', method: string | undefined, status: number, cache: CacheResult): void {
    if (route === 'manifest') this.#manifestPulls.add()
    else if (method === 'GET') this.#blobPulls.add()
    if (status === 404 || status >= 500) this.#errors.add()
    this.#cache.addTo(status < 400 ? AS_BEFORE[cache] : 'skip')
  }

  /** Whoever waited for somebody else's request was served from the cache. */
  #manifestOf(ns: string, status: number, cache: CacheResult): void {
    if (cache === 'miss') this.#upstreamPulls.addTo(ns)
    else if (cache !== 'none' && status < 400) this.#cachedPulls.addTo(ns)
  }
}

const RESULTS = [['hit'], ['miss'], ['skip']]
const FILL_EVENTS: readonly (readonly [FillEvent])[] = [['started'], ['joined'], ['resumed'], ['stored']]
