/** Manifests as clients ask for them: exact bytes, one call upstream for many, and what is cached whatever the upstream does. */
import assert from 'node:assert/strict'
import { cp, rm, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { COLLAPSED, HIT, MISS } from '../../src/cache/answer.ts'
import type { ManifestAnswer } from '../../src/cache/manifests.ts'
import { type Digest, digestFileName, digestOf } from '../../src/oci/digest.ts'
import { OciError } from '../../src/oci/error.ts'
import type { RefRecord, Store } from '../../src/store/store.ts'
import type { UpstreamErrorKind } from '../../src/upstream/error.ts'
import { Gate, NEVER, type Plan, type ScriptedUpstream } from '../support/scripted-upstream.ts'
import { until } from '../support/until.ts'
import { ANY, CACHED, cacheTest, type Ground, isKind, isSettled, later, overriding, ref, settle, source, systemError } from './support.ts'

const TAG = ref('quay.io/some/app:1')
const LATEST = ref('quay.io/some/app:latest')
const CHECKED = { settings: { alwaysPullLatest: true } }

function isOciError(status: number, code: string): (error: unknown) => boolean {
  return (error) => error instanceof OciError && error.status === status && error.code === code
}

async function assertServes(answer: Promise<ManifestAnswer>, bytes: Buffer, status: ManifestAnswer['status']): Promise<void> {
  const said = await answer
  assert.ok(said.bytes?.equals(bytes))
  assert.equal(said.entry.digest, digestOf(bytes))
  assert.deepEqual(said.status, status)
}

function stale(kind: UpstreamErrorKind): ManifestAnswer['status'] {
  return { hit: true, stale: kind }
}

/** What the store says of a reference. */
function stored(ground: Ground, reference: string): Promise<RefRecord | undefined> {
  return ground.directory.getRef(reference)
}

async function storedAs(ground: Ground, reference: string, digest: Digest): Promise<void> {
  await until(async () => (await stored(ground, reference))?.digest === digest, `${reference} is stored as ${digest}`)
}

function methods(hub: ScriptedUpstream): string[] {
  return hub.calls.map(({ method }) => method)
}

cacheTest('A manifest is fetched once, and comes by tag and by digest, under any name', async (ground) => {
  const { manifests } = await ground.start()
  const { digest, bytes } = ground.hub().content.addImage('some/app', '1')
  await assertServes(manifests.get(TAG, ANY, true), bytes, MISS)
  await assertServes(manifests.get(TAG, ANY, true), bytes, HIT)
  await assertServes(manifests.get(ref(`quay.io/some/app@${digest}`), ANY, true), bytes, HIT)
  await assertServes(manifests.get(ref(`other.example/other/name@${digest}`), ANY, true), bytes, HIT)
  assert.deepEqual(methods(ground.hub()), ['getManifest'])
  assert.equal(ground.upstreams.calls, 1)
})

cacheTest('A manifest keeps its exact bytes and its type, blanks and all', async (ground) => {
  const { manifests } = await ground.start()
  const { bytes: plain } = ground.hub().content.addImage('some/app', 'plain')
  const odd = Buffer.from(`\n  ${plain.toString().replaceAll(',', ' ,\t')}\n\n`)
  const digest = ground.hub().content.addManifest('some/app', '1', odd)
  ground.hub().always('getManifest', { contentType: 'application/vnd.oci.image.manifest.v1+json; charset=utf-8' })
  await assertServes(manifests.get(TAG, ANY, true), odd, MISS)
  await storedAs(ground, 'quay.io/some/app:1', digest)
  const again = await (await ground.restart()).manifests.get(TAG, ANY, true)
  assert.ok(again.bytes?.equals(odd))
  assert.equal(again.entry.mediaType, 'application/vnd.oci.image.manifest.v1+json')
  assert.equal(again.entry.sizeBytes, odd.byteLength)
})

cacheTest('A HEAD of an uncached manifest is a GET upstream, and a hit reads nothing', async (ground) => {
  const { manifests } = await ground.start()
  const { bytes, digest } = ground.hub().content.addImage('some/app', '1')
  const head = await manifests.get(TAG, ANY, false)
  assert.deepEqual([head.bytes, head.entry.digest, head.entry.sizeBytes, head.status], [undefined, digest, bytes.byteLength, MISS])
  assert.deepEqual((await manifests.get(TAG, ANY, false)).status, HIT)
  await assertServes(manifests.get(TAG, ANY, true), bytes, HIT)
  assert.deepEqual(methods(ground.hub()), ['getManifest'])
})

cacheTest('A hundred clients that want a manifest at the same time cause one call upstream', async (ground) => {
  const gate = new Gate()
  const { manifests } = await ground.start()
  const { bytes } = ground.hub().content.addImage('some/app', '1')
  ground.hub().plan('getManifest', { after: gate.opened })
  const asked = Array.from({ length: 100 }, () => manifests.get(TAG, ANY, true))
  await until(() => ground.hub().calls.length === 1, 'the upstream is asked')
  await settle()
  gate.open()
  const answers = await Promise.all(asked)
  assert.ok(answers.every((answer) => answer.bytes?.equals(bytes)))
  assert.deepEqual(
    [MISS, COLLAPSED].map((status) => answers.filter((answer) => answer.status === status).length),
    [1, 99],
  )
  assert.equal(ground.hub().calls.length, 1)
})

for (const kind of ['notFound', 'denied', 'limited', 'unreachable', 'timeout'] as const) {
  cacheTest(`What is not cached is told as the upstream says it (${kind}), to everybody who waits, and asked for again`, async (ground) => {
    const { manifests } = await ground.start()
    const { bytes } = ground.hub().content.addImage('some/app', '1')
    const gate = new Gate()
    ground.hub().plan('getManifest', { after: gate.opened, error: kind })
    const asked = [later(manifests.get(TAG, ANY, true)), later(manifests.get(TAG, ANY, false))]
    await settle()
    gate.open()
    for (const answer of asked) await assert.rejects(answer, isKind(kind))
    assert.deepEqual([await ground.files('img'), await ground.files('refs')], [[], []])
    if (kind === 'notFound') await ground.clock.advance(10_000)
    await assertServes(manifests.get(TAG, ANY, true), bytes, MISS)
  })
}

cacheTest('What is not cached and not answered ends after 20 s; the answer is kept all the same when it comes', async (ground) => {
  const gate = new Gate()
  const { manifests } = await ground.start()
  const { bytes } = ground.hub().content.addImage('some/app', '1')
  ground.hub().plan('getManifest', { after: gate.opened })
  const asked = later(manifests.get(TAG, ANY, true))
  await until(() => ground.hub().calls.length === 1, 'the upstream is asked')
  await ground.clock.advance(19_999)
  assert.ok(!(await isSettled(asked)))
  await ground.clock.advance(1)
  await assert.rejects(asked, isKind('timeout'))
  gate.open()
  await settle()
  await assertServes(manifests.get(TAG, ANY, true), bytes, HIT)
})

const page = Buffer.from('<html><body>Please log in</body></html>')
const image = { schemaVersion: 2, config: { mediaType: 'a/b', digest: `sha256:${'a'.repeat(64)}`, size: 1 }, layers: [] }
const schema1 = Buffer.from('{"schemaVersion":1,"name":"some/app","tag":"1","fsLayers":[],"history":[]}')
const wrong: [what: string, plan: Plan, by: 'tag' | 'digest', kind: UpstreamErrorKind][] = [
  ['other bytes than the digest that was asked for', { bytes: Buffer.from(JSON.stringify(image)) }, 'digest', 'corrupt'],
  [
    'other bytes, and says so',
    { bytes: Buffer.from(JSON.stringify(image)), digest: digestOf(Buffer.from(JSON.stringify(image))) },
    'digest',
    'corrupt',
  ],
  ['a Docker-Content-Digest that its bytes have not', { digest: digestOf(page) }, 'tag', 'corrupt'],
  ['a login page', { bytes: page, contentType: 'text/html', digest: null }, 'tag', 'corrupt'],
  ['a login page as a manifest', { bytes: page, digest: null }, 'tag', 'corrupt'],
  ['JSON that is no manifest', { bytes: Buffer.from('{"token":"x"}'), contentType: 'application/json', digest: null }, 'tag', 'corrupt'],
  ['an empty body', { bytes: Buffer.alloc(0), digest: null }, 'tag', 'corrupt'],
  [
    'a schema 1 manifest',
    { bytes: schema1, contentType: 'application/vnd.docker.distribution.manifest.v1+json', digest: null },
    'tag',
    'notFound',
  ],
  ['a schema 1 manifest that does not say so', { bytes: schema1, contentType: null, digest: null }, 'tag', 'notFound'],
]
for (const [what, plan, by, kind] of wrong) {
  cacheTest(`An upstream that sends ${what}: ${kind}, nothing is stored, and the next request starts clean`, async (ground) => {
    const { manifests } = await ground.start()
    const { digest, bytes } = ground.hub().content.addImage('some/app', '1')
    const reference = by === 'tag' ? TAG : ref(`quay.io/some/app@${digest}`)
    ground.hub().plan('getManifest', plan)
    await assert.rejects(manifests.get(reference, ANY, true), isKind(kind))
    await settle()
    assert.deepEqual([await ground.files('img'), await ground.files('fat'), await ground.files('refs')], [[], [], []])
    if (kind === 'notFound') await ground.clock.advance(10_000)
    await assertServes(manifests.get(reference, ANY, true), bytes, MISS)
  })
}

cacheTest('A tag whose upstream names no digest has the digest of its bytes', async (ground) => {
  const { manifests } = await ground.start()
  const { bytes } = ground.hub().content.addImage('some/app', '1')
  ground.hub().plan('getManifest', { digest: null })
  await assertServes(manifests.get(TAG, ANY, true), bytes, MISS)
})

cacheTest('A manifest named by sha512 is verified and kept by sha512', async (ground) => {
  const { manifests } = await ground.start()
  const bytes = Buffer.from(JSON.stringify(image))
  const digest = digestOf(bytes, 'sha512')
  ground.hub().plan('getManifest', { bytes, contentType: 'application/vnd.oci.image.manifest.v1+json' })
  const answer = await manifests.get(ref(`quay.io/some/app@${digest}`), ANY, true)
  assert.equal(answer.entry.digest, digest)
  await until(async () => (await ground.files('img')).includes(digestFileName(digest)), 'it is stored')
})

cacheTest('A cached tag is served without asking, unless the policy says otherwise', async (ground) => {
  const { manifests } = await ground.start()
  const { bytes } = ground.hub().content.addImage('some/app', 'latest')
  await assertServes(manifests.get(LATEST, ANY, true), bytes, MISS)
  ground.hub().content.addImage('some/app', 'latest', { config: { changed: true } })
  await assertServes(manifests.get(LATEST, ANY, true), bytes, HIT)
  assert.equal(ground.upstreams.calls, 1)
})

cacheTest(
  'alwaysPullLatest: an unchanged tag costs one HEAD, and others none',
  async (ground) => {
    const { manifests } = await ground.start()
    const { bytes, digest } = ground.hub().content.addImage('some/app', 'latest')
    ground.hub().content.tag('some/app', '1', digest)
    await assertServes(manifests.get(LATEST, ANY, true), bytes, MISS)
    await ground.clock.advance(60_000)
    await assertServes(manifests.get(LATEST, ANY, true), bytes, HIT)
    assert.deepEqual(methods(ground.hub()), ['getManifest', 'headManifest'])
    await assertServes(manifests.get(TAG, ANY, true), bytes, MISS)
    await assertServes(manifests.get(TAG, ANY, true), bytes, HIT)
    await assertServes(manifests.get(ref(`quay.io/some/app@${digest}`), ANY, true), bytes, HIT)
    assert.deepEqual(methods(ground.hub()), ['getManifest', 'headManifest', 'getManifest'])
    await ground.cache.stop()
    assert.equal((await stored(ground, 'quay.io/some/app:latest'))?.checkedMs, ground.clock.now(), 'the check is noted')
  },
  CHECKED,
)

cacheTest(
  'alwaysPullLatest: a tag that moved is fetched, said to be a miss, and kept',
  async (ground) => {
    const { manifests } = await ground.start()
    const old = ground.hub().content.addImage('some/app', 'latest')
    await assertServes(manifests.get(LATEST, ANY, true), old.bytes, MISS)
    const moved = ground.hub().content.addImage('some/app', 'latest', { config: { changed: true } })
    await assertServes(manifests.get(LATEST, ANY, true), moved.bytes, MISS)
    assert.deepEqual(methods(ground.hub()), ['getManifest', 'headManifest', 'getManifest'])
    await storedAs(ground, 'quay.io/some/app:latest', moved.digest)
    await assertServes(manifests.get(ref(`quay.io/some/app@${old.digest}`), ANY, true), old.bytes, HIT)
    const pulls = ground.log.lines.filter(({ message }) => message === 'pulling from upstream')
    assert.equal(pulls.length, 2)
  },
  CHECKED,
)

cacheTest(
  'alwaysPullLatest: where a HEAD names no digest, the bytes of a GET decide',
  async (ground) => {
    const { manifests } = await ground.start()
    const { bytes } = ground.hub().content.addImage('some/app', 'latest')
    await assertServes(manifests.get(LATEST, ANY, true), bytes, MISS)
    ground.hub().always('headManifest', { digest: null })
    await assertServes(manifests.get(LATEST, ANY, true), bytes, HIT)
    assert.deepEqual(methods(ground.hub()), ['getManifest', 'headManifest', 'getManifest'])
  },
  CHECKED,
)

const KINDS: readonly UpstreamErrorKind[] = [
  'notFound',
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
for (const method of ['headManifest', 'getManifest'] as const) {
  for (const kind of KINDS) {
    cacheTest(
      `alwaysPullLatest: a ${method === 'headManifest' ? 'check' : 'fetch'} that fails (${kind}) serves what is cached, and says why`,
      async (ground) => {
        const { manifests } = await ground.start()
        const { bytes } = ground.hub().content.addImage('some/app', 'latest')
        await assertServes(manifests.get(LATEST, ANY, true), bytes, MISS)
        ground.hub().content.addImage('some/app', 'latest', { config: { changed: true } })
        ground.hub().always(method, { error: kind })
        await assertServes(manifests.get(LATEST, ANY, true), bytes, stale(kind))
        assert.deepEqual((await manifests.get(LATEST, ANY, false)).status, stale(kind))
      },
      CHECKED,
    )
  }
}

cacheTest(
  'alwaysPullLatest: a cached tag of a registry that the configuration closes meanwhile is served',
  async (ground) => {
    const { manifests } = await ground.start()
    const { bytes } = ground.hub().content.addImage('some/app', 'latest')
    await assertServes(manifests.get(LATEST, ANY, true), bytes, MISS)
    ground.upstreams.closed.set(source().registry, new OciError(404, 'NAME_UNKNOWN', 'closed by the configuration'))
    await assertServes(manifests.get(LATEST, ANY, true), bytes, stale('denied'))
  },
  CHECKED,
)

for (const method of ['headManifest', 'getManifest'] as const) {
  cacheTest(
    `alwaysPullLatest: a ${method === 'headManifest' ? 'check' : 'fetch'} that hangs serves what is cached after 3 s`,
    async (ground) => {
      const { manifests } = await ground.start()
      const { bytes } = ground.hub().content.addImage('some/app', 'latest')
      await assertServes(manifests.get(LATEST, ANY, true), bytes, MISS)
      const moved = ground.hub().content.addImage('some/app', 'latest', { config: { changed: true } })
      const gate = new Gate()
      ground.hub().plan(method, { after: gate.opened })
      const calls = ground.hub().callsOf(method).length
      const asked = Array.from({ length: 10 }, () => manifests.get(LATEST, ANY, true))
      await until(() => ground.hub().callsOf(method).length === calls + 1, 'the upstream is asked')
      await settle()
      await ground.clock.advance(2999)
      assert.ok(!(await isSettled(asked[0] as Promise<unknown>)))
      await ground.clock.advance(1)
      for (const answer of asked) await assertServes(answer, bytes, stale('timeout'))
      assert.equal(ground.hub().callsOf(method).length, calls + 1, 'ten clients, one call')
      gate.open()
      await settle()
      await ground.clock.advance(3000)
      await assertServes(manifests.get(LATEST, ANY, true), moved.bytes, method === 'headManifest' ? MISS : HIT)
    },
    CHECKED,
  )
}

cacheTest(
  'Of two answers for a tag the one that was asked for later counts, in whatever order they come',
  async (ground) => {
    const { manifests } = await ground.start()
    const hub = ground.hub()
    const [older, newer] = [
      hub.content.addImage('some/app', 'old'),
      hub.content.addImage('some/app', 'latest', { config: { changed: true } }),
    ]
    const [first, second] = [new Gate(), new Gate()]
    hub.plan('getManifest', { after: first.opened, bytes: older.bytes, digest: older.digest })
    hub.plan('headManifest', { after: second.opened })
    const slow = later(manifests.get(LATEST, ANY, true))
    await until(() => hub.calls.length === 1, 'the first is asked for')
    await copyIn(ground, { reference: 'quay.io/some/app:latest', bytes: newer.bytes })
    const check = manifests.get(LATEST, ANY, true)
    await until(() => hub.calls.length === 2, 'the second is asked for')
    first.open()
    await assertServes(slow, older.bytes, MISS)
    second.open()
    await assertServes(check, newer.bytes, HIT)
    await assertServes(manifests.get(LATEST, CACHED, true), newer.bytes, HIT)
    await ground.cache.stop()
    assert.equal((await stored(ground, 'quay.io/some/app:latest'))?.digest, newer.digest)
  },
  CHECKED,
)

cacheTest(
  'An answer that comes late does not overwrite one that was asked for later',
  async (ground) => {
    const { manifests } = await ground.start()
    const hub = ground.hub()
    const [older, newer] = [
      hub.content.addImage('some/app', 'old'),
      hub.content.addImage('some/app', 'latest', { config: { changed: true } }),
    ]
    const first = new Gate()
    hub.plan('getManifest', { after: first.opened, bytes: older.bytes, digest: older.digest })
    const slow = later(manifests.get(LATEST, ANY, true))
    await until(() => hub.calls.length === 1, 'the first is asked for')
    await copyIn(ground, { reference: 'quay.io/some/app:latest', bytes: newer.bytes })
    await assertServes(manifests.get(LATEST, ANY, true), newer.bytes, HIT)
    first.open()
    await assertServes(slow, older.bytes, MISS)
    await assertServes(manifests.get(LATEST, CACHED, true), newer.bytes, HIT)
  },
  CHECKED,
)

/** Puts a record and a reference into the store behind the cache's back, as a person who copies files does. */
async function copyIn(ground: Ground, { reference, bytes }: { reference: string; bytes: Buffer }): Promise<Digest> {
  const digest = digestOf(bytes)
  const { registry, repository } = ref(reference)
  const mediaType = 'application/vnd.oci.image.manifest.v1+json'
  await ground.directory.putRecord({ digest, mediaType, bytes, imageUrl: reference, registry, repository, createdMs: 0, pulledMs: 0 })
  await ground.directory.putRef({ reference, digest, createdMs: 0, pulledMs: 0, checkedMs: 0 })
  return digest
}

cacheTest('A tag is there after a restart, with the upstream gone', async (ground) => {
  const { manifests } = await ground.start()
  const { bytes, digest } = ground.hub().content.addImage('some/app', '1')
  await assertServes(manifests.get(TAG, ANY, true), bytes, MISS)
  ground.hub().down('unreachable')
  const again = (await ground.restart()).manifests
  await assertServes(again.get(TAG, ANY, true), bytes, HIT)
  await assertServes(again.get(ref(`quay.io/some/app@${digest}`), ANY, true), bytes, HIT)
  await assert.rejects(again.get(ref('quay.io/some/app:2'), ANY, true), isKind('unreachable'))
})

cacheTest('A client cannot fill the catalog with names: only what an upstream confirmed is recorded', async (ground) => {
  const { manifests, lists } = await ground.start()
  const { bytes, digest } = ground.hub().content.addImage('some/app', '1')
  await assertServes(manifests.get(TAG, ANY, true), bytes, MISS)
  await storedAs(ground, 'quay.io/some/app:1', digest)
  for (let i = 0; i < 20; i++) await assertServes(manifests.get(ref(`quay.io/invented/name${i}@${digest}`), ANY, true), bytes, HIT)
  for (let i = 0; i < 20; i++) await assert.rejects(manifests.get(ref(`quay.io/some/app:invented${i}`), ANY, true), isKind('notFound'))
  await ground.cache.stop()
  assert.equal((await ground.files('refs')).length, 1)
  assert.deepEqual((await lists.tags(source().registry, source().repository, CACHED)).tags, ['1'])
})

cacheTest('A record that somebody deletes while the server runs is fetched again', async (ground) => {
  const { bytes, digest } = ground.hub().content.addImage('some/app', '1')
  await (await ground.start()).manifests.get(TAG, ANY, true)
  const { manifests } = await ground.restart() // nothing of it is in memory now
  await unlink(join(ground.path, 'img', digestFileName(digest)))
  await assertServes(manifests.get(TAG, ANY, true), bytes, MISS)
  await until(async () => (await ground.files('img')).includes(digestFileName(digest)), 'it is stored again')
  await assertServes((await ground.restart()).manifests.get(TAG, CACHED, true), bytes, HIT)
})

cacheTest('A record that is damaged while the server runs is quarantined and fetched again', async (ground) => {
  const { bytes, digest } = ground.hub().content.addImage('some/app', '1')
  await (await ground.start()).manifests.get(TAG, ANY, true)
  const { manifests } = await ground.restart()
  await rm(join(ground.path, 'img', digestFileName(digest)))
  await cp('/etc/hostname', join(ground.path, 'img', digestFileName(digest)))
  await assertServes(manifests.get(ref(`quay.io/some/app@${digest}`), ANY, true), bytes, MISS)
  assert.equal((await ground.files('quarantine')).length, 1)
})

cacheTest('Files that somebody copies into the store while the server runs are found', async (ground) => {
  const { manifests } = await ground.start()
  ground.hub().down('unreachable')
  const { bytes, digest } = ground.hub('elsewhere.example').content.addImage('some/app', '1')
  await copyIn(ground, { reference: 'quay.io/some/app:1', bytes })
  await assertServes(manifests.get(TAG, ANY, true), bytes, HIT)
  await assertServes(manifests.get(ref(`quay.io/some/app@${digest}`), ANY, true), bytes, HIT)
  assert.equal(ground.upstreams.calls, 0)
})

cacheTest(
  'An air-gapped server serves what it has, and says at once what it has not, without asking anybody',
  async (ground) => {
    const { manifests } = await ground.start()
    const { bytes } = ground.hub('elsewhere.example').content.addImage('some/app', '1')
    await assert.rejects(manifests.get(LATEST, ANY, true), isOciError(404, 'MANIFEST_UNKNOWN'))
    await copyIn(ground, { reference: 'quay.io/some/app:latest', bytes })
    await assertServes(manifests.get(LATEST, ANY, true), bytes, HIT)
    assert.equal(ground.upstreams.calls, 0)
  },
  { settings: { airGapped: true, alwaysPullLatest: true } },
)

cacheTest(
  'only-if-cached never causes a call upstream',
  async (ground) => {
    const { manifests } = await ground.start()
    const { bytes } = ground.hub().content.addImage('some/app', 'latest')
    await assert.rejects(manifests.get(LATEST, CACHED, true), isOciError(504, 'MANIFEST_UNKNOWN'))
    await assertServes(manifests.get(LATEST, ANY, true), bytes, MISS)
    await assertServes(manifests.get(LATEST, CACHED, true), bytes, HIT)
    assert.equal(ground.upstreams.calls, 1)
  },
  CHECKED,
)

cacheTest('A request that comes before the catalog is loaded waits for it', async (ground) => {
  const { bytes, digest } = ground.hub().content.addImage('some/app', '1')
  const early = ground.cache.manifests.get(TAG, ANY, true)
  await settle()
  assert.ok(!(await isSettled(early)))
  assert.equal(ground.upstreams.calls, 0)
  await ground.start()
  await assertServes(early, bytes, MISS)
  await storedAs(ground, 'quay.io/some/app:1', digest)
})

/** A store that cannot write records: at once, or after a turn at the disk. */
function failing(atOnce: boolean): { readonly store: (store: Store) => Store; full: boolean } {
  const disk = { full: true, store: (store: Store) => store }
  disk.store = (store) =>
    overriding(store, {
      putRecord: async (record) => {
        if (!atOnce) await settle()
        if (disk.full) throw systemError('ENOSPC')
        await store.putRecord(record)
      },
    })
  return disk
}

for (const [when, disk] of [
  ['at once', failing(true)],
  ['a while later', failing(false)],
] as const) {
  cacheTest(
    `A manifest that cannot be stored (which is known ${when}) is served all the same, and stored when the store takes it`,
    async (ground) => {
      const { manifests, lists } = await ground.start()
      const { bytes } = ground.hub().content.addImage('some/app', '1')
      const answers = await Promise.all(Array.from({ length: 5 }, () => manifests.get(TAG, ANY, true)))
      assert.ok(answers.every((answer) => answer.bytes?.equals(bytes)))
      await until(() => ground.log.lines.some(({ level }) => level === 'error'), 'it could not be stored')
      await settle()
      await assertServes(manifests.get(TAG, CACHED, true), bytes, HIT)
      assert.deepEqual((await lists.tags(source().registry, source().repository, CACHED)).tags, ['1'])
      assert.deepEqual([await ground.files('img'), await ground.files('refs')], [[], []])
      disk.full = false
      ground.cache.storeAgain()
      await until(async () => (await ground.files('refs')).length === 1, 'its reference is stored')
      assert.equal((await ground.files('img')).length, 1)
    },
    { store: disk.store },
  )
}

cacheTest('Nothing of a hung upstream is left when the server stops', async (ground) => {
  const { manifests } = await ground.start()
  ground.hub().always('getManifest', NEVER)
  const asked = later(manifests.get(TAG, ANY, true))
  await until(() => ground.hub().calls.length === 1, 'the upstream is asked')
  await ground.cache.stop()
  await ground.clock.advance(20_000)
  await assert.rejects(asked, isKind('timeout'))
})
