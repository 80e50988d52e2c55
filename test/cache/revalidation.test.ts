/** Cached tags that are checked now and then: how often, what a failed check costs, and what is served meanwhile. */
import assert from 'node:assert/strict'
import { HIT, MISS } from '../../src/cache/answer.ts'
import type { TagRule } from '../../src/config/config.ts'
import { parseExpression } from '../../src/config/expression.ts'
import { parseReferenceGlob, type ReferenceGlob } from '../../src/oci/reference-glob.ts'
import { NEVER } from '../support/scripted-upstream.ts'
import { until } from '../support/until.ts'
import { ANY, CACHED, cacheTest, type Ground, isKind, isSettled, later, ref, settle } from './support.ts'

const TAG = ref('quay.io/some/app:1')
const HOUR_MS = 3600_000
const HOURLY: TagRule = { match: parseReferenceGlob('quay.io/**') as ReferenceGlob, revalidate: HOUR_MS }
const EACH_HOUR = { settings: { tagPolicy: [HOURLY] } }
const EACH_TIME = { settings: { tagPolicy: [{ ...HOURLY, revalidate: 'always' as const }] } }

async function pulled(ground: Ground, reference = TAG) {
  const { manifests } = await ground.start()
  const image = ground.hub().content.addImage('some/app', reference.tag)
  assert.deepEqual((await manifests.get(reference, ANY, true)).status, MISS)
  return { manifests, ...image }
}

function checks(ground: Ground): number {
  return ground.hub().callsOf('headManifest').length
}

cacheTest(
  'With revalidate: 1h a tag is served for an hour, checked by one HEAD, and served for another; a restart forgets nothing',
  async (ground) => {
    const { bytes } = await pulled(ground)
    await ground.clock.advance(HOUR_MS - 1)
    assert.deepEqual((await ground.cache.manifests.get(TAG, ANY, true)).status, HIT)
    assert.equal(checks(ground), 0)
    await ground.clock.advance(1)
    for (let i = 0; i < 3; i++) assert.deepEqual((await ground.cache.manifests.get(TAG, ANY, true)).bytes, bytes)
    assert.equal(checks(ground), 1)
    const { manifests } = await ground.restart()
    await ground.clock.advance(HOUR_MS - 1)
    assert.deepEqual((await manifests.get(TAG, ANY, true)).status, HIT)
    assert.equal(checks(ground), 1)
    await ground.clock.advance(1)
    assert.deepEqual((await manifests.get(TAG, ANY, true)).status, HIT)
    assert.equal(checks(ground), 2)
  },
  EACH_HOUR,
)

cacheTest(
  'A tag that moved is noticed at the next check, and its hour begins anew',
  async (ground) => {
    const { manifests } = await pulled(ground)
    const moved = ground.hub().content.addImage('some/app', '1', { config: { changed: true } })
    await ground.clock.advance(HOUR_MS)
    const answer = await manifests.get(TAG, ANY, true)
    assert.deepEqual([answer.bytes, answer.status], [moved.bytes, MISS])
    await ground.clock.advance(HOUR_MS - 1)
    assert.deepEqual((await manifests.get(TAG, ANY, true)).status, HIT)
    assert.equal(checks(ground), 1)
  },
  EACH_HOUR,
)

for (const [policy, options] of [
  ['1h', EACH_HOUR],
  ['always', EACH_TIME],
] as const) {
  cacheTest(
    `With revalidate: ${policy} a check that failed is not repeated for 3 s: until then what is cached is served at once, marked as stale`,
    async (ground) => {
      const { manifests, bytes } = await pulled(ground)
      await ground.clock.advance(HOUR_MS)
      ground.hub().down('failed')
      const stale = { hit: true, stale: 'failed' }
      assert.deepEqual((await manifests.get(TAG, ANY, true)).status, stale)
      await ground.clock.advance(2_999)
      for (let i = 0; i < 10; i++) assert.deepEqual(manifests.atHand(TAG, ANY, true)?.status, stale)
      const forced = await manifests.get(TAG, ANY, true, true)
      assert.deepEqual([forced.bytes, forced.status], [bytes, stale])
      assert.equal(checks(ground), 1)
      assert.equal(ground.log.lines.filter(({ level }) => level === 'warn').length, 1)
      await ground.clock.advance(1)
      assert.equal(manifests.atHand(TAG, ANY, true), undefined)
      ground.hub().down(undefined)
      assert.deepEqual((await manifests.get(TAG, ANY, true)).status, HIT)
      assert.equal(checks(ground), 2)
    },
    options,
  )
}

cacheTest(
  'A registry that hangs holds up one check of a tag; all other requests for it are answered at once',
  async (ground) => {
    const { manifests } = await pulled(ground)
    ground.hub().always('headManifest', NEVER)
    const first = manifests.get(TAG, ANY, true)
    await until(() => checks(ground) === 1, 'it is asked')
    await ground.clock.advance(3_000)
    const stale = { hit: true, stale: 'timeout' }
    assert.deepEqual((await first).status, stale)
    assert.deepEqual(manifests.atHand(TAG, ANY, true)?.status, stale)
    assert.deepEqual(manifests.atHand(TAG, ANY, false)?.status, stale)
    assert.equal(checks(ground), 1)
  },
  EACH_TIME,
)

for (const [kind, state] of [
  ['circuitOpen', 'down'],
  ['limited', 'troubled'],
] as const) {
  cacheTest(
    `While an upstream is not to be asked (${kind}) checks are not even tried: what is cached is served at once, without a warning`,
    async (ground) => {
      const { manifests } = await pulled(ground)
      ground.hub().state = { state, retryInMs: 60_000 }
      assert.deepEqual(manifests.atHand(TAG, ANY, true)?.status, { hit: true, stale: kind })
      assert.deepEqual((await manifests.get(TAG, ANY, true)).status, { hit: true, stale: kind })
      assert.equal(checks(ground), 0)
      assert.deepEqual(
        ground.log.lines.filter(({ level }) => level === 'warn' || level === 'error'),
        [],
      )
      ground.hub().state = { state: 'well' }
      assert.deepEqual((await manifests.get(TAG, ANY, true)).status, HIT)
    },
    EACH_TIME,
  )
}

cacheTest('What is not cached waits 0.8 s for an upstream whose circuit is open to recover, and is pulled if it does', async (ground) => {
  const { manifests } = await ground.start()
  ground.hub().content.addImage('some/app', '1')
  ground.hub().state = { state: 'down', retryInMs: 30_000 }
  const asked = manifests.get(TAG, ANY, true)
  await settle()
  assert.ok(!(await isSettled(asked)))
  assert.equal(ground.upstreams.calls, 0)
  ground.hub().state = { state: 'well' }
  assert.deepEqual((await asked).status, MISS)
})

cacheTest('What is not cached is told within a second that the circuit is open', async (ground) => {
  const { manifests } = await ground.start()
  ground.hub().state = { state: 'down', retryInMs: 30_000 }
  ground.hub().down('circuitOpen')
  const asked = later(manifests.get(TAG, ANY, true))
  await settle()
  await ground.clock.advance(799)
  assert.ok(!(await isSettled(asked)))
  await ground.clock.advance(1)
  await assert.rejects(asked, isKind('circuitOpen'))
})

cacheTest(
  'only-if-cached is answered without a check, however old the last one is',
  async (ground) => {
    const { manifests } = await pulled(ground)
    await ground.clock.advance(10 * HOUR_MS)
    assert.deepEqual((await manifests.get(TAG, CACHED, true)).status, HIT)
    assert.equal(checks(ground), 0)
  },
  EACH_HOUR,
)

cacheTest(
  'skipTags: a tag that matches is checked each time, others and digests never; in an outage all are served',
  async (ground) => {
    const { manifests, digest } = await pulled(ground, ref('quay.io/some/app:edge'))
    const others = [ref(`quay.io/some/app@${digest}`), TAG]
    ground.hub().content.tag('some/app', '1', digest)
    await manifests.get(TAG, ANY, true)
    for (let i = 1; i <= 3; i++) {
      assert.deepEqual((await manifests.get(ref('quay.io/some/app:edge'), ANY, true)).status, HIT)
      for (const reference of others) assert.deepEqual((await manifests.get(reference, ANY, true)).status, HIT)
      assert.equal(checks(ground), i)
    }
    ground.hub().down('unreachable')
    assert.deepEqual((await manifests.get(ref('quay.io/some/app:edge'), ANY, true)).status, { hit: true, stale: 'unreachable' })
  },
  { settings: { skipTags: await parseExpression('^(edge|[a-f0-9]{64})$') } },
)

cacheTest(
  'cacheManifests: false has every tag checked each time, and serves it in an outage; digests need no check',
  async (ground) => {
    const { manifests, digest } = await pulled(ground)
    for (let i = 1; i <= 3; i++) {
      assert.deepEqual((await manifests.get(TAG, ANY, true)).status, HIT)
      assert.deepEqual((await manifests.get(ref(`quay.io/some/app@${digest}`), ANY, true)).status, HIT)
      assert.equal(checks(ground), i)
    }
    ground.hub().down('unreachable')
    assert.deepEqual((await (await ground.restart()).manifests.get(TAG, ANY, true)).status, { hit: true, stale: 'unreachable' })
  },
  { settings: { cacheManifests: false } },
)

cacheTest('A new signature of an image is seen within an hour', async (ground) => {
  const tag = ref(`quay.io/some/app:sha256-${'a'.repeat(64)}.sig`)
  const { manifests } = await pulled(ground, tag)
  const second = ground.hub().content.addImage('some/app', tag.tag, { config: { signatures: 2 } })
  assert.deepEqual((await manifests.get(tag, ANY, true)).status, HIT)
  await ground.clock.advance(HOUR_MS)
  assert.deepEqual((await manifests.get(tag, ANY, true)).bytes, second.bytes)
})

cacheTest(
  'A check writes nothing at once: hundreds of checks are one write with the access times',
  async (ground) => {
    const { manifests } = await pulled(ground)
    await until(async () => (await ground.directory.getRef('quay.io/some/app:1')) !== undefined, 'the reference is stored')
    const before = await ground.directory.getRef('quay.io/some/app:1')
    for (let i = 0; i < 100; i++) {
      await ground.clock.advance(10)
      await manifests.get(TAG, ANY, true)
    }
    await settle()
    assert.deepEqual(await ground.directory.getRef('quay.io/some/app:1'), before)
    await ground.cache.stop()
    assert.equal((await ground.directory.getRef('quay.io/some/app:1'))?.checkedMs, ground.clock.now())
  },
  EACH_TIME,
)
