/** Whose turn it is among the images to be completed. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ManifestEntry } from '../../src/cache/catalog.ts'
import { Catalog } from '../../src/cache/catalog.ts'
import { type Image, ImageLine } from '../../src/cache/image-line.ts'
import { digestOf } from '../../src/oci/digest.ts'
import { parseManifest } from '../../src/oci/manifest.ts'
import { OCI_MANIFEST } from '../../src/oci/media-type.ts'
import { source } from './support.ts'

const catalog = new Catalog()

function entryOf(name: string): ManifestEntry {
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: OCI_MANIFEST, layers: [], annotations: { name } }))
  const record = { digest: digestOf(bytes), mediaType: OCI_MANIFEST, bytes, ...source(), imageUrl: name, createdMs: 0, pulledMs: 0 }
  return catalog.addManifest(record, parseManifest(bytes, OCI_MANIFEST))
}

const [A, B, C, D] = ['a', 'b', 'c', 'd'].map(entryOf) as [ManifestEntry, ManifestEntry, ManifestEntry, ManifestEntry]
const ANY_REGISTRY = () => true

/** Takes `count` turns, each image going behind the others after its own. */
function turns(line: ImageLine, count: number): (ManifestEntry | undefined)[] {
  return Array.from({ length: count }, () => {
    const image = line.take(ANY_REGISTRY)
    if (image !== undefined) line.putBack(image, true)
    return image?.entry
  })
}

test('images take turns', () => {
  const line = new ImageLine(10)
  for (const entry of [A, B, C]) line.add(entry, source(), false)
  assert.deepEqual(turns(line, 5), [A, B, C, A, B])
})

test('what was asked for last goes first; then what was asked for and what was left take turns', () => {
  const line = new ImageLine(10)
  for (const entry of [A, D]) line.add(entry, source(), false)
  for (const entry of [B, C]) line.add(entry, source(), true)
  assert.deepEqual(turns(line, 6), [C, B, C, A, B, D])
  line.add(A, source(), true)
  assert.deepEqual(turns(line, 1), [A], 'one that waits is moved to the front')
})

test('a turn that is not over goes on before others have theirs', () => {
  const line = new ImageLine(10)
  for (const entry of [A, B]) line.add(entry, source(), false)
  line.putBack(line.take(ANY_REGISTRY) as Image, false)
  assert.deepEqual(turns(line, 3), [A, B, A])
})

test('registries take turns, however many images they have, and one that may not go on is left out', () => {
  const line = new ImageLine(10)
  for (const entry of [A, B, C]) line.add(entry, source('quay.io'), true)
  line.add(D, source('ghcr.io'), false)
  assert.deepEqual(turns(line, 4), [C, D, B, D])
  const { registry } = source('ghcr.io')
  assert.equal(line.take((name) => name === registry)?.entry, D)
  assert.equal(
    line.take((name) => name === registry),
    undefined,
    'its only image is taken',
  )
})

test('an image is in the line of a registry once, until it leaves', () => {
  const line = new ImageLine(10)
  line.add(A, source(), false)
  line.add(A, source(), true)
  const image = line.take(ANY_REGISTRY) as Image
  line.add(A, source(), true)
  assert.equal(line.take(ANY_REGISTRY), undefined)
  line.leave(image)
  line.add(A, source(), true)
  assert.notEqual(line.take(ANY_REGISTRY), image)
})

test('one that is to be looked at again without being asked for begins anew; asking for it does not throw it back', () => {
  const line = new ImageLine(10)
  line.add(A, source(), true)
  const image = line.take(ANY_REGISTRY) as Image
  Object.assign(image, { next: 7, missing: 3 })
  line.add(A, source('quay.io', 'other/name'), true)
  assert.deepEqual([image.next, image.missing, image.source.repository], [7, 3, 'other/name'])
  line.add(A, source(), false)
  assert.deepEqual([image.next, image.missing], [0, 0])
})

test('a full line takes in no more until one leaves', () => {
  const line = new ImageLine(2)
  for (const entry of [A, B, C]) line.add(entry, source(), false)
  line.add(D, source('ghcr.io'), true)
  assert.deepEqual(turns(line, 3), [A, B, A])
  line.leave(line.take(ANY_REGISTRY) as Image)
  line.add(C, source(), false)
  assert.deepEqual(turns(line, 2), [A, C])
})
