/** "Not found" is remembered for a moment, and nothing else is; a push followed by a pull works. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { HIT, MISS } from '../../src/cache/answer.ts'
import { NegativeAnswers, RememberedError } from '../../src/cache/negative.ts'
import { OciError } from '../../src/oci/error.ts'
import { UpstreamError, type UpstreamErrorKind } from '../../src/upstream/error.ts'
import { ManualClock } from '../support/clock.ts'
import { ANY, bytes, CACHED, cacheTest, isKind, readAll, ref, source } from './support.ts'

const TAG = ref('quay.io/some/app:1')
const SIGNATURE = ref(`quay.io/some/app:sha256-${'a'.repeat(64)}.sig`)

cacheTest('A manifest that a registry does not have is asked for once in ten seconds, by GET and HEAD together', async (ground) => {
  const { manifests } = await ground.start()
  for (let i = 0; i < 5; i++) await assert.rejects(manifests.get(TAG, ANY, i % 2 === 0), isKind('notFound'))
  await ground.clock.advance(9_999)
  await assert.rejects(manifests.get(TAG, ANY, true), RememberedError)
  assert.equal(ground.upstreams.calls, 1)
  await ground.clock.advance(1)
  await assert.rejects(manifests.get(TAG, ANY, true), isKind('notFound'))
  assert.equal(ground.upstreams.calls, 2)
})

cacheTest('A tag that is pushed after it was asked for is there ten seconds later; other tags are there at once', async (ground) => {
  const { manifests } = await ground.start()
  await assert.rejects(manifests.get(TAG, ANY, true), isKind('notFound'))
  const pushed = ground.hub().content.addImage('some/app', '1')
  ground.hub().content.tag('some/app', '2', pushed.digest)
  assert.deepEqual((await manifests.get(ref('quay.io/some/app:2'), ANY, true)).bytes, pushed.bytes)
  await ground.clock.advance(10_000)
  assert.deepEqual((await manifests.get(TAG, ANY, true)).status, MISS)
  assert.deepEqual((await manifests.get(TAG, ANY, true)).status, HIT)
})

cacheTest('What is asked for only-if-cached is not cached, whatever the registry said before', async (ground) => {
  const { manifests } = await ground.start()
  await assert.rejects(manifests.get(TAG, ANY, true), isKind('notFound'))
  await assert.rejects(manifests.get(TAG, CACHED, true), (error) => error instanceof OciError && error.status === 504)
})

for (const kind of ['denied', 'limited', 'unreachable', 'dns', 'tls', 'failed', 'corrupt', 'timeout', 'circuitOpen'] as const) {
  cacheTest(`Trouble (${kind}) is not remembered: the next request asks again`, async (ground) => {
    const { manifests, blobs } = await ground.start()
    const layer = bytes('layer', 1000)
    const { bytes: manifest } = ground.hub().content.addImage('some/app', '1')
    const digest = ground.hub().content.addBlob(layer)
    ground.hub().plan('getManifest', { error: kind })
    ground.hub().plan('blobSize', { error: kind })
    await assert.rejects(manifests.get(TAG, ANY, true), isKind(kind))
    await assert.rejects(blobs.size(digest, source(), ANY), isKind(kind))
    assert.deepEqual((await manifests.get(TAG, ANY, true)).bytes, manifest)
    assert.equal((await blobs.size(digest, source(), ANY)).sizeBytes, 1000)
  })
}

cacheTest('Tags of signatures that are not there are asked for once a minute', async (ground) => {
  const { manifests } = await ground.start()
  await assert.rejects(manifests.get(SIGNATURE, ANY, true), isKind('notFound'))
  await ground.clock.advance(59_999)
  await assert.rejects(manifests.get(SIGNATURE, ANY, true), RememberedError)
  await ground.clock.advance(1)
  await assert.rejects(manifests.get(SIGNATURE, ANY, true), isKind('notFound'))
  assert.equal(ground.upstreams.calls, 2)
})

cacheTest('A registry without the referrers API is asked for it once a minute, and for the fallback tag as often', async (ground) => {
  const { lists } = await ground.start()
  const { digest } = ground.hub().content.addImage('some/app', '1')
  const { registry, repository } = source()
  const ask = () => lists.referrers(registry, repository, digest, ANY)
  for (let i = 0; i < 3; i++) assert.deepEqual((await ask()).descriptors, [])
  await ground.clock.advance(59_999)
  assert.deepEqual((await ask()).descriptors, [])
  assert.deepEqual(
    ground.hub().calls.map(({ method }) => method),
    ['listReferrers', 'getManifest'],
  )
  await ground.clock.advance(1)
  ground.hub().referrersApi = true
  await ask()
  assert.equal(ground.hub().callsOf('listReferrers').length, 2)
  assert.equal(ground.hub().callsOf('getManifest').length, 1)
})

cacheTest('A layer that a repository does not have is asked for once in ten seconds there, and elsewhere at once', async (ground) => {
  const { blobs } = await ground.start()
  const layer = bytes('layer', 100_000)
  const digest = ground.hub('docker.io').content.addBlob(layer)
  await assert.rejects(blobs.open(digest, source(), ANY), isKind('notFound'))
  await assert.rejects(blobs.open(digest, source(), ANY), RememberedError)
  await assert.rejects(blobs.size(digest, source(), ANY), RememberedError)
  assert.equal(ground.hub().calls.length, 1)
  assert.deepEqual(await readAll((await blobs.open(digest, source('docker.io'), ANY)).blob), layer)
  await ground.stored(digest)
  assert.deepEqual(await readAll((await blobs.open(digest, source(), ANY)).blob), layer, 'what is cached is served')
})

cacheTest(
  'negativeTtl: 0 remembers nothing',
  async (ground) => {
    const { manifests } = await ground.start()
    for (const reference of [TAG, TAG, SIGNATURE, SIGNATURE]) await assert.rejects(manifests.get(reference, ANY, true), isKind('notFound'))
    assert.equal(ground.upstreams.calls, 4)
  },
  { settings: { negativeTtlMs: 0 } },
)

const NOT_FOUND = new UpstreamError('notFound', 'quay.io has no such thing')

test('What turned up is forgotten at once', () => {
  const negative = new NegativeAnswers(new ManualClock(), { negativeTtlMs: 10_000 })
  negative.note('a', NOT_FOUND)
  assert.throws(() => negative.refuse('a'), { kind: 'notFound', message: 'quay.io has no such thing (as it said a moment ago)' })
  negative.forget('a')
  negative.refuse('a')
})

test('What is told again is not remembered from then on: it would never be asked for again', async () => {
  const clock = new ManualClock()
  const negative = new NegativeAnswers(clock, { negativeTtlMs: 10_000 })
  negative.note('a', NOT_FOUND)
  await clock.advance(9_000)
  negative.note('a', new RememberedError(NOT_FOUND))
  await clock.advance(1_000)
  negative.refuse('a')
})

test('A longer negativeTtl counts for tags of signatures as well', async () => {
  const clock = new ManualClock()
  const negative = new NegativeAnswers(clock, { negativeTtlMs: 120_000 })
  negative.note('a', NOT_FOUND, true)
  await clock.advance(119_999)
  assert.throws(() => negative.refuse('a'))
})

test('However many names clients invent, only so many are remembered', () => {
  const negative = new NegativeAnswers(new ManualClock(), { negativeTtlMs: 10_000 })
  for (let i = 0; i <= 10_000; i++) negative.note(`name ${i}`, NOT_FOUND)
  negative.refuse('name 0')
  assert.throws(() => negative.refuse('name 10000'))
})

test('Only "not found" is remembered', () => {
  const negative = new NegativeAnswers(new ManualClock(), { negativeTtlMs: 10_000 })
  const kinds: UpstreamErrorKind[] = [
    'denied',
    'limited',
    'unreachable',
    'dns',
    'tls',
    'failed',
    'corrupt',
    'timeout',
    'circuitOpen',
    'refusedAddress',
  ]
  for (const kind of kinds) negative.note(kind, new UpstreamError(kind, 'x'))
  negative.note('other', new OciError(404, 'MANIFEST_UNKNOWN', 'x'))
  negative.note('bug', new Error('x'))
  for (const name of [...kinds, 'other', 'bug']) negative.refuse(name)
})
