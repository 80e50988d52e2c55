/** Manifests of private registries: never without the registry's word, whoever asks under whatever name; layers as everybody's. */
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { HIT, MISS } from '../../src/cache/answer.ts'
import type { Cache } from '../../src/cache/cache.ts'
import { privateSpellings } from '../../src/cache/private-registries.ts'
import type { RegistryConfig } from '../../src/config/config.ts'
import { OciError } from '../../src/oci/error.ts'
import { parseRegistry } from '../../src/oci/name.ts'
import type { UpstreamErrorKind } from '../../src/upstream/error.ts'
import { Gate, NEVER } from '../support/scripted-upstream.ts'
import { until } from '../support/until.ts'
import { ANY, bytes, CACHED, cacheTest, type Ground, isKind, later, readAll, ref, settle, source } from './support.ts'

/** What the settings say of a registry and its aliases. */
function entry(name: string, aliases: readonly string[] = []): RegistryConfig {
  return {
    name: parseRegistry(name),
    aliases: aliases.map(parseRegistry),
    scheme: 'http',
    address: '127.0.0.1:1',
    tls: { insecureSkipVerify: false },
  }
}

const SPELLED: readonly (readonly [string, readonly RegistryConfig[], readonly string[], readonly string[]])[] = [
  ['corp.example', [], ['corp.example', 'corp.example:443', 'corp.example:80'], ['corp.example:5000', 'orp.example', 'a.corp.example']],
  [
    'corp.example',
    [entry('corp.example', ['corp.local', 'corp.example:8443'])],
    ['corp.example', 'corp.example:443', 'corp.local', 'corp.local:443', 'corp.example:8443'],
    ['corp.local:8443'],
  ],
  ['corp.example:443', [entry('corp.example', ['corp.local'])], ['corp.example', 'corp.local'], ['other.example']],
  ['corp.example', [entry('corp.example:443')], ['corp.example', 'corp.example:443'], ['other.example']],
  ['corp.local', [entry('corp.example', ['corp.local'])], ['corp.example:443'], ['other.example']],
  ['corp.example', [entry('corp.example'), entry('corp.example:443')], ['corp.example'], ['corp.example:443']],
  ['corp.example:443', [entry('corp.example'), entry('corp.example:443')], ['corp.example:443'], ['corp.example']],
  ['docker.io', [], ['docker.io', 'docker.io:443', 'registry-1.docker.io:443'], ['docker.io:5000']],
  ['corp.example', [entry('other.example', ['other.local'])], ['corp.example'], ['other.example', 'other.local']],
]
for (const [name, registries, within, without] of SPELLED) {
  const among = registries.map((known) => [known.name, ...known.aliases].join('=')).join(', ')
  test(`The private registry ${name}, where the entries are [${among}], is ${within.join(', ')}; not ${without.join(', ')}`, () => {
    const spellings = privateSpellings([parseRegistry(name)], registries)
    for (const each of within) assert.ok(spellings.has(parseRegistry(each)), each)
    for (const each of without) assert.ok(!spellings.has(parseRegistry(each)), each)
  })
}

const CORP = {
  settings: { privateRegistries: [parseRegistry('corp.example')], registries: [entry('corp.example', ['corp.local'])] },
}
for (const spelling of ['corp.example', 'CORP.example', 'corp.local', 'corp.example:443', 'corp.local:443']) {
  cacheTest(
    `What an older store has of a private registry as ${spelling} is told to nobody without its consent`,
    async (ground) => {
      const { digest, bytes: manifest } = ground.hub('corp.example').content.addImage('team/app', '1')
      const record = { type: 3, digest: digest.slice(7), imageUrl: `${spelling}/team/app:1`, bytes: manifest.toString('base64') }
      await writeFile(join(ground.path, 'img', digest.slice(7)), JSON.stringify(record))
      const { manifests } = await ground.start()
      const byDigest = ref(`corp.example/team/app@${digest}`)
      for (const reference of [ref(`other.example/team/app@${digest}`), ref(`corp.example.org/team/app@${digest}`)]) {
        assert.equal(manifests.atHand(reference, ANY, true), undefined)
        for (const demand of [ANY, CACHED]) await assert.rejects(manifests.get(reference, demand, true))
      }
      ground.hub('corp.example').down('denied')
      ground.hub('corp.example:443').down('denied')
      for (const reference of [byDigest, ref(`corp.example:443/team/app@${digest}`)])
        await assert.rejects(manifests.get(reference, ANY, true), isKind('denied'))
      ground.hub('corp.example').down(undefined)
      assert.deepEqual((await manifests.get(byDigest, ANY, true)).status, HIT)
    },
    CORP,
  )
}

const PRIVATE = { settings: { privateRegistries: [parseRegistry('quay.io')] } }
const TAG = ref('quay.io/some/app:1')

const isOciError = (status: number, code: string) => (error: unknown) =>
  error instanceof OciError && error.status === status && error.code === code

/** A server that has `quay.io/some/app:1`, and quay.io is private. */
async function pulled(ground: Ground) {
  const cache = await ground.start()
  const image = ground.hub().content.addImage('some/app', '1')
  assert.deepEqual((await cache.manifests.get(TAG, ANY, true)).status, MISS)
  const byDigest = ref(`quay.io/some/app@${image.digest}`)
  return { cache, ...image, byDigest, elsewhere: ref(`other.example/any/name@${image.digest}`) }
}

function methods(ground: Ground, registry = 'quay.io'): string[] {
  return ground.hub(registry).calls.map(({ method }) => method)
}

cacheTest(
  'A private registry is asked by HEAD each time, by tag and by digest, and its manifest comes from the cache when it consents',
  async (ground) => {
    const { cache, bytes: manifest, byDigest } = await pulled(ground)
    for (const reference of [TAG, byDigest, TAG]) {
      assert.equal(cache.manifests.atHand(reference, ANY, true), undefined)
      const { bytes: got, status } = await cache.manifests.get(reference, ANY, true)
      assert.deepEqual([got, status], [manifest, HIT])
    }
    assert.deepEqual((await cache.manifests.get(TAG, ANY, false)).status, HIT)
    assert.deepEqual(methods(ground), ['getManifest', 'headManifest', 'headManifest', 'headManifest', 'headManifest'])
  },
  PRIVATE,
)

cacheTest(
  'Clients that ask a private registry for the same at the same time share its answer',
  async (ground) => {
    const { cache } = await pulled(ground)
    const gate = new Gate()
    ground.hub().plan('headManifest', { after: gate.opened, error: 'denied' })
    const asked = Array.from({ length: 10 }, () => later(cache.manifests.get(TAG, ANY, true)))
    await settle()
    gate.open()
    for (const answer of asked) await assert.rejects(answer, isKind('denied'))
    assert.equal(ground.hub().callsOf('headManifest').length, 1)
  },
  PRIVATE,
)

const TROUBLES: readonly UpstreamErrorKind[] = [
  'notFound',
  'denied',
  'limited',
  'unreachable',
  'dns',
  'tls',
  'failed',
  'timeout',
  'circuitOpen',
  'refusedAddress',
]
for (const kind of TROUBLES) {
  cacheTest(
    `A private registry that does not consent (${kind}): nothing is served, by tag or digest, after a restart too; when it does again, everything is`,
    async (ground) => {
      const { byDigest } = await pulled(ground)
      for (const { manifests } of [ground.cache, await ground.restart()]) {
        ground.hub().down(kind)
        for (const reference of [TAG, byDigest]) {
          for (const wantBytes of [true, false]) await assert.rejects(manifests.get(reference, ANY, wantBytes), isKind(kind))
        }
        ground.hub().down(undefined)
        for (const reference of [TAG, byDigest]) assert.deepEqual((await manifests.get(reference, ANY, true)).status, HIT)
      }
    },
    PRIVATE,
  )
}

cacheTest(
  'A private registry that does not answer is waited for as long as for something that is not cached, and then nothing is served',
  async (ground) => {
    const { cache } = await pulled(ground)
    ground.hub().always('headManifest', NEVER)
    const asked = later(cache.manifests.get(TAG, ANY, true))
    await until(() => ground.hub().callsOf('headManifest').length === 1, 'it is asked')
    await ground.clock.advance(20_000)
    await assert.rejects(asked, isKind('timeout'))
  },
  PRIVATE,
)

cacheTest(
  'A tag of a private registry that moved is fetched; where its HEAD names no digest, the bytes of a GET decide',
  async (ground) => {
    const { cache, bytes: old, byDigest } = await pulled(ground)
    ground.hub().always('headManifest', { digest: null })
    assert.deepEqual((await cache.manifests.get(TAG, ANY, true)).bytes, old)
    assert.deepEqual(methods(ground), ['getManifest', 'headManifest', 'getManifest'])
    assert.deepEqual((await cache.manifests.get(byDigest, ANY, true)).status, HIT, 'of a digest its word is enough')
    assert.deepEqual(methods(ground).slice(3), ['headManifest'])
    ground.hub().always('headManifest', undefined)
    const moved = ground.hub().content.addImage('some/app', '1', { config: { changed: true } })
    const answer = await cache.manifests.get(TAG, ANY, true)
    assert.deepEqual([answer.bytes, answer.status], [moved.bytes, MISS])
  },
  PRIVATE,
)

cacheTest(
  "A private manifest is not to be had under another registry's name, unless that registry has it",
  async (ground) => {
    const { cache, bytes: manifest, digest, elsewhere } = await pulled(ground)
    for (const wantBytes of [true, false]) await assert.rejects(cache.manifests.get(elsewhere, ANY, wantBytes), isKind('notFound'))
    await assert.rejects(cache.manifests.get(elsewhere, CACHED, true), isOciError(504, 'MANIFEST_UNKNOWN'))
    assert.deepEqual(methods(ground, 'other.example'), ['getManifest'])
    ground.hub('other.example').content.addManifest('any/name', 'x', manifest)
    await ground.clock.advance(10_000)
    assert.deepEqual((await cache.manifests.get(elsewhere, ANY, true)).status, MISS)
    assert.deepEqual((await cache.manifests.get(elsewhere, ANY, true)).status, HIT, 'from now on it is everybody’s')
    assert.deepEqual((await cache.manifests.get(ref(`third.example/name@${digest}`), CACHED, true)).status, HIT)
    ground.hub().down('denied')
    await assert.rejects(cache.manifests.get(TAG, ANY, true), isKind('denied'), 'but not under the private registry’s name')
    ground.hub('other.example').down('unreachable')
    assert.deepEqual((await (await ground.restart()).manifests.get(elsewhere, ANY, true)).status, HIT, 'that is remembered')
  },
  PRIVATE,
)

cacheTest(
  'A manifest that a public registry supplied first needs no consent there, but under a private name it does',
  async (ground) => {
    const { manifests } = await ground.start()
    const { bytes: manifest, digest } = ground.hub('docker.io').content.addImage('library/app', '1')
    ground.hub().content.addManifest('some/app', '1', manifest)
    await manifests.get(ref('docker.io/library/app:1'), ANY, true)
    await manifests.get(TAG, ANY, true)
    ground.upstreams.named('docker.io').down('unreachable')
    ground.hub().down('unreachable')
    assert.deepEqual((await manifests.get(ref(`docker.io/library/app@${digest}`), ANY, true)).status, HIT)
    await assert.rejects(manifests.get(TAG, ANY, true), isKind('unreachable'))
  },
  PRIVATE,
)

cacheTest(
  'Nobody can consent for a private registry where nobody may be asked',
  async (ground) => {
    const { cache } = await pulled(ground)
    await assert.rejects(cache.manifests.get(TAG, CACHED, true), isOciError(504, 'DENIED'))
    assert.deepEqual(methods(ground), ['getManifest'])
  },
  PRIVATE,
)

cacheTest(
  'An air-gapped server refuses the manifests of a private registry, under its name and others, and asks nobody',
  async (ground) => {
    const { manifests } = await ground.start()
    const {
      bytes: manifest,
      digest,
      mediaType,
    } = { ...ground.hub().content.addImage('some/app', '1'), mediaType: 'application/vnd.oci.image.manifest.v1+json' }
    const { registry, repository } = source()
    const times = { createdMs: 0, pulledMs: 0 }
    await ground.directory.putRecord({ digest, mediaType, bytes: manifest, imageUrl: 'quay.io/some/app:1', registry, repository, ...times })
    await ground.directory.putRef({ reference: 'quay.io/some/app:1', digest, checkedMs: 0, ...times })
    for (let i = 0; i < 2; i++) {
      await assert.rejects(manifests.get(TAG, ANY, true), isOciError(403, 'DENIED'))
      await assert.rejects(manifests.get(ref(`other.example/x@${digest}`), ANY, true), isOciError(404, 'MANIFEST_UNKNOWN'))
    }
    assert.equal(ground.upstreams.calls, 0)
  },
  { settings: { ...PRIVATE.settings, airGapped: true } },
)

cacheTest(
  'Layers of a private registry are cached and served like any others',
  async (ground) => {
    const { blobs } = await ground.start()
    const layer = bytes('layer', 100_000)
    const digest = ground.hub().content.addBlob(layer)
    assert.deepEqual(await readAll((await blobs.open(digest, source(), ANY)).blob), layer)
    await ground.stored(digest)
    ground.hub().down('denied')
    assert.deepEqual(await readAll((await blobs.open(digest, source(), ANY)).blob), layer)
  },
  PRIVATE,
)

/** An image of quay.io with a signature that refers to it, both cached. */
async function signed(ground: Ground): Promise<{ readonly cache: Cache; readonly digest: ReturnType<typeof ref>['digest'] & string }> {
  const cache = await ground.start()
  const { content } = ground.hub()
  const image = content.addImage('some/app', '1')
  const subject = { mediaType: 'application/vnd.oci.image.manifest.v1+json', digest: image.digest, size: image.bytes.byteLength }
  const signature = content.addImage('some/app', undefined, { fields: { subject } })
  await cache.manifests.get(TAG, ANY, true)
  await cache.manifests.get(ref(`quay.io/some/app@${signature.digest}`), ANY, true)
  ground.hub().referrersApi = true
  return { cache, digest: image.digest }
}

cacheTest(
  'Tags and referrers of a private registry come from it or not at all; clients of other registries do not see them',
  async (ground) => {
    const { cache, digest } = await signed(ground)
    const { registry, repository } = source()
    assert.deepEqual((await cache.lists.tags(registry, repository, ANY)).tags, ['1'])
    assert.equal((await cache.lists.referrers(registry, repository, digest, ANY)).descriptors.length, 1)
    for (const demand of [ANY, CACHED]) {
      ground.hub().down('unreachable')
      ground.hub('other.example').down('unreachable')
      await assert.rejects(cache.lists.tags(registry, repository, demand))
      await assert.rejects(cache.lists.referrers(registry, repository, digest, demand), isOciError(404, 'MANIFEST_UNKNOWN'))
      await assert.rejects(
        cache.lists.referrers(parseRegistry('other.example'), repository, digest, demand),
        isOciError(404, 'MANIFEST_UNKNOWN'),
      )
    }
  },
  PRIVATE,
)
