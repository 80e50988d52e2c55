/** What is looked at when somebody asks, because it is there anyway: nothing is counted for it. */
import type { BoundedNames } from './bounded-names.ts'
import type { Reading, Sample } from './tally.ts'

/** The state of the server at one moment. */
export type Observed = {
  readonly version: string
  readonly isLoaded: boolean
  readonly manifests: number
  readonly references: number
  /** Of manifests, without what a record has beside them. */
  readonly manifestBytes: number
  /** Blobs that lie in the store; undefined until they have been counted. */
  readonly stored: { readonly blobs: number; readonly bytes: number } | undefined
  /** Undefined where it is not known. */
  readonly usedBytes: number | undefined
  /** Undefined without a limit. */
  readonly budgetBytes: number | undefined
  readonly quarantined: number | undefined
  /** By kind, whether it is so. */
  readonly storeTrouble: Readonly<Record<string, boolean>>
  readonly fills: Readonly<Record<string, number>>
  readonly upstreams: Iterable<{ readonly registry: string; readonly state: CircuitState }>
  readonly lastPrune: { readonly endedMs: number; readonly freedBytes: number } | undefined
  /** When the certificate that clients see expires, in ms since 1970; undefined without one. */
  readonly certificateExpiryMs: number | undefined
}
export type CircuitState = 'well' | 'troubled' | 'down'

type Value = number | undefined
type Gauge = {
  readonly name: string
  readonly help: string
  /** One value, or some with their labels. What is undefined is left out. */
  readonly read: (observed: Observed) => Value | readonly Sample[]
}

const CIRCUITS: Readonly<Record<CircuitState, number>> = { well: 0, troubled: 1, down: 2 }

/** @param registries bounds the names of registries */
export function readGauges(observed: Observed, registries: BoundedNames): Reading[] {
  return gauges(registries).map(({ name, help, read }) => {
    const found = read(observed)
    const values = typeof found === 'object' ? found : found === undefined ? [] : [{ labels: {}, value: found }]
    return { name, help, type: 'gauge', values }
  })
}

const gauges = (registries: BoundedNames): readonly Gauge[] => [
  { name: 'ociregistry_build_info', help: 'The version; always 1.', read: ({ version }) => [{ labels: { version }, value: 1 }] },
  { name: 'ociregistry_ready', help: '1 when the catalog is complete.', read: ({ isLoaded }) => Number(isLoaded) },
  { name: 'ociregistry_cached_manifest_count', help: 'Manifests in the catalog.', read: ({ manifests }) => manifests },
  { name: 'ociregistry_cached_reference_count', help: 'Tags and digests in the catalog.', read: ({ references }) => references },
  { name: 'ociregistry_manifest_bytes_on_disk_total', help: 'Bytes of stored manifests.', read: ({ manifestBytes }) => manifestBytes },
  { name: 'ociregistry_cached_blob_count', help: 'Blobs in the store.', read: ({ stored }) => stored?.blobs },
  { name: 'ociregistry_blob_bytes_on_disk_total', help: 'Bytes of blobs in the store.', read: ({ stored }) => stored?.bytes },
  {
    name: 'ociregistry_store_used_bytes',
    help: 'What counts against the limit of the store, running downloads included.',
    read: ({ usedBytes }) => usedBytes,
  },
  { name: 'ociregistry_store_budget_bytes', help: 'The limit of the store (maxSize).', read: ({ budgetBytes }) => budgetBytes },
  { name: 'ociregistry_quarantined_files', help: 'Damaged files that were set aside.', read: ({ quarantined }) => quarantined },
  {
    name: 'ociregistry_store_trouble',
    help: '1 where nothing can be stored, by reason.',
    read: ({ storeTrouble }) => samples('kind', Object.entries(storeTrouble)),
  },
  {
    name: 'ociregistry_fills',
    help: 'Downloads of blobs at this moment, by state.',
    read: ({ fills }) => samples('state', Object.entries(fills)),
  },
  {
    name: 'ociregistry_circuit_state',
    help: 'How registries do: 0 well, 1 in trouble, 2 down and not asked.',
    read: ({ upstreams }) => worst(Array.from(upstreams, ({ registry, state }) => [registries.of(registry, false), CIRCUITS[state]])),
  },
  {
    name: 'ociregistry_last_prune_timestamp_seconds',
    help: 'When images were removed last, in seconds since 1970.',
    read: ({ lastPrune }) => inSeconds(lastPrune?.endedMs),
  },
  { name: 'ociregistry_last_prune_freed_bytes', help: 'What came free then.', read: ({ lastPrune }) => lastPrune?.freedBytes },
  {
    name: 'ociregistry_server_certificate_expiry_timestamp_seconds',
    help: 'When the certificate that clients see expires, in seconds since 1970.',
    read: ({ certificateExpiryMs }) => inSeconds(certificateExpiryMs),
  },
]

function samples(label: string, values: readonly (readonly [string, boolean | number])[]): Sample[] {
  return values.map(([name, value]) => ({ labels: { [label]: name }, value: Number(value) }))
}

/** Of registries that share a name, as all do that are `other`. */
function worst(circuits: readonly (readonly [string, number])[]): Sample[] {
  const states = new Map<string, number>()
  for (const [registry, state] of circuits) states.set(registry, Math.max(state, states.get(registry) ?? 0))
  return samples('registry', [...states])
}

function inSeconds(ms: number | undefined): number | undefined {
  return ms === undefined ? undefined : ms / 1000
}
