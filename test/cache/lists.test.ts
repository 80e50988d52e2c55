/** Tags and referrers: what the upstream says while it says something in time, else what the cache knows. */
import assert from 'node:assert/strict'
import { HIT, MISS } from '../../src/cache/answer.ts'
import { digestOf } from '../../src/oci/digest.ts'
import { OciError } from '../../src/oci/error.ts'
import { NEVER } from '../support/scripted-upstream.ts'
import { until } from '../support/until.ts'
import { ANY, CACHED, cacheTest, type Ground, isKind, isSettled, later, ref, source } from './support.ts'

const { registry, repository } = source()

function isOciError(status: number, code: string): (error: unknown) => boolean {
  return (error) => error instanceof OciError && error.status === status && error.code === code
}

/** An image in `some/app`, and a signature that refers to it. */
function signed(ground: Ground) {
  const { content } = ground.hub()
  const image = content.addImage('some/app', '1')
  const subject = { mediaType: 'application/vnd.oci.image.manifest.v1+json', digest: image.digest, size: image.bytes.byteLength }
  const fields = { subject, artifactType: 'application/vnd.example.signature', annotations: { by: 'somebody' } }
  const signature = content.addImage('some/app', undefined, { fields })
  const descriptor = {
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    digest: signature.digest,
    size: signature.bytes.byteLength,
    artifactType: 'application/vnd.example.signature',
    annotations: { by: 'somebody' },
  }
  return { image, signature, descriptor, fallbackTag: image.digest.replace(':', '-') }
}

cacheTest('Tags come from the upstream, sorted, each once', async (ground) => {
  const { lists } = await ground.start()
  for (const tag of ['b', 'a', 'Z', '10', '9']) ground.hub().content.addImage('some/app', tag)
  assert.deepEqual(await lists.tags(registry, repository, ANY), { tags: ['10', '9', 'Z', 'a', 'b'], status: MISS })
})

cacheTest('What no client could ask for is left out of the tags', async (ground) => {
  const { lists } = await ground.start()
  for (const tag of ['good', 'no good', '', '-', 'x'.repeat(129)]) ground.hub().content.addImage('some/app', tag)
  assert.deepEqual((await lists.tags(registry, repository, ANY)).tags, ['good'])
})

cacheTest('Those who want the same tags at the same time share one list', async (ground) => {
  const { lists } = await ground.start()
  ground.hub().content.addImage('some/app', '1')
  ground.hub().content.addImage('other/app', '2')
  const other = source('quay.io', 'other/app').repository
  const asked = [repository, other, repository].map((name) => lists.tags(registry, name, ANY))
  assert.deepEqual(
    (await Promise.all(asked)).map(({ tags }) => tags),
    [['1'], ['2'], ['1']],
  )
  assert.equal(ground.hub().callsOf('listTags').length, 2)
  await lists.tags(registry, repository, ANY)
  assert.equal(ground.hub().callsOf('listTags').length, 3, 'who asks later is told what is so then')
})

for (const kind of ['notFound', 'denied', 'limited', 'unreachable', 'failed'] as const) {
  cacheTest(`Tags of an upstream that fails (${kind}) are those that are cached`, async (ground) => {
    const { lists, manifests } = await ground.start()
    const { content } = ground.hub()
    for (const tag of ['2', '1', '3']) content.addImage('some/app', tag)
    content.addImage('some/app-not', '4')
    for (const name of ['some/app:2', 'some/app:1', 'some/app-not:4']) await manifests.get(ref(`quay.io/${name}`), ANY, true)
    ground.hub().down(kind)
    assert.deepEqual(await lists.tags(registry, repository, ANY), { tags: ['1', '2'], status: { hit: true, stale: kind } })
    await assert.rejects(lists.tags(registry, source('quay.io', 'unknown/app').repository, ANY), isKind(kind))
  })
}

cacheTest('Tags of an upstream that does not answer are those that are cached, after 3 s', async (ground) => {
  const { lists, manifests } = await ground.start()
  ground.hub().content.addImage('some/app', '1')
  await manifests.get(ref('quay.io/some/app:1'), ANY, true)
  ground.hub().always('listTags', NEVER)
  const asked = lists.tags(registry, repository, ANY)
  await until(() => ground.hub().callsOf('listTags').length === 1, 'the upstream is asked')
  await ground.clock.advance(2999)
  assert.ok(!(await isSettled(asked)))
  await ground.clock.advance(1)
  assert.deepEqual(await asked, { tags: ['1'], status: { hit: true, stale: 'timeout' } })
})

cacheTest('only-if-cached lists what is cached, and asks nobody', async (ground) => {
  const { lists, manifests } = await ground.start()
  ground.hub().content.addImage('some/app', '1')
  await assert.rejects(lists.tags(registry, repository, CACHED), isOciError(504, 'NAME_UNKNOWN'))
  await manifests.get(ref('quay.io/some/app:1'), ANY, true)
  const calls = ground.upstreams.calls
  assert.deepEqual(await lists.tags(registry, repository, CACHED), { tags: ['1'], status: HIT })
  assert.equal(ground.upstreams.calls, calls)
})

cacheTest(
  'An air-gapped server lists what it has, without asking anybody',
  async (ground) => {
    const { image } = signed(ground)
    const { lists } = await ground.start()
    await assert.rejects(lists.tags(registry, repository, ANY), isOciError(404, 'NAME_UNKNOWN'))
    await assert.rejects(lists.referrers(registry, repository, image.digest, ANY), isOciError(404, 'MANIFEST_UNKNOWN'))
    assert.equal(ground.upstreams.calls, 0)
  },
  { settings: { airGapped: true } },
)

cacheTest('A request for tags that comes before the catalog is loaded waits for it', async (ground) => {
  ground.hub().down('unreachable')
  const early = later(ground.cache.lists.tags(registry, repository, ANY))
  await until(() => ground.hub().calls.length === 1, 'the upstream is asked')
  assert.ok(!(await isSettled(early)))
  await ground.start()
  await assert.rejects(early, isKind('unreachable'))
})

cacheTest('Referrers come from the API of the upstream, as it says them', async (ground) => {
  const { image, descriptor } = signed(ground)
  ground.hub().referrersApi = true
  const { lists } = await ground.start()
  assert.deepEqual(await lists.referrers(registry, repository, image.digest, ANY), { descriptors: [descriptor], status: MISS })
  const unknown = await lists.referrers(registry, repository, digestOf(Buffer.from('unsigned')), ANY)
  assert.deepEqual(unknown, { descriptors: [], status: MISS })
  assert.equal(ground.hub().callsOf('getManifest').length, 0)
})

cacheTest('Referrers of a registry without the API come from the fallback tag', async (ground) => {
  const { image, signature, descriptor, fallbackTag } = signed(ground)
  ground.hub().content.addIndex('some/app', fallbackTag, [{ digest: signature.digest, artifactType: 'application/vnd.example.signature' }])
  const { lists } = await ground.start()
  const { descriptors, status } = await lists.referrers(registry, repository, image.digest, ANY)
  assert.deepEqual(
    (descriptors as { digest: string }[]).map(({ digest }) => digest),
    [descriptor.digest],
  )
  assert.deepEqual(status, MISS)
})

cacheTest('A fallback tag that moved is noticed, though it is cached', async (ground) => {
  const { image, signature, fallbackTag } = signed(ground)
  const { content } = ground.hub()
  content.addIndex('some/app', fallbackTag, [])
  const { lists } = await ground.start()
  assert.deepEqual((await lists.referrers(registry, repository, image.digest, ANY)).descriptors, [])
  content.addIndex('some/app', fallbackTag, [{ digest: signature.digest }])
  assert.equal((await lists.referrers(registry, repository, image.digest, ANY)).descriptors.length, 1)
  content.removeTag('some/app', fallbackTag)
  assert.deepEqual((await lists.referrers(registry, repository, image.digest, ANY)).descriptors, [], 'proven absent')
})

cacheTest('Where neither the API nor the fallback tag is there, nothing refers to the digest', async (ground) => {
  const { image } = signed(ground)
  const { lists } = await ground.start()
  assert.deepEqual(await lists.referrers(registry, repository, image.digest, ANY), { descriptors: [], status: MISS })
})

cacheTest('A fallback tag that is no index refers to nothing', async (ground) => {
  const { image, fallbackTag } = signed(ground)
  ground.hub().content.addImage('some/app', fallbackTag)
  const { lists } = await ground.start()
  assert.deepEqual((await lists.referrers(registry, repository, image.digest, ANY)).descriptors, [])
})

for (const kind of ['denied', 'limited', 'unreachable', 'timeout', 'failed', 'corrupt'] as const) {
  cacheTest(`In an outage (${kind}) referrers are those that are cached, after a restart too`, async (ground) => {
    const { image, signature, descriptor } = signed(ground)
    const { manifests } = await ground.start()
    await manifests.get(ref(`quay.io/some/app@${signature.digest}`), ANY, true)
    ground.hub().down(kind)
    for (const { lists } of [ground.cache, await ground.restart()]) {
      const answer = await lists.referrers(registry, repository, image.digest, ANY)
      assert.deepEqual(answer, { descriptors: [descriptor], status: { hit: true, stale: kind } })
      await assert.rejects(lists.referrers(registry, repository, signature.digest, ANY), isOciError(404, 'MANIFEST_UNKNOWN'))
    }
  })
}

cacheTest('In an outage the cached fallback tag counts as well, each referrer once', async (ground) => {
  const { image, signature, fallbackTag } = signed(ground)
  const { content } = ground.hub()
  const other = content.addImage('some/app', undefined, { config: { other: true } })
  content.addIndex('some/app', fallbackTag, [{ digest: signature.digest }, { digest: other.digest }])
  const { lists, manifests } = await ground.start()
  await manifests.get(ref(`quay.io/some/app@${signature.digest}`), ANY, true)
  await lists.referrers(registry, repository, image.digest, ANY)
  ground.hub().down('unreachable')
  const { descriptors } = await lists.referrers(registry, repository, image.digest, ANY)
  assert.deepEqual((descriptors as { digest: string }[]).map(({ digest }) => digest).sort(), [signature.digest, other.digest].sort())
  assert.equal((await lists.referrers(registry, repository, image.digest, CACHED)).descriptors.length, 2)
})

cacheTest('An upstream that answers for the API but hangs for the fallback tag is an outage', async (ground) => {
  const { image } = signed(ground)
  const { lists } = await ground.start()
  ground.hub().always('getManifest', NEVER)
  const asked = later(lists.referrers(registry, repository, image.digest, ANY))
  await until(() => ground.hub().callsOf('getManifest').length === 1, 'the fallback tag is asked for')
  await ground.clock.advance(20_000)
  await assert.rejects(asked, isOciError(404, 'MANIFEST_UNKNOWN'))
})

cacheTest('A registry that the configuration closes lists what is cached of it', async (ground) => {
  const { lists, manifests } = await ground.start()
  ground.hub().content.addImage('some/app', '1')
  await manifests.get(ref('quay.io/some/app:1'), ANY, true)
  ground.upstreams.closed.set(registry, new OciError(404, 'NAME_UNKNOWN', 'closed by the configuration'))
  assert.deepEqual((await lists.tags(registry, repository, ANY)).tags, ['1'])
  const none = digestOf(Buffer.from('none'))
  await assert.rejects(lists.tags(registry, source('quay.io', 'unknown/app').repository, ANY), isOciError(404, 'NAME_UNKNOWN'))
  await assert.rejects(lists.referrers(registry, repository, none, ANY), isOciError(404, 'MANIFEST_UNKNOWN'))
})
