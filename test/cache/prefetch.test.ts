/** What was pulled once is complete: its layers are fetched behind the client's back, and no others. */
import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import type { Cache } from '../../src/cache/cache.ts'
import { Prefetch } from '../../src/cache/prefetch.ts'
import { SmallBlobs } from '../../src/cache/small-blobs.ts'
import type { Source } from '../../src/cache/sources.ts'
import { type Digest, digestFileName, digestOf } from '../../src/oci/digest.ts'
import { parseManifest } from '../../src/oci/manifest.ts'
import { OCI_MANIFEST } from '../../src/oci/media-type.ts'
import type { Store } from '../../src/store/store.ts'
import { Gate, NEVER } from '../support/scripted-upstream.ts'
import { until } from '../support/until.ts'
import { ANY, bytes, cacheTest, type Ground, isKind, KIB, later, overriding, Reader, ref, settle, source } from './support.ts'

const ON = { settings: { prefetch: true } }
const LAYERS = [bytes('one', 300_000), bytes('two', 5000), Buffer.alloc(0)]
const DAY_MS = 24 * 3600_000

/** As the server answers a GET of a manifest. */
async function pull(cache: Cache, reference = 'quay.io/some/app:1'): Promise<void> {
  const { entry } = await cache.manifests.get(ref(reference), ANY, true)
  cache.prefetch?.complete(entry)
}

async function assertComplete(ground: Ground, digests: readonly Digest[]): Promise<void> {
  for (const digest of digests) await ground.stored(digest)
  await settle()
  assert.deepEqual(await ground.files('blobs'), digests.map(digestFileName).sort())
}

function blobCalls(ground: Ground): string[] {
  return ground
    .hub()
    .callsOf('openBlob')
    .map(({ target }) => target)
}

cacheTest(
  'A GET of an image completes it: configuration and layers come without being asked for, each once',
  async (ground) => {
    const cache = await ground.start()
    const { config, layers } = ground.hub().content.addImage('some/app', '1', { layers: LAYERS })
    await Promise.all(Array.from({ length: 10 }, () => pull(cache)))
    await assertComplete(ground, [config, ...layers])
    await pull(cache)
    await settle()
    assert.deepEqual(blobCalls(ground).sort(), [config, ...layers].sort())
    ground.hub().down('unreachable')
    const { blob } = await cache.blobs.open(layers[0] as Digest, source(), ANY)
    assert.ok((await new Reader(blob).done).equals(LAYERS[0] as Buffer))
  },
  ON,
)

cacheTest(
  'A layer that an older program left cut short is fetched again, before somebody asks for it',
  async (ground) => {
    const cache = await ground.start()
    const { config, layers } = ground.hub().content.addImage('some/app', '1', { layers: LAYERS })
    const [cut, right] = layers as [Digest, Digest]
    await writeFile(ground.blobPath(cut), (LAYERS[0] as Buffer).subarray(0, 1000))
    await writeFile(ground.blobPath(right), LAYERS[1] as Buffer)
    await pull(cache)
    await until(async () => (await readFile(ground.blobPath(cut))).equals(LAYERS[0] as Buffer), 'it is whole')
    await assertComplete(ground, [config, ...layers])
    assert.ok(!blobCalls(ground).includes(right))
  },
  ON,
)

cacheTest(
  'An image is completed from where the client asked for it, where the supplier of its manifest has no layers',
  async (ground) => {
    const cache = await ground.start()
    const { config, layers } = ground.hub('quay.io').content.addImage('some/app', '1', { layers: LAYERS })
    const image = await cache.manifests.get(ref('quay.io/some/app:1'), ANY, true)
    for (const digest of [config, ...layers]) {
      const stored = ground.hub('quay.io').content.blob(undefined, digest)
      assert.ok(stored)
      ground.hub('ghcr.io').content.addBlob(Buffer.concat([...stored.read(0, stored.sizeBytes)]))
      ground.hub('quay.io').content.removeBlob(digest)
    }
    cache.prefetch?.complete(image.entry, source('ghcr.io', 'other/name'))
    await assertComplete(ground, [config, ...layers])
  },
  ON,
)

cacheTest(
  'A HEAD completes nothing',
  async (ground) => {
    const cache = await ground.start()
    ground.hub().content.addImage('some/app', '1', { layers: LAYERS })
    await cache.manifests.get(ref('quay.io/some/app:1'), ANY, false)
    await settle()
    assert.deepEqual(blobCalls(ground), [])
  },
  ON,
)

cacheTest(
  'An index completes none of its images until one of them is asked for',
  async (ground) => {
    const cache = await ground.start()
    const { content } = ground.hub()
    const [amd64, arm64] = [content.addImage('some/app', undefined, { layers: LAYERS }), content.addImage('some/app', undefined)]
    content.addIndex('some/app', '1', [{ digest: amd64.digest }, { digest: arm64.digest }])
    await pull(cache)
    await settle()
    assert.deepEqual(blobCalls(ground), [])
    await pull(cache, `quay.io/some/app@${amd64.digest}`)
    await assertComplete(ground, [amd64.config, ...amd64.layers])
  },
  ON,
)

cacheTest(
  'Foreign layers and attestations are left alone',
  async (ground) => {
    const cache = await ground.start()
    const { content } = ground.hub()
    const foreign = content.addImage('some/app', '1', {
      layers: LAYERS,
      layerMediaType: 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip',
    })
    content.addImage('some/app', '2', { layers: LAYERS, layerMediaType: 'application/vnd.in-toto+json' })
    await pull(cache)
    await pull(cache, 'quay.io/some/app:2')
    await assertComplete(ground, [foreign.config])
  },
  ON,
)

cacheTest(
  'What an image misses comes from who supplied its manifest',
  async (ground) => {
    const cache = await ground.start()
    const { digest, config, layers } = ground.hub().content.addImage('some/app', '1', { layers: LAYERS })
    await cache.manifests.get(ref('quay.io/some/app:1'), ANY, false)
    await pull(cache, `other.example/other/name@${digest}`)
    await assertComplete(ground, [config, ...layers])
    assert.equal(ground.hub('other.example').calls.length, 0)
  },
  ON,
)

cacheTest(
  'An image that a restart left incomplete is completed after it, without being asked for',
  async (ground) => {
    const cache = await ground.start()
    const { config, layers } = ground.hub().content.addImage('some/app', '1', { layers: LAYERS })
    ground.hub().always('openBlob', NEVER)
    await pull(cache)
    await until(() => blobCalls(ground).length > 0, 'it is being completed')
    await cache.stop()
    assert.deepEqual(await ground.files('blobs'), [])
    await ground.clock.advance(6 * DAY_MS)
    ground.hub().always('openBlob', undefined)
    await ground.restart()
    await assertComplete(ground, [config, ...layers])
  },
  ON,
)

cacheTest(
  'An image that is older than 7 days is not completed by a restart, but when it is asked for again',
  async (ground) => {
    const cache = await ground.start()
    const { config, layers } = ground.hub().content.addImage('some/app', '1', { layers: LAYERS })
    ground.hub().always('openBlob', { error: 'unreachable' })
    await pull(cache)
    await settle()
    await ground.clock.advance(7 * DAY_MS + 1000)
    ground.hub().always('openBlob', undefined)
    const restarted = await ground.restart()
    await settle()
    assert.deepEqual(await ground.files('blobs'), [])
    await pull(restarted)
    await assertComplete(ground, [config, ...layers])
  },
  ON,
)

cacheTest(
  'An image that could not be completed is completed when it is asked for again, but no more often than once a second',
  async (ground) => {
    const cache = await ground.start()
    const { config, layers } = ground.hub().content.addImage('some/app', '1', { layers: LAYERS })
    ground.hub().always('openBlob', { error: 'unreachable' })
    await pull(cache)
    await until(() => ground.log.lines.filter(({ message }) => message === 'fill failed').length === 4, 'all four failed')
    await settle()
    ground.hub().always('openBlob', undefined)
    await ground.clock.advance(999)
    await pull(cache)
    await settle()
    assert.equal(blobCalls(ground).length, 4)
    await ground.clock.advance(1)
    await pull(cache)
    await assertComplete(ground, [config, ...layers])
  },
  ON,
)

cacheTest(
  'A client that gives up on a queued layer does not leave its image incomplete',
  async (ground) => {
    const gate = new Gate()
    const cache = await ground.start()
    const { config, layers } = ground.hub().content.addImage('some/app', '1', { layers: LAYERS })
    ground.hub().plan('openBlob', { after: gate.opened })
    await pull(cache)
    await until(() => blobCalls(ground).length === 1, 'the first is being fetched')
    await settle()
    const impatient = later(cache.blobs.open(layers[0] as Digest, source(), ANY))
    await settle()
    await ground.clock.advance(20_000)
    await assert.rejects(impatient, isKind('timeout'))
    gate.open()
    await assertComplete(ground, [config, ...layers])
  },
  { ...ON, budgets: { fillsAtOnce: 1 } },
)

cacheTest(
  'What there was no room for is completed as soon as the store takes content again, without being asked for',
  async (ground) => {
    const cache = await ground.start()
    const { config, layers } = ground.hub().content.addImage('some/app', '1', { layers: LAYERS.slice(0, 2) })
    ground.space.freeBytes = 0
    await pull(cache)
    await until(() => blobCalls(ground).length > 0, 'it is being completed')
    await settle()
    assert.deepEqual(await ground.files('blobs'), [])
    ground.space.freeBytes = Number.POSITIVE_INFINITY
    cache.storeAgain()
    await assertComplete(ground, [config, ...layers])
  },
  ON,
)

cacheTest(
  'A small layer for which there was no room, and that memory has lost meanwhile, is fetched again when there is',
  async (ground) => {
    const cache = await ground.start()
    const { config, layers } = ground.hub().content.addImage('some/app', '1', { layers: [bytes('small', 5000)] })
    ground.space.freeBytes = 0
    await pull(cache)
    const inMemory = () => [config, ...layers].filter((digest) => cache.blobs.atHand(digest, source(), ANY) !== undefined).length
    await until(() => inMemory() === 2, 'all of it is in memory')
    await ground.clock.advance(1000)
    await pull(cache)
    await settle()
    const others: Digest[] = []
    for (let i = 0; i < 140; i++) {
      const other = bytes(`other ${i}`, 64 * KIB)
      others.push(await ground.directory.putBlob(digestOf(other), other).then(() => digestOf(other)))
      ;(await cache.blobs.open(digestOf(other), source(), ANY)).blob.close()
    }
    assert.equal(inMemory(), 0)
    ground.space.freeBytes = Number.POSITIVE_INFINITY
    cache.storeAgain()
    await assertComplete(ground, [config, ...layers, ...others])
  },
  ON,
)

for (const settings of [{ prefetch: false }, { prefetch: true, airGapped: true }]) {
  cacheTest(
    `Nothing is completed with ${JSON.stringify(settings)}`,
    async (ground) => {
      const cache = await ground.start()
      assert.equal(cache.prefetch, undefined)
      await settle()
      assert.equal(ground.upstreams.calls, 0)
    },
    { settings },
  )
}

/** What completes images on the ground itself, whose catalog and fills a test can look into. */
function prefetchOn(ground: Ground): Prefetch {
  const { catalog, store, fills, clock, log } = ground
  return new Prefetch({
    catalog,
    store,
    fills,
    smallBlobs: new SmallBlobs(),
    isWanted: () => true,
    clock,
    log,
    completeWithinMs: 7 * DAY_MS,
  })
}

/** An image of small layers, known to the ground's catalog. */
function knownImage(ground: Ground, name: string, layerCount: number, from: Source = source()) {
  const layers = Array.from({ length: layerCount }, (_, i) => bytes(`${name} ${i}`, 100))
  const image = ground.hub(from.registry).content.addImage(from.repository, undefined, { layers, config: { name } })
  const supplied = { ...from, imageUrl: `${from.registry}/${from.repository}@${image.digest}`, createdMs: ground.clock.now(), pulledMs: 0 }
  const record = { digest: image.digest, mediaType: OCI_MANIFEST, bytes: image.bytes, ...supplied }
  return {
    ...image,
    all: [image.config, ...image.layers],
    entry: ground.catalog.addManifest(record, parseManifest(image.bytes, OCI_MANIFEST)),
  }
}

async function assertAllStored(ground: Ground, images: readonly { readonly all: readonly Digest[] }[]): Promise<void> {
  const expected = images.flatMap(({ all }) => all.map(digestFileName)).sort()
  const stored = async () => (await ground.files('blobs')).filter((name) => !name.startsWith('.')) // what is being written has a dot
  await until(async () => (await stored()).length >= expected.length, 'all is stored')
  assert.deepEqual(await stored(), expected)
}

for (const how of ['asked for', 'left by a restart'] as const) {
  cacheTest(`Images of hundreds of layers (${how}) have a few downloads queued at a time, and are completed in the end`, async (ground) => {
    const gate = new Gate()
    const names = ['quay.io', 'ghcr.io', 'a.example', 'b.example', 'c.example', 'd.example', 'e.example', 'f.example']
    for (const name of names) ground.hub(name).always('openBlob', { after: gate.opened })
    const images = names.flatMap((name) => [0, 1].map((i) => knownImage(ground, `${name} ${i}`, 70, source(name))))
    const prefetch = prefetchOn(ground)
    if (how === 'asked for') for (const { entry } of images) prefetch.complete(entry)
    else prefetch.resume()
    await until(() => ground.fills.queuedInBackground() >= 64, 'downloads are queued')
    await settle()
    assert.ok(ground.fills.queuedInBackground() < 64 + 4, `${ground.fills.queuedInBackground()} are queued`)
    for (const { registry } of names.map((name) => source(name))) assert.ok(ground.fills.queuedInBackground(registry) < 16 + 4)
    gate.open()
    await assertAllStored(ground, images)
    await prefetch.stop()
  })
}

cacheTest('An image that a client asks for does not wait for those that a restart left incomplete', async (ground) => {
  const gate = new Gate()
  ground.hub().plan('openBlob', ...Array.from({ length: 6 }, () => ({ after: gate.opened })))
  const left = Array.from({ length: 10 }, (_, i) => knownImage(ground, `left ${i}`, 40))
  const prefetch = prefetchOn(ground)
  prefetch.resume()
  await until(() => blobCalls(ground).length === 6, 'some are being fetched')
  const wanted = knownImage(ground, 'wanted', 5)
  prefetch.complete(wanted.entry)
  gate.open()
  await assertAllStored(ground, [...left, wanted])
  const order = wanted.all.map((digest) => blobCalls(ground).indexOf(digest))
  assert.ok(Math.max(...order) < 100, `it is asked for as ${order} of ${blobCalls(ground).length}`)
  await prefetch.stop()
})

cacheTest('Images of registries that are in trouble do not keep those of others from being completed', async (ground) => {
  const names = Array.from({ length: 8 }, (_, i) => `r${i}.example`)
  for (const name of names) ground.hub(name).state = { state: 'down' }
  const stuck = names.map((name) => knownImage(ground, name, 40, source(name)))
  const prefetch = prefetchOn(ground)
  prefetch.resume()
  await settle()
  const good = knownImage(ground, 'good', 40)
  prefetch.complete(good.entry)
  await assertAllStored(ground, [good])
  assert.equal(ground.hub('r0.example').calls.length, 0)
  for (const name of names) ground.hub(name).state = { state: 'well' }
  await assertAllStored(ground, [good, ...stuck])
  await prefetch.stop()
})

/** Counts how many blobs are being opened at once. */
const opening = { now: 0, most: 0 }
function countingOpens(store: Store): Store {
  return overriding(store, {
    openBlob: async (digest) => {
      opening.most = Math.max(opening.most, ++opening.now)
      const blob = await store.openBlob(digest)
      opening.now--
      return blob
    },
  })
}

cacheTest(
  'A start with many images looks at a few of them at a time, and a stop does not wait for the rest',
  async (ground) => {
    const cache = await ground.start()
    for (let i = 0; i < 40; i++) {
      ground.hub().content.addImage('some/app', `${i}`)
      await cache.manifests.get(ref(`quay.io/some/app:${i}`), ANY, false)
    }
    ground.hub().always('openBlob', NEVER)
    opening.most = 0
    await ground.restart()
    assert.ok(opening.most <= 4, `${opening.most} at once`)
    await ground.cache.stop()
    assert.ok(blobCalls(ground).length <= 6)
  },
  { ...ON, store: countingOpens },
)
