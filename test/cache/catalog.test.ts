/** What the cache knows: who points where, who lists which blob, what refers to what; and how it is known again after a restart. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Catalog } from '../../src/cache/catalog.ts'
import { loadCatalog } from '../../src/cache/catalog-load.ts'
import { type Digest, digestOf } from '../../src/oci/digest.ts'
import { parseManifest } from '../../src/oci/manifest.ts'
import { OCI_INDEX, OCI_MANIFEST } from '../../src/oci/media-type.ts'
import { parseRegistry, parseRepositoryOf } from '../../src/oci/name.ts'
import type { ManifestRecord, RefRecord } from '../../src/store/store.ts'
import { ManualClock } from '../support/clock.ts'
import { MemoryLog } from '../support/log.ts'
import { MemoryStore } from '../support/memory-store.ts'
import { ref } from './support.ts'

const A = digestOf(Buffer.from('a'))
const B = digestOf(Buffer.from('b'))
const TAG = 'quay.io/some/app:1'
const REGISTRY = parseRegistry('quay.io')

function recordOf(json: object, imageUrl = TAG, createdMs = 1000): ManifestRecord {
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, ...json }))
  const { registry, repository } = ref(imageUrl)
  const mediaType = 'manifests' in json ? OCI_INDEX : OCI_MANIFEST
  return { digest: digestOf(bytes), mediaType, bytes, imageUrl, registry, repository, createdMs, pulledMs: createdMs }
}

function imageRecord(layers: readonly [Digest, number][], more: object = {}, imageUrl = TAG, createdMs = 1000): ManifestRecord {
  const config = { mediaType: 'application/vnd.oci.image.config.v1+json', digest: digestOf(Buffer.from('{}')), size: 2 }
  return recordOf(
    { config, layers: layers.map(([digest, size]) => ({ mediaType: 'a/layer', digest, size })), ...more },
    imageUrl,
    createdMs,
  )
}

function refOf(digest: Digest, reference = TAG, createdMs = 1000): RefRecord {
  return { reference, digest, createdMs, pulledMs: createdMs, checkedMs: createdMs }
}

function add(catalog: Catalog, record: ManifestRecord): ManifestRecord {
  catalog.addManifest(record, parseManifest(record.bytes, record.mediaType))
  return record
}

const orders: [what: string, answers: [digest: Digest, began: number][], want: Digest][] = [
  [
    'in order',
    [
      [A, 1],
      [B, 2],
    ],
    B,
  ],
  [
    'the later one first',
    [
      [B, 2],
      [A, 1],
    ],
    B,
  ],
  [
    'the same twice, backwards',
    [
      [A, 2],
      [A, 1],
    ],
    A,
  ],
  [
    'the store first',
    [
      [A, 0],
      [B, 1],
    ],
    B,
  ],
  [
    'the store last',
    [
      [B, 1],
      [A, 0],
    ],
    B,
  ],
  [
    'the store twice',
    [
      [A, 0],
      [B, 0],
    ],
    B,
  ],
  [
    'back and forth',
    [
      [A, 3],
      [B, 1],
      [A, 2],
      [B, 4],
      [A, 3],
    ],
    B,
  ],
]
for (const [what, answers, want] of orders) {
  test(`A tag says what the answer said that was asked for last (${what})`, () => {
    const catalog = new Catalog()
    for (const [digest, began] of answers) assert.equal(catalog.setRef(refOf(digest), began), catalog.ref(TAG)?.digest === digest)
    assert.equal(catalog.ref(TAG)?.digest, want)
    assert.deepEqual(
      [...catalog.refsOf(want)].map(({ reference }) => reference),
      [TAG],
    )
    assert.deepEqual([...catalog.refsOf(want === A ? B : A)], [])
  })
}

test('A tag keeps the time at which it was first seen', () => {
  const catalog = new Catalog()
  catalog.setRef(refOf(A, TAG, 1000), 1)
  catalog.setRef(refOf(B, TAG, 2000), 2)
  assert.deepEqual([catalog.ref(TAG)?.createdMs, catalog.ref(TAG)?.checkedMs], [1000, 2000])
  catalog.removeRef(TAG)
  catalog.removeRef(TAG)
  assert.equal(catalog.ref(TAG), undefined)
  assert.deepEqual([...catalog.refsOf(B)], [])
})

test('The size of a blob is what the manifests say that list it, as long as they agree', () => {
  const catalog = new Catalog()
  assert.equal(catalog.blobSize(A, REGISTRY), undefined)
  const first = add(catalog, imageRecord([[A, 10]]))
  const second = add(
    catalog,
    imageRecord([
      [A, 10],
      [B, 20],
    ]),
  )
  assert.deepEqual([catalog.blobSize(A, REGISTRY), catalog.blobSize(B, REGISTRY)], [10, 20])
  const liar = add(catalog, imageRecord([[A, 11]]))
  assert.equal(catalog.blobSize(A, REGISTRY), undefined)
  add(catalog, liar)
  catalog.removeManifest(liar.digest)
  assert.equal(catalog.blobSize(A, REGISTRY), 10)
  catalog.removeManifest(first.digest)
  catalog.removeManifest(first.digest)
  assert.equal(catalog.blobSize(A, REGISTRY), 10)
  catalog.removeManifest(second.digest)
  assert.deepEqual([catalog.blobSize(A, REGISTRY), catalog.blobSize(B, REGISTRY), catalog.manifestCount], [undefined, undefined, 0])
})

test('What refers to a digest is known as long as it is there', () => {
  const catalog = new Catalog()
  const subject = { mediaType: OCI_MANIFEST, digest: A, size: 1 }
  const record = add(catalog, imageRecord([], { subject, artifactType: 'a/signature', annotations: { by: 'me' } }))
  const plain = add(catalog, imageRecord([], { annotations: { by: 'me' } }))
  assert.deepEqual(
    [...catalog.referrersOf(A)].map(({ digest, annotations }) => [digest, annotations]),
    [[record.digest, { by: 'me' }]],
  )
  assert.equal(catalog.manifest(plain.digest)?.annotations, undefined, 'nobody needs those')
  catalog.removeManifest(record.digest)
  assert.deepEqual([...catalog.referrersOf(A)], [])
})

test('Annotations of more than 8 KiB are not kept in memory', () => {
  const catalog = new Catalog()
  const subject = { mediaType: OCI_MANIFEST, digest: A, size: 1 }
  const kept = (annotations: Record<string, string>) => {
    const { digest } = add(catalog, imageRecord([], { subject, annotations }))
    return catalog.manifest(digest)?.annotations
  }
  const most = { a: 'x'.repeat(8192 - '{"a":""}'.length) }
  assert.deepEqual(kept(most), most)
  assert.equal(kept({ a: `${most.a}x` }), undefined)
  assert.equal(kept({ a: 'é'.repeat(4096) }), undefined, 'bytes count, not characters')
  assert.equal([...catalog.referrersOf(A)].length, 3, 'they are referrers all the same')
})

test('What manifests of another registry say of a size counts for nothing', () => {
  const catalog = new Catalog()
  add(catalog, imageRecord([[A, 7]], {}, 'evil.example/x/y:1'))
  assert.deepEqual([catalog.blobSize(A, REGISTRY), catalog.blobSize(A, parseRegistry('evil.example'))], [undefined, 7])
  add(catalog, imageRecord([[A, 10]]))
  assert.equal(catalog.blobSize(A, REGISTRY), 10)
})

const tagCases: [registry: string, repository: string, want: string[]][] = [
  ['quay.io', 'some/app', ['1', '2']],
  ['quay.io', 'some/app/more', ['3']],
  ['quay.io', 'some', []],
  ['quay.io:443', 'some/app', ['4']],
  ['some', 'app', []],
  ['docker.io', 'alpine', ['5']],
]
test('The tags of a repository are its own, and no digests', () => {
  const catalog = new Catalog()
  const references = [
    'quay.io/some/app:1',
    'quay.io/some/app:2',
    'quay.io/some/app/more:3',
    'quay.io:443/some/app:4',
    'docker.io/library/alpine:5',
  ]
  for (const reference of [...references, `quay.io/some/app@${A}`]) catalog.setRef(refOf(A, reference), 1)
  for (const [registry, repository, want] of tagCases) {
    const parsed = parseRegistry(registry)
    assert.deepEqual(catalog.tagsOf(parsed, parseRepositoryOf(parsed, repository)).sort(), want, `${registry}/${repository}`)
  }
})

async function loaded(store: MemoryStore): Promise<{ catalog: Catalog; log: MemoryLog; count: number }> {
  const [catalog, log] = [new Catalog(), new MemoryLog()]
  return { catalog, log, count: await loadCatalog(catalog, store, new ManualClock(), log) }
}

test('A catalog is loaded from records and references, and says how many', async () => {
  const store = new MemoryStore()
  const [one, two] = [imageRecord([[A, 10]]), recordOf({ manifests: [] }, 'quay.io/some/app:2')]
  for (const record of [one, two]) await store.putRecord(record)
  await store.putRef(refOf(two.digest))
  const { catalog, log, count } = await loaded(store)
  assert.equal(count, 2)
  assert.equal(catalog.ref(TAG)?.digest, two.digest, 'a reference of its own counts more than what a record names')
  assert.equal(catalog.ref('quay.io/some/app:2')?.digest, two.digest)
  assert.deepEqual(
    [catalog.manifest(one.digest)?.kind, catalog.manifest(two.digest)?.kind, catalog.blobSize(A, REGISTRY)],
    ['image', 'index', 10],
  )
  assert.match(log.lines.at(-1)?.message ?? '', /^loaded 2 manifest\(s\) in \d+ ms$/)
})

test('Where only records name a tag, the one that came last counts', async () => {
  for (const turned of [false, true]) {
    const store = new MemoryStore()
    const records = [imageRecord([[A, 1]], {}, TAG, 1000), imageRecord([[A, 2]], {}, TAG, 3000), imageRecord([[A, 3]], {}, TAG, 2000)]
    for (const record of turned ? records.toReversed() : records) await store.putRecord(record)
    const { catalog } = await loaded(store)
    assert.equal(catalog.ref(TAG)?.digest, records[1]?.digest)
    assert.equal(catalog.ref(TAG)?.createdMs, 3000)
  }
})

test('Where records of an older program name one tag, the one that it wrote last counts, and both are there', async () => {
  for (const [later, earlier] of [
    [0, 1],
    [1, 0],
  ] as const) {
    const store = new MemoryStore()
    const records = [recordOf({ manifests: [] }, TAG, 2000), imageRecord([[A, 1]], {}, TAG, 1000)]
    for (const record of records) await store.putRecord(record)
    store.writtenMs.set(records[later]?.digest as Digest, 6000).set(records[earlier]?.digest as Digest, 5000)
    const { catalog } = await loaded(store)
    assert.equal(catalog.ref(TAG)?.digest, records[later]?.digest)
    assert.deepEqual(new Set(Array.from(catalog.manifests(), ({ digest }) => digest)), new Set(records.map(({ digest }) => digest)))
  }
})

test('A tag that an older program moved since this one ran is where that program left it', async () => {
  const store = new MemoryStore()
  const moved = imageRecord([[A, 1]])
  await store.putRecord(moved)
  store.writtenMs.set(moved.digest, 5000)
  await store.putRef({ ...refOf(B), pulledMs: 4000 })
  const { catalog } = await loaded(store)
  assert.equal(catalog.ref(TAG)?.digest, moved.digest)
})

test('A tag whose manifest is lost does not fall back to what it was before', async () => {
  const store = new MemoryStore()
  const before = imageRecord([[A, 1]])
  await store.putRecord(before)
  store.writtenMs.set(before.digest, 3000)
  await store.putRef({ ...refOf(B), pulledMs: 4000 })
  const { catalog } = await loaded(store)
  assert.equal(catalog.ref(TAG), undefined)
  assert.notEqual(catalog.manifest(before.digest), undefined)
})

test('A record that is no manifest and a reference that points nowhere are logged and left out', async () => {
  const store = new MemoryStore()
  const good = imageRecord([])
  const bytes = Buffer.from('<html>')
  const bad = { ...good, digest: digestOf(bytes), bytes, imageUrl: 'quay.io/some/app:bad' }
  for (const record of [good, bad]) await store.putRecord(record)
  await store.putRef(refOf(bad.digest, 'quay.io/some/app:bad'))
  await store.putRef(refOf(good.digest))
  const { catalog, log, count } = await loaded(store)
  assert.equal(count, 1)
  assert.equal(catalog.ref('quay.io/some/app:bad'), undefined)
  assert.equal(catalog.ref(TAG)?.digest, good.digest)
  assert.equal(log.lines.filter(({ level }) => level === 'warn').length, 2)
})

test('What another process wrote to the store counts where it asked the upstream later, and the last pull of both', async () => {
  const [catalog, store, clock, log] = [new Catalog(), new MemoryStore(), new ManualClock(), new MemoryLog()]
  const ours = add(catalog, imageRecord([[A, 1]]))
  const theirs = imageRecord([[B, 1]])
  const [later, earlier] = ['quay.io/some/app:later', 'quay.io/some/app:earlier']
  for (const reference of [later, earlier]) catalog.setRef({ ...refOf(ours.digest, reference), checkedMs: 5_000, pulledMs: 6_000 }, 7)
  await store.putRecord(theirs)
  await store.putRef({ ...refOf(theirs.digest, later), checkedMs: 5_001, pulledMs: 5_500 })
  await store.putRef({ ...refOf(theirs.digest, earlier), checkedMs: 4_999 })
  await loadCatalog(catalog, store, clock, log)
  assert.equal(catalog.ref(later)?.digest, theirs.digest)
  assert.equal(catalog.ref(later)?.pulledMs, 6_000)
  assert.equal(catalog.ref(earlier)?.digest, ours.digest)
  catalog.setRef(refOf(ours.digest, later), 6)
  assert.equal(catalog.ref(later)?.digest, theirs.digest, 'an answer that began before it counts no more')
})
