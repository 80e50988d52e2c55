/** Small blobs are remembered: never wrong bytes, never more than so many, and answers as from the store. */
import assert from 'node:assert/strict'
import { chmod, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { test } from 'node:test'
import { HIT, MISS } from '../../src/cache/answer.ts'
import { SmallBlobs } from '../../src/cache/small-blobs.ts'
import { digestOf } from '../../src/oci/digest.ts'
import { OCI_MANIFEST } from '../../src/oci/media-type.ts'
import { MemoryStore } from '../support/memory-store.ts'
import { until } from '../support/until.ts'
import { ANY, bytes, CACHED, cacheTest, KIB, Reader, ref, source } from './support.ts'

const SMALL = bytes('small', 32 * KIB)

cacheTest('A small blob that was sent from the store once is at hand, whole and in ranges, also when its file is gone', async (ground) => {
  const { blobs } = await ground.start()
  const digest = digestOf(SMALL)
  await writeFile(ground.blobPath(digest), SMALL, { mode: 0o444 })
  assert.equal(blobs.atHand(digest, source(), ANY), undefined)
  assert.deepEqual((await blobs.open(digest, source(), CACHED)).blob.whole, SMALL)
  await rm(ground.blobPath(digest))
  const { blob, status } = await blobs.open(digest, source('other.example', 'x'), CACHED)
  assert.equal(blobs.atHand(digest, source(), ANY)?.blob, blob)
  assert.deepEqual([blob.sizeBytes, blob.whole, status], [SMALL.byteLength, SMALL, HIT])
  assert.deepEqual(await new Reader(blob, false, 5, 25).done, SMALL.subarray(5, 25))
  assert.equal(ground.upstreams.calls, 0)
})

cacheTest('A small blob is at hand as soon as it was pulled and stored', async (ground) => {
  const { blobs, manifests } = await ground.start()
  const digest = ground.hub().content.addBlob(SMALL)
  const config = { mediaType: 'application/vnd.oci.image.config.v1+json', digest, size: SMALL.byteLength }
  ground
    .hub()
    .content.addManifest('some/app', '1', Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: OCI_MANIFEST, config, layers: [] })))
  await manifests.get(ref('quay.io/some/app:1'), ANY, true)
  const { blob, status } = await blobs.open(digest, source(), ANY)
  assert.deepEqual([blob.whole, status], [SMALL, MISS])
  blob.close()
  await until(() => blobs.atHand(digest, source(), ANY) !== undefined, 'it is stored')
  assert.deepEqual(await readFile(ground.blobPath(digest)), SMALL)
  assert.equal((await stat(ground.blobPath(digest))).mode & 0o777, 0o444)
})

cacheTest('What was pulled as a blob, and then turned out to be a manifest, is no blob any more, in memory neither', async (ground) => {
  const { blobs, manifests } = await ground.start()
  const config = { mediaType: 'application/vnd.oci.image.config.v1+json', digest: digestOf(SMALL), size: SMALL.byteLength }
  const content = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: OCI_MANIFEST, config, layers: [] }))
  const digest = ground.hub().content.addManifest('some/app', '1', content)
  await writeFile(ground.blobPath(digest), content, { mode: 0o444 })
  assert.deepEqual((await blobs.open(digest, source(), CACHED)).blob.whole, content)
  await manifests.get(ref('quay.io/some/app:1'), ANY, true)
  assert.equal(blobs.atHand(digest, source(), ANY), undefined)
  await assert.rejects(blobs.open(digest, source(), ANY), { name: 'OciError', status: 404, code: 'BLOB_UNKNOWN' })
})

cacheTest('A larger one is not remembered', async (ground) => {
  const { blobs } = await ground.start()
  const digest = digestOf(bytes('large', 64 * KIB + 1))
  await writeFile(ground.blobPath(digest), bytes('large', 64 * KIB + 1))
  for (let time = 0; time < 2; time++) {
    const { blob } = await blobs.open(digest, source(), CACHED)
    assert.equal(blob.whole, undefined)
    await new Reader(blob).done
  }
  assert.equal(blobs.atHand(digest, source(), ANY), undefined)
})

cacheTest('An empty blob is remembered, too', async (ground) => {
  const { blobs } = await ground.start()
  const digest = digestOf(Buffer.alloc(0))
  await writeFile(ground.blobPath(digest), '', { mode: 0o444 })
  assert.equal((await blobs.open(digest, source(), CACHED)).blob.sizeBytes, 0)
  assert.deepEqual(blobs.atHand(digest, source(), ANY)?.blob.whole, Buffer.alloc(0))
})

cacheTest('A small blob whose bytes changed on the disk after they were verified is quarantined, and fetched again', async (ground) => {
  const { blobs } = await ground.start()
  const digest = ground.hub().content.addBlob(SMALL)
  const flipped = Buffer.from(SMALL)
  flipped[1000] = (flipped[1000] ?? 0) ^ 1
  await writeFile(ground.blobPath(digest), flipped)
  await chmod(ground.blobPath(digest), 0o444)
  const { blob, status } = await blobs.open(digest, source(), ANY)
  assert.deepEqual([await new Reader(blob).done, status], [SMALL, MISS])
  assert.equal((await ground.files('quarantine')).length, 1)
  await ground.stored(digest)
})

test('What is remembered stays within 8 MiB: what was not asked for the longest time goes first', async () => {
  const store = new MemoryStore()
  const small = new SmallBlobs()
  const digests = Array.from({ length: 300 }, (_, index) => store.addBlob(bytes(`blob ${index}`, 32 * KIB)))
  for (const digest of digests) {
    const stored = await store.openBlob(digest)
    assert.ok(stored !== undefined && small.isSmall(stored))
    await small.take(digest, stored)
    assert.ok(digests[0] !== undefined && small.get(digests[0]), 'the first one is used all the time')
  }
  const kept = digests.filter((digest) => small.get(digest) !== undefined)
  assert.equal(kept.length, 256)
  assert.deepEqual(kept, [digests[0], ...digests.slice(-255)])
})
