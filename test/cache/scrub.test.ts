import assert from 'node:assert/strict'
import { chmod, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { isScrubDue } from '../../src/cache/scrub.ts'
import { type Digest, digestFileName, digestOf } from '../../src/oci/digest.ts'
import { OciError } from '../../src/oci/error.ts'
import { snapshot } from '../support/old-store.ts'
import {
  blobFile,
  flipBit,
  flipBitOfManifest,
  recordFile,
  referenceFile,
  remove,
  type StoredImage,
  storeImage,
} from '../support/stored-image.ts'
import { until } from '../support/until.ts'
import { ANY, bytes, CACHED, cacheTest, type Ground, KIB, MIB, readAll, ref, settle, source } from './support.ts'

const V1 = 'quay.io/some/app:v1'
const LAYER = bytes('layer', MIB)
const BIG = digestOf(LAYER)
const DAY_MS = 24 * 3600_000
const WEEKLY = { everyMs: 7 * DAY_MS, bytesPerSecond: 20 * MIB }
const MINUTES_10 = 10 * 60_000

/** An image in the store and in the registry, whose catalog is loaded. */
async function stored(ground: Ground): Promise<StoredImage> {
  const image = await storeImage(ground.directory, V1, { layers: [LAYER, Buffer.from('small')] }, ground.hub().content)
  await ground.start()
  return image
}

function finished(ground: Ground): number {
  return ground.log.lines.filter(({ message }) => message === 'scrub finished').length
}

/** Moves time on until one more pass is over, and noted. @returns how long it took, in ms */
async function scrubbed(ground: Ground): Promise<number> {
  const { clock } = ground
  const before = finished(ground)
  await until(async () => {
    await clock.advance(MINUTES_10 / 10)
    await settle() // what a slow disk takes is not to become weeks
    return (await noteOf(ground))?.at !== null || finished(ground) > before
  }, 'the scrub begins')
  const began = clock.monotonic()
  await until(async () => {
    await clock.advance(10)
    return finished(ground) > before && (await noteOf(ground))?.at === null
  }, 'the scrub is over')
  return clock.monotonic() - began
}

async function noteOf(ground: Ground): Promise<{ readonly began: string; readonly at: string | null } | undefined> {
  const text = await readFile(join(ground.path, 'scrub.json'), 'utf8').catch(() => undefined)
  return text === undefined ? undefined : JSON.parse(text)
}

async function quarantined(ground: Ground): Promise<string[]> {
  return (await ground.files('quarantine')).map((name) => name.split('-').slice(0, 2).join('/'))
}

async function contentOf(ground: Ground, digest: Digest): Promise<Buffer> {
  return readFile(blobFile(ground.path, digest))
}

cacheTest(
  'The scrub reads all that is stored at its rate, and changes nothing that is right',
  async (ground) => {
    await stored(ground)
    const before = await snapshot(ground.path)
    const tookMs = await scrubbed(ground)
    assert.ok(tookMs >= 50, `1 MiB at 20 MiB a second in ${tookMs} ms`)
    const after = await snapshot(ground.path)
    assert.ok(after.delete('scrub.json'))
    assert.deepEqual(after, before)
    const line = ground.log.lines.find(({ message }) => message === 'scrub finished')
    assert.deepEqual([line?.fields.files, line?.fields.wrong], [5, 0])
    assert.equal(ground.upstreams.calls, 0)
  },
  { scrub: WEEKLY },
)

cacheTest(
  'A damaged blob is moved to quarantine, and fetched again in the background',
  async (ground) => {
    await stored(ground)
    await flipBit(blobFile(ground.path, BIG), MIB / 2)
    await scrubbed(ground)
    await until(async () => digestOf(await contentOf(ground, BIG).catch(() => Buffer.alloc(0))) === BIG, 'it is back')
    assert.deepEqual(await quarantined(ground), [`blobs/${digestFileName(BIG)}`])
    assert.deepEqual(
      ground.hub().calls.map(({ method, target }) => [method, target]),
      [['openBlob', BIG]],
    )
    await scrubAgain(ground)
    assert.equal((await ground.files('quarantine')).length, 1)
  },
  { scrub: WEEKLY },
)

async function scrubAgain(ground: Ground): Promise<void> {
  await ground.clock.advance(WEEKLY.everyMs - MINUTES_10)
  await scrubbed(ground)
}

cacheTest(
  'A damaged small blob is written again from memory, without asking anybody',
  async (ground) => {
    const image = await stored(ground)
    const small = image.layers[1] as Digest
    await readAll((await ground.cache.blobs.open(small, source(), ANY)).blob)
    await flipBit(blobFile(ground.path, small))
    await scrubbed(ground)
    assert.equal(digestOf(await contentOf(ground, small)), small)
    assert.deepEqual(await quarantined(ground), [`blobs/${digestFileName(small)}`])
    assert.equal(ground.upstreams.calls, 0)
  },
  { scrub: WEEKLY },
)

cacheTest(
  'A damaged record is written again from memory, and its tag stays',
  async (ground) => {
    const image = await stored(ground)
    await ground.cache.manifests.get(ref(V1), ANY, true)
    await flipBitOfManifest(recordFile(ground.path, image.digest))
    await scrubbed(ground)
    await until(async () => (await ground.files('img')).includes(digestFileName(image.digest)), 'it is back')
    assert.deepEqual(await quarantined(ground), [`img/${digestFileName(image.digest)}`])
    assert.equal(ground.upstreams.calls, 0)
    await ground.restart()
    assert.deepEqual((await ground.cache.manifests.get(ref(V1), CACHED, true)).bytes, image.bytes)
  },
  { scrub: WEEKLY },
)

cacheTest(
  'A damaged record that is not in memory is fetched again by its digest, and its tag stays',
  async (ground) => {
    const image = await stored(ground)
    ground.hub().content.tag('some/app', 'v1', ground.hub().content.addImage('some/app', 'v2').digest)
    await flipBitOfManifest(recordFile(ground.path, image.digest))
    await scrubbed(ground)
    await until(async () => (await ground.files('img')).includes(digestFileName(image.digest)), 'it is back')
    assert.deepEqual(
      ground.hub().calls.map(({ method, target }) => [method, target]),
      [['getManifest', image.digest]],
    )
    assert.deepEqual((await ground.cache.manifests.get(ref(V1), CACHED, true)).bytes, image.bytes)
  },
  { scrub: WEEKLY },
)

cacheTest(
  'A damaged record is fetched again when its registry is well again',
  async (ground) => {
    const image = await stored(ground)
    ground.hub().state = { state: 'down' }
    await flipBitOfManifest(recordFile(ground.path, image.digest))
    await scrubbed(ground)
    assert.deepEqual([ground.upstreams.calls, await ground.files('img')], [0, []])
    ground.hub().state = { state: 'well' }
    await until(async () => {
      await ground.clock.advance(MINUTES_10 / 10)
      return (await ground.files('img')).includes(digestFileName(image.digest))
    }, 'it is back')
  },
  { scrub: WEEKLY },
)

cacheTest(
  'A damaged reference is written again from what the server knows',
  async (ground) => {
    await stored(ground)
    const file = referenceFile(ground.path, V1)
    const before = await readFile(file, 'utf8')
    await writeFile(file, 'damaged')
    await scrubbed(ground)
    await until(async () => (await readFile(file, 'utf8').catch(() => '')) === before, 'it is back')
    assert.equal((await ground.files('quarantine')).length, 1)
  },
  { scrub: WEEKLY },
)

cacheTest(
  'A blob that is writable is verified once, and marked so',
  async (ground) => {
    await stored(ground)
    await chmod(blobFile(ground.path, BIG), 0o644)
    await scrubbed(ground)
    assert.equal((await stat(blobFile(ground.path, BIG))).mode & 0o777, 0o444)
  },
  { scrub: WEEKLY },
)

cacheTest(
  'A layer that somebody removed is fetched again where images are to be complete',
  async (ground) => {
    await stored(ground)
    await remove(blobFile(ground.path, BIG))
    await scrubbed(ground)
    await ground.stored(BIG)
    assert.deepEqual(await ground.files('quarantine'), [])
  },
  { scrub: WEEKLY, settings: { prefetch: true }, budgets: { completeWithinMs: 0 } },
)

cacheTest(
  'Where images need not be complete, what somebody removed is fetched again if the image was seen whole before',
  async (ground) => {
    await stored(ground)
    await scrubbed(ground)
    await remove(blobFile(ground.path, BIG))
    await scrubAgain(ground)
    await ground.stored(BIG)
  },
  { scrub: WEEKLY },
)

cacheTest(
  'Of an image that was only looked at nothing is fetched',
  async (ground) => {
    const image = await stored(ground)
    await remove(...[image.config, BIG].map((digest) => blobFile(ground.path, digest)))
    await scrubbed(ground)
    assert.equal(ground.upstreams.calls, 0)
  },
  { scrub: WEEKLY, settings: { prefetch: true }, budgets: { completeWithinMs: 0 } },
)

cacheTest(
  'An air-gapped server moves what is damaged to quarantine, and asks nobody',
  async (ground) => {
    const image = await stored(ground)
    await flipBit(blobFile(ground.path, BIG))
    await flipBitOfManifest(recordFile(ground.path, image.digest))
    await scrubbed(ground)
    assert.deepEqual((await quarantined(ground)).sort(), [`blobs/${digestFileName(BIG)}`, `img/${digestFileName(image.digest)}`])
    assert.equal(ground.upstreams.calls, 0)
  },
  { scrub: WEEKLY, settings: { airGapped: true } },
)

cacheTest(
  'A registry that the configuration closes by now is not asked, and harms nobody',
  async (ground) => {
    await stored(ground)
    ground.upstreams.closed.set(ground.hub().registry, new OciError(404, 'NAME_UNKNOWN', 'it is not configured'))
    await flipBit(blobFile(ground.path, BIG))
    await scrubbed(ground)
    assert.deepEqual(await quarantined(ground), [`blobs/${digestFileName(BIG)}`])
  },
  { scrub: WEEKLY },
)

cacheTest(
  'A pass begins once a week',
  async (ground) => {
    await stored(ground)
    await scrubbed(ground)
    await ground.clock.advance(WEEKLY.everyMs - 2 * MINUTES_10)
    assert.equal(finished(ground), 1)
    await scrubbed(ground)
    assert.equal(finished(ground), 2)
  },
  { scrub: WEEKLY },
)

cacheTest(
  'A stop in the middle of a pass is prompt, and a restart goes on where it was',
  async (ground) => {
    await stored(ground)
    await ground.clock.advance(MINUTES_10)
    for (let step = 0; step < 50; step++) {
      await settle() // the disk is not moved by hand
      await ground.clock.advance(100)
    }
    await ground.restart()
    const { at } = JSON.parse(await readFile(join(ground.path, 'scrub.json'), 'utf8'))
    assert.match(at, /^(?:refs|img|blobs)\//)
    assert.equal(finished(ground), 0)
    await scrubbed(ground)
    const line = ground.log.lines.find(({ message }) => message === 'scrub finished')
    assert.ok(Number(line?.fields.files) < 5, 'what was read before is not read again')
    assert.equal(JSON.parse(await readFile(join(ground.path, 'scrub.json'), 'utf8')).at, null)
  },
  { scrub: { everyMs: 7 * DAY_MS, bytesPerSecond: 64 * KIB } },
)

cacheTest(
  'While the store is held by another nothing is read, moved or noted',
  async (ground) => {
    await stored(ground)
    await flipBit(blobFile(ground.path, BIG))
    ground.space.trouble = { kind: 'held', why: 'another server holds it' }
    const before = await snapshot(ground.path)
    await ground.clock.advance(3 * MINUTES_10)
    assert.deepEqual(await snapshot(ground.path), before)
    ground.space.trouble = undefined
    await scrubbed(ground)
    assert.equal((await ground.files('quarantine')).length, 1)
  },
  { scrub: WEEKLY },
)

cacheTest(
  'A damaged file that cannot be moved does not keep the others from being read',
  async (ground) => {
    const image = await stored(ground)
    await flipBit(blobFile(ground.path, image.config))
    await flipBit(blobFile(ground.path, BIG))
    await rm(join(ground.path, 'quarantine'), { recursive: true })
    await writeFile(join(ground.path, 'quarantine'), 'in the way')
    await scrubbed(ground)
    const failures = ground.log.lines.filter(({ message }) => message === 'cannot mend a damaged file')
    assert.equal(failures.length, 2)
    await rm(join(ground.path, 'quarantine'))
  },
  { scrub: WEEKLY },
)

cacheTest(
  'Switched off, the scrub reads nothing',
  async (ground) => {
    await stored(ground)
    await ground.clock.advance(30 * DAY_MS)
    assert.ok(!(await readdir(ground.path)).includes('scrub.json'))
  },
  { scrub: { everyMs: 0, bytesPerSecond: MIB } },
)

const [BEGAN, WEEK] = [Date.UTC(2026, 0, 1), 7 * DAY_MS]
const due: [sentence: string, note: Parameters<typeof isScrubDue>[0], nowMs: number, due: boolean][] = [
  ['A store that was never scrubbed is due', undefined, BEGAN, true],
  ['A pass that was interrupted is due', { beganMs: BEGAN, at: '' }, BEGAN, true],
  ['A finished pass is not due before its time', { beganMs: BEGAN, at: undefined }, BEGAN + WEEK - 1, false],
  ['A finished pass is due at its time', { beganMs: BEGAN, at: undefined }, BEGAN + WEEK, true],
  ['A pass that began in the future is due: a clock was wrong', { beganMs: BEGAN + 1, at: undefined }, BEGAN, true],
]
for (const [sentence, note, nowMs, want] of due) test(sentence, () => assert.equal(isScrubDue(note, WEEK, nowMs), want))
