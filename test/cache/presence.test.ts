/** What somebody removes from the store while memory has it is written again, seconds after a client asked for it: a restart loses nothing. */
import assert from 'node:assert/strict'
import { access, rm } from 'node:fs/promises'
import { type Digest, digestOf } from '../../src/oci/digest.ts'
import { OciError } from '../../src/oci/error.ts'
import type { ManifestRecord, Store } from '../../src/store/store.ts'
import { Gate } from '../support/scripted-upstream.ts'
import { blobFile, recordFile, referenceFile, storeImage, storeIndex } from '../support/stored-image.ts'
import { until } from '../support/until.ts'
import { ANY, CACHED, cacheTest, type Ground, later, overriding, readAll, ref, settle, source, systemError, turns } from './support.ts'

const TAG = 'quay.io/some/app:v1'
const LOOK_MS = 10_000

/** An index and its image, in the store and in the registry; only the catalog is in memory. */
async function stored(ground: Ground) {
  const { content } = ground.hub()
  const image = await storeImage(ground.directory, 'quay.io/some/app:image', {}, content)
  const index = await storeIndex(ground.directory, TAG, [image], content)
  await ground.start()
  return { index, image: image.digest, config: image.config, byDigest: `quay.io/some/app@${image.digest}` }
}

type Stored = Awaited<ReturnType<typeof stored>>

/** As a client pulls it. */
async function pull({ cache }: Ground, { config, byDigest }: Stored, demand = ANY): Promise<void> {
  for (const reference of [TAG, byDigest]) {
    const { status, bytes } = await cache.manifests.get(ref(reference), demand, true)
    assert.ok(status.hit && bytes !== undefined)
  }
  const { blob } = await cache.blobs.open(config, source(), demand)
  assert.equal(digestOf(await readAll(blob)), config)
}

function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}

/** Refused as what is not cached. */
function isMiss(error: unknown): boolean {
  return error instanceof OciError && [404, 504].includes(error.status)
}

const removals: [what: string, path: (root: string, stored: Stored) => string][] = [
  ['The record of an image', (root, { image }) => recordFile(root, image)],
  ['The record of an index', (root, { index }) => recordFile(root, index, 'fat')],
  ['A reference', (root) => referenceFile(root, TAG)],
  ['A small blob', (root, { config }) => blobFile(root, config)],
]
for (const airGapped of [false, true])
  for (const [what, path] of removals)
    cacheTest(
      `${what} that is removed is written again ten seconds after it was served from memory${airGapped ? ', on an air-gapped server too' : ''}`,
      async (ground) => {
        const image = await stored(ground)
        const file = path(ground.path, image)
        await pull(ground, image)
        await rm(file)
        await ground.clock.advance(LOOK_MS / 2)
        await pull(ground, image)
        await settle()
        assert.equal(await isThere(file), false, 'nobody looks in the turn of a hit')
        await ground.clock.advance(LOOK_MS / 2)
        await until(() => isThere(file), 'it is there again')
        await ground.restart()
        await pull(ground, image, CACHED)
        assert.equal(ground.upstreams.calls, 0)
      },
      { settings: { airGapped } },
    )

cacheTest('A whole directory that is removed while the upstream is away comes back from memory', async (ground) => {
  const image = await stored(ground)
  await pull(ground, image)
  ground.hub().down('unreachable')
  for (const directory of ['img', 'fat', 'refs', 'blobs']) await rm(`${ground.path}/${directory}`, { recursive: true })
  await pull(ground, image)
  await ground.clock.advance(LOOK_MS)
  for (const [, path] of removals) await until(() => isThere(path(ground.path, image)), 'it is there again')
  await ground.restart()
  await pull(ground, image, CACHED)
})

for (const airGapped of [false, true])
  cacheTest(
    `A manifest whose bytes are nowhere any more is promised by one HEAD, and then is a miss${airGapped ? ': 404 where air-gapped' : ', and fetched again'}`,
    async (ground) => {
      const { index } = await stored(ground)
      const { manifests } = ground.cache
      await rm(recordFile(ground.path, index, 'fat'))
      assert.ok(manifests.atHand(ref(TAG), ANY, false))
      await ground.clock.advance(LOOK_MS)
      await until(() => manifests.atHand(ref(TAG), ANY, false) === undefined, 'it is forgotten')
      await assert.rejects(later(manifests.get(ref(TAG), CACHED, false)), isMiss)
      if (airGapped) return
      assert.equal((await manifests.get(ref(TAG), ANY, false)).entry.digest, index)
      await until(() => isThere(recordFile(ground.path, index, 'fat')), 'it is there again')
      assert.deepEqual(
        ground.hub().calls.map(({ method }) => method),
        ['getManifest'],
      )
    },
    { settings: { airGapped } },
  )

cacheTest('While nothing can be written nobody looks, and nothing is forgotten; afterwards what is due is made up for', async (ground) => {
  const { index, config } = await stored(ground)
  const { manifests, blobs } = ground.cache
  const isKnown = () => manifests.atHand(ref(TAG), CACHED, false) !== undefined
  ;(await blobs.open(config, source(), CACHED)).blob.close()
  await rm(blobFile(ground.path, config))
  await rm(recordFile(ground.path, index, 'fat'))
  assert.ok(isKnown() && blobs.atHand(config, source(), ANY))
  ground.space.trouble = { kind: 'held', why: 'scripted' }
  await ground.clock.advance(3 * LOOK_MS)
  await settle()
  assert.ok(isKnown())
  assert.deepEqual(await ground.files('fat'), [])
  ground.space.trouble = undefined
  await ground.clock.advance(LOOK_MS)
  await until(() => isThere(blobFile(ground.path, config)), 'it is there again')
  await until(() => !isKnown(), 'it is forgotten')
})

cacheTest('A small blob for which there is no room is written again as soon as there is', async (ground) => {
  const image = await stored(ground)
  const file = blobFile(ground.path, image.config)
  await pull(ground, image)
  await rm(file)
  await pull(ground, image)
  ground.space.freeBytes = 0
  await ground.clock.advance(LOOK_MS)
  await settle()
  assert.equal(await isThere(file), false)
  ground.space.freeBytes = Number.POSITIVE_INFINITY
  ground.cache.storeAgain()
  await until(() => isThere(file), 'it is there again')
})

cacheTest('Memory that has got it wrong is not written: the blob is a miss from then on', async (ground) => {
  const image = await stored(ground)
  await pull(ground, image)
  const kept = ground.cache.blobs.atHand(image.config, source(), ANY)?.blob.whole
  assert.ok(kept?.[0] !== undefined)
  kept[0] ^= 1
  await rm(blobFile(ground.path, image.config))
  await ground.clock.advance(LOOK_MS)
  await until(() => ground.cache.blobs.atHand(image.config, source(), ANY) === undefined, 'it is forgotten')
  await settle()
  assert.equal(await isThere(blobFile(ground.path, image.config)), false)
  await pull(ground, image).catch(() => {}) // it is fetched, and therefore no hit
  await ground.stored(image.config)
})

const looks: { seen: string[]; now: number; most: number } = { seen: [], now: 0, most: 0 }
/** Notes the looks for records, and how many of them there are at once. */
function notingLooks(store: Store): Store {
  return overriding(store, {
    hasRecord: async (digest: Digest) => {
      looks.seen.push(digest)
      looks.most = Math.max(looks.most, ++looks.now)
      const found = await store.hasRecord(digest)
      looks.now--
      return found
    },
  })
}

cacheTest(
  'However often something is asked for, it is looked for once in ten seconds, and not at all when nobody asks',
  async (ground) => {
    const image = await stored(ground)
    looks.seen = []
    for (let round = 0; round < 3; round++) {
      for (let time = 0; time < 50; time++) await pull(ground, image)
      await ground.clock.advance(LOOK_MS)
      await settle()
    }
    assert.deepEqual(looks.seen.sort(), [image.image, image.index].flatMap((digest) => [digest, digest, digest]).sort())
    await ground.clock.advance(5 * LOOK_MS)
    await settle()
    assert.equal(looks.seen.length, 6)
  },
  { store: notingLooks },
)

cacheTest(
  'A few are looked for at a time, and a stop does not wait for the rest',
  async (ground) => {
    for (let i = 0; i < 60; i++) await storeImage(ground.directory, `quay.io/some/app:${i}`)
    const cache = await ground.start()
    for (let i = 0; i < 60; i++) assert.ok(cache.manifests.atHand(ref(`quay.io/some/app:${i}`), ANY, false))
    Object.assign(looks, { seen: [], most: 0 })
    const advanced = ground.clock.advance(LOOK_MS)
    await until(() => looks.seen.length > 0, 'the look begins')
    await cache.stop()
    await advanced
    const seen = looks.seen.length
    await turns(20)
    assert.ok(looks.most <= 4, `${looks.most} at once`)
    assert.ok(seen < 60 && looks.seen.length === seen, `${seen} of 60 when it stopped`)
  },
  { store: notingLooks },
)

const disk: { gate: Gate; error: Error | undefined } = { gate: new Gate(), error: undefined }
function slowRecords(store: Store): Store {
  return overriding(store, {
    putRecord: async (record: ManifestRecord) => {
      await disk.gate.opened
      await store.putRecord(record)
    },
    hasRecord: async (digest: Digest) => {
      if (disk.error !== undefined) throw disk.error
      return store.hasRecord(digest)
    },
  })
}

cacheTest(
  'A manifest that is still on its way into the store is not taken for missing',
  async (ground) => {
    disk.gate = new Gate()
    const { manifests } = await ground.start()
    const { digest } = ground.hub().content.addImage('some/app', 'v1')
    await manifests.get(ref(TAG), ANY, true)
    assert.ok(manifests.atHand(ref(TAG), ANY, true))
    await ground.clock.advance(LOOK_MS)
    await settle()
    assert.ok(manifests.atHand(ref(TAG), ANY, true))
    disk.gate.open()
    await until(() => isThere(referenceFile(ground.path, TAG)), 'it is stored')
    assert.ok(await isThere(recordFile(ground.path, digest)))
    assert.ok(!ground.log.lines.some(({ message }) => message.includes('gone from the store')))
  },
  { store: slowRecords },
)

cacheTest(
  'A disk that does not say whether a manifest is there takes nothing away',
  async (ground) => {
    disk.gate.open()
    disk.error = systemError('EIO')
    await stored(ground)
    assert.ok(ground.cache.manifests.atHand(ref(TAG), ANY, false))
    await ground.clock.advance(LOOK_MS)
    await until(() => ground.log.lines.some(({ message }) => message.startsWith('cannot see whether')), 'it is told')
    disk.error = undefined
    assert.ok(ground.cache.manifests.atHand(ref(TAG), CACHED, false))
  },
  { store: slowRecords },
)
