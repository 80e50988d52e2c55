/** What lies in a store, for whoever plans what goes: as manifests say where they agree, and looked at where they do not. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Catalog } from '../../src/cache/catalog.ts'
import { blobsFor } from '../../src/cache/survey.ts'
import { digestOf } from '../../src/oci/digest.ts'
import { parseManifest } from '../../src/oci/manifest.ts'
import { OCI_MANIFEST } from '../../src/oci/media-type.ts'
import { MemoryStore } from '../support/memory-store.ts'
import { ref } from './support.ts'

const LAYER = Buffer.from('a layer')
const DIGEST = digestOf(LAYER)

/** An image of one layer, of that size if one believes it. */
function addImage(catalog: Catalog, name: string, size: number): void {
  const config = { mediaType: 'application/vnd.oci.image.config.v1+json', digest: digestOf(Buffer.from(name)), size: 2 }
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, config, layers: [{ mediaType: 'a/layer', digest: DIGEST, size }] }))
  const { registry, repository } = ref(name)
  const [digest, mediaType] = [digestOf(bytes), OCI_MANIFEST]
  const record = { digest, mediaType, bytes, imageUrl: name, registry, repository, createdMs: 1000, pulledMs: 1000 }
  catalog.addManifest(record, parseManifest(bytes, mediaType))
}

const cases: [what: string, claims: [name: string, size: number][], sizeBytes: number, isLookedAt: boolean][] = [
  ['one manifest says it', [['quay.io/a:1', 70]], 70, false],
  [
    'manifests of two registries say the same',
    [
      ['quay.io/a:1', 70],
      ['ghcr.io/a:1', 70],
    ],
    70,
    false,
  ],
  [
    'manifests of two registries disagree',
    [
      ['quay.io/a:1', 70],
      ['ghcr.io/a:1', 71],
    ],
    LAYER.byteLength,
    true,
  ],
  [
    'manifests of one registry disagree',
    [
      ['quay.io/a:1', 70],
      ['quay.io/b:1', 71],
    ],
    LAYER.byteLength,
    true,
  ],
  ['nothing needs it', [], LAYER.byteLength, true],
]
for (const [what, claims, sizeBytes, isLookedAt] of cases) {
  test(`The size of a stored blob where ${what}`, async () => {
    const [catalog, store] = [new Catalog(), new MemoryStore()]
    for (const [name, size] of claims) addImage(catalog, name, size)
    await store.putBlob(DIGEST, LAYER)
    const blobs = await blobsFor({}, store, catalog)
    assert.deepEqual([...blobs.keys()], [DIGEST])
    assert.equal(blobs.get(DIGEST)?.sizeBytes, sizeBytes)
    assert.equal(blobs.get(DIGEST)?.writtenMs !== undefined, isLookedAt)
  })
}

test('A blob that manifests need and that is not stored is none of them', async () => {
  const [catalog, store] = [new Catalog(), new MemoryStore()]
  addImage(catalog, 'quay.io/a:1', 70)
  assert.deepEqual([...(await blobsFor({}, store, catalog)).keys()], [])
})

test('Where sizes decide what goes, no manifest is believed', async () => {
  const [catalog, store] = [new Catalog(), new MemoryStore()]
  addImage(catalog, 'quay.io/a:1', 1e15)
  await store.putBlob(DIGEST, LAYER)
  const blobs = await blobsFor({ maxBytes: 1000 }, store, catalog)
  assert.equal(blobs.get(DIGEST)?.sizeBytes, LAYER.byteLength)
})
