import assert from 'node:assert/strict'
import { test } from 'node:test'
import { BoundedNames } from '../../src/observe/bounded-names.ts'
import { Counts } from '../../src/observe/counts.ts'
import type { AnsweredRequest } from '../../src/observe/metrics.ts'

function newCounts(): Counts {
  return new Counts(new BoundedNames(['docker.io'], 1), ['corrupt', 'dns'])
}

const HIT: AnsweredRequest = {
  route: 'manifest',
  method: 'GET',
  status: 200,
  cache: 'hit',
  registry: 'docker.io',
  bytes: 10,
  firstMs: 2,
  totalMs: 4,
}

/** What stands in the metrics, as `name{label values}`: those that are 0 are left out. */
function counted(counts: Counts): Record<string, number> {
  const lines = counts.all().flatMap((counter) => {
    const { name, type, values } = counter.get()
    if (type === 'histogram') return []
    return values.filter(({ value }) => value > 0).map(({ labels, value }) => [`${name}{${Object.values(labels)}}`, value] as const)
  })
  return Object.fromEntries(lines)
}

const requests: [sentence: string, request: Partial<AnsweredRequest>, want: Record<string, number>][] = [
  [
    'A manifest from the cache counts under its registry',
    {},
    { 'ociregistry_manifest_pulls_total{}': 1, 'ociregistry_cached_pulls_by_ns_total{docker.io}': 1, 'containerd_cache_total{hit}': 1 },
  ],
  [
    'A manifest that could not be confirmed is one from the cache',
    { cache: 'stale' },
    { 'ociregistry_manifest_pulls_total{}': 1, 'ociregistry_cached_pulls_by_ns_total{docker.io}': 1, 'containerd_cache_total{hit}': 1 },
  ],
  [
    'A manifest that is fetched counts as asked for upstream',
    { cache: 'miss' },
    { 'ociregistry_manifest_pulls_total{}': 1, 'ociregistry_upstream_pulls_by_ns{docker.io}': 1, 'containerd_cache_total{miss}': 1 },
  ],
  [
    'Whoever waited for it was served from the cache',
    { cache: 'joined' },
    { 'ociregistry_manifest_pulls_total{}': 1, 'ociregistry_cached_pulls_by_ns_total{docker.io}': 1, 'containerd_cache_total{miss}': 1 },
  ],
  [
    'A fetch that failed was begun all the same, and is an error',
    { cache: 'miss', status: 502 },
    {
      'ociregistry_manifest_pulls_total{}': 1,
      'ociregistry_upstream_pulls_by_ns{docker.io}': 1,
      'ociregistry_api_errors_total{}': 1,
      'containerd_cache_total{skip}': 1,
    },
  ],
  [
    'A "not found" that is remembered is an error, and no pull from the cache',
    { cache: 'hit', status: 404 },
    { 'ociregistry_manifest_pulls_total{}': 1, 'ociregistry_api_errors_total{}': 1, 'containerd_cache_total{skip}': 1 },
  ],
  [
    'A name that no registry has confirmed gets no label of its own',
    { registry: 'invented.example', cache: 'miss', status: 502 },
    {
      'ociregistry_manifest_pulls_total{}': 1,
      'ociregistry_upstream_pulls_by_ns{other}': 1,
      'ociregistry_api_errors_total{}': 1,
      'containerd_cache_total{skip}': 1,
    },
  ],
  ['A blob is a pull by GET', { route: 'blob' }, { 'ociregistry_blob_pulls_total{}': 1, 'containerd_cache_total{hit}': 1 }],
  ['A HEAD of a blob is none', { route: 'blob', method: 'HEAD' }, { 'containerd_cache_total{hit}': 1 }],
  ['A list is a request of the pull API, and no pull', { route: 'tags', cache: 'miss' }, {}],
]
for (const [sentence, request, want] of requests) {
  test(sentence, () => {
    const counts = newCounts()
    const { route = 'manifest', status = 200, cache = 'hit' } = request
    counts.answered({ ...HIT, ...request })
    assert.deepEqual(counted(counts), {
      [`ociregistry_requests_total{${route},${status},${cache}}`]: 1,
      [`ociregistry_sent_bytes_total{${route}}`]: 10,
      'ociregistry_v2_api_endpoint_hits_total{}': 1,
      ...want,
    })
  })
}

test('What is not of the pull API is counted as a request, and nowhere else', () => {
  const counts = newCounts()
  counts.answered({ ...HIT, route: 'health', cache: 'none', registry: undefined })
  assert.deepEqual(counted(counts), { 'ociregistry_requests_total{health,200,none}': 1, 'ociregistry_sent_bytes_total{health}': 10 })
})

test('Downloads and removals are counted', () => {
  const counts = newCounts()
  for (const event of ['started', 'joined', 'resumed', 'stored'] as const) counts.fill(event)
  counts.fillFailed('dns')
  counts.received('blob', 100)
  counts.received('manifest', 10)
  counts.received('manifest', 5)
  counts.received('list', 1)
  counts.removed({ references: 1, manifests: 2, blobs: 3, freedBytes: 4 })
  counts.evicted()
  assert.deepEqual(counted(counts), {
    'ociregistry_received_bytes_total{blob}': 100,
    'ociregistry_received_bytes_total{manifest}': 15,
    'ociregistry_received_bytes_total{list}': 1,
    'ociregistry_fills_total{started}': 1,
    'ociregistry_fills_total{joined}': 1,
    'ociregistry_fills_total{resumed}': 1,
    'ociregistry_fills_total{stored}': 1,
    'ociregistry_fills_failed_total{dns}': 1,
    'ociregistry_removed_references_total{}': 1,
    'ociregistry_removed_blobs_total{}': 3,
    'ociregistry_removed_bytes_total{}': 4,
    'ociregistry_evictions_total{}': 1,
  })
})
