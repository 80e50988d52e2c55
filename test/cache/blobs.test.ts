/** Blobs as clients ask for them: from the store, from a download that runs, from the upstream; never a wrong one. */
import assert from 'node:assert/strict'
import { chmod, stat, unlink, writeFile } from 'node:fs/promises'
import { COLLAPSED, HIT, MISS } from '../../src/cache/answer.ts'
import type { BlobAnswer } from '../../src/cache/blobs.ts'
import { HELD_BACK_BYTES } from '../../src/cache/progress.ts'
import { type Digest, digestOf } from '../../src/oci/digest.ts'
import { OciError } from '../../src/oci/error.ts'
import { OCI_MANIFEST } from '../../src/oci/media-type.ts'
import type { Store, StoredBlob } from '../../src/store/store.ts'
import { Gate, NEVER, Tap } from '../support/scripted-upstream.ts'
import { until } from '../support/until.ts'
import {
  ANY,
  bytes,
  CACHED,
  CountedBuffers,
  cacheTest,
  type Ground,
  isKind,
  isSettled,
  later,
  MIB,
  overriding,
  Reader,
  ref,
  settle,
  source,
  systemError,
} from './support.ts'

const BIG = bytes('big', 2 * MIB + 12_345)
const SMALL = bytes('small', 2345)

function isOciError(status: number, code: string): (error: unknown) => boolean {
  return (error) => error instanceof OciError && error.status === status && error.code === code
}

async function assertServes(answer: Promise<BlobAnswer>, content: Buffer, status = HIT as BlobAnswer['status']): Promise<void> {
  const { blob, status: said } = await answer
  assert.ok((await new Reader(blob).done).equals(content))
  assert.deepEqual(said, status)
}

/** An answer that is an error, or ends short; either way its reader knows. */
async function assertNeverComplete(answer: Promise<BlobAnswer>): Promise<void> {
  await assert.rejects(answer.then(({ blob }) => new Reader(blob).done))
}

/** Puts a file there as `cp` would. */
async function plant(ground: Ground, digest: Digest, content: Buffer): Promise<void> {
  await writeFile(ground.blobPath(digest), content)
}

function messages(ground: Ground): string[] {
  return ground.log.lines.filter(({ level }) => level === 'info').map(({ message }) => message)
}

cacheTest('A blob is downloaded once, and then comes from the store', async (ground) => {
  const { blobs } = await ground.start()
  const digest = ground.hub().content.addBlob(BIG)
  await assertServes(blobs.open(digest, source(), ANY), BIG, MISS)
  await ground.stored(digest)
  await assertServes(blobs.open(digest, source(), ANY), BIG, HIT)
  await assertServes(blobs.open(digest, source('other.example', 'other/name'), ANY), BIG, HIT)
  assert.equal(ground.upstreams.calls, 1)
  assert.equal((await stat(ground.blobPath(digest))).mode & 0o777, 0o444)
  assert.deepEqual(messages(ground).slice(1), ['pulling from upstream'])
})

cacheTest('A blob is there after a restart, with the upstream gone', async (ground) => {
  const { blobs } = await ground.start()
  const digest = ground.hub().content.addBlob(BIG)
  await assertServes(blobs.open(digest, source(), ANY), BIG, MISS)
  ground.hub().down('unreachable')
  await assertServes((await ground.restart()).blobs.open(digest, source(), ANY), BIG, HIT)
})

cacheTest('Who asks for a blob that is being downloaded is served from that download', async (ground) => {
  const tap = new Tap()
  const { blobs } = await ground.start()
  const digest = ground.hub().content.addBlob(BIG)
  ground.hub().plan('openBlob', { tap })
  const first = blobs.open(digest, source(), ANY)
  await until(() => ground.hub().calls.length === 1, 'the download has begun')
  const second = blobs.open(digest, source(), ANY)
  await settle()
  tap.open()
  await assertServes(first, BIG, MISS)
  await assertServes(second, BIG, COLLAPSED)
  assert.equal(ground.upstreams.calls, 1)
})

cacheTest('A HEAD downloads and stores nothing', async (ground) => {
  const { blobs } = await ground.start()
  const digest = ground.hub().content.addBlob(BIG)
  assert.deepEqual(await blobs.size(digest, source(), ANY), { sizeBytes: BIG.byteLength, status: MISS })
  assert.deepEqual(
    ground.hub().calls.map(({ method }) => method),
    ['blobSize'],
  )
  assert.deepEqual(await ground.files('blobs'), [])
  await assertServes(blobs.open(digest, source(), ANY), BIG, MISS)
  await ground.stored(digest)
  assert.deepEqual(await blobs.size(digest, source(), ANY), { sizeBytes: BIG.byteLength, status: HIT })
  assert.equal(ground.upstreams.calls, 2)
})

cacheTest('A HEAD of a blob that is being downloaded is answered from that download', async (ground) => {
  const tap = new Tap()
  const { blobs } = await ground.start()
  const digest = ground.hub().content.addBlob(BIG)
  ground.hub().plan('openBlob', { tap })
  const { blob } = await blobs.open(digest, source(), ANY)
  assert.deepEqual(await blobs.size(digest, source(), ANY), { sizeBytes: BIG.byteLength, status: COLLAPSED })
  assert.equal(ground.upstreams.calls, 1)
  tap.open()
  await new Reader(blob).done
})

cacheTest(
  'A HEAD of a blob whose download waits in the queue does not wait with it',
  async (ground) => {
    const { blobs } = await ground.start()
    const [running, queued] = [ground.hub().content.addBlob(SMALL), ground.hub().content.addBlob(BIG)]
    ground.hub().always('openBlob', NEVER)
    const first = later(blobs.open(running, source(), ANY))
    await until(() => ground.hub().calls.length === 1, 'the first runs')
    const second = later(blobs.open(queued, source(), ANY))
    await settle()
    assert.deepEqual(await blobs.size(queued, source(), ANY), { sizeBytes: BIG.byteLength, status: MISS })
    await ground.clock.advance(20_000)
    for (const one of [first, second]) await assert.rejects(one, isKind('timeout'))
  },
  { budgets: { fillsAtOnce: 1 } },
)

cacheTest("A HEAD does not fail for another client's source", async (ground) => {
  const gate = new Gate()
  const { blobs } = await ground.start()
  const digest = ground.hub('b.example').content.addBlob(BIG)
  ground.hub('a.example').always('openBlob', { after: gate.opened, error: 'notFound' })
  const first = blobs.open(digest, source('a.example'), ANY)
  await until(() => ground.hub('a.example').calls.length === 1, 'the first source is asked')
  const size = blobs.size(digest, source('b.example'), ANY)
  await settle()
  gate.open()
  await assert.rejects(first, isKind('notFound'))
  assert.equal((await size).sizeBytes, BIG.byteLength)
  await ground.stored(digest)
})

cacheTest('A HEAD that the upstream does not answer ends after 20 s', async (ground) => {
  const { blobs } = await ground.start()
  ground.hub().always('blobSize', NEVER)
  const size = later(blobs.size(digestOf(BIG), source(), ANY))
  await until(() => ground.hub().calls.length === 1, 'the upstream is asked')
  await ground.clock.advance(19_999)
  assert.ok(!(await isSettled(size)))
  await ground.clock.advance(1)
  await assert.rejects(size, isKind('timeout'))
})

cacheTest('A HEAD tells of a blob that is not as long as its manifest says', async (ground) => {
  const { blobs, manifests } = await ground.start()
  const { layers } = ground.hub().content.addImage('some/app', '1', { layers: [BIG] })
  await manifests.get(ref('quay.io/some/app:1'), ANY, true)
  ground.hub().plan('blobSize', { sizeBytes: BIG.byteLength + 1 })
  await assert.rejects(blobs.size(layers[0] as Digest, source(), ANY), isKind('corrupt'))
  ground.hub().plan('openBlob', { sizeBytes: BIG.byteLength + 1 })
  await assert.rejects(blobs.open(layers[0] as Digest, source(), ANY), isKind('corrupt'))
  assert.equal((await blobs.size(layers[0] as Digest, source(), ANY)).sizeBytes, BIG.byteLength)
})

cacheTest('A manifest is not served as a blob, not even while the catalog is being loaded', async (ground) => {
  const { digest } = ground.hub().content.addImage('some/app', '1')
  const first = await ground.start()
  await first.manifests.get(ref('quay.io/some/app:1'), ANY, true)
  await assert.rejects(first.blobs.open(digest, source(), ANY), isOciError(404, 'BLOB_UNKNOWN'))
  await assert.rejects(first.blobs.size(digest, source(), ANY), isOciError(404, 'BLOB_UNKNOWN'))
  await first.stop()
  await ground.restart()
  const again = ground.cache
  await assert.rejects(again.blobs.open(digest, source(), ANY), isOciError(404, 'BLOB_UNKNOWN'))
  assert.equal(ground.hub().callsOf('openBlob').length, 0)
})

cacheTest('A request that comes before the catalog is loaded waits for it', async (ground) => {
  const digest = ground.hub().content.addBlob(SMALL)
  const early = ground.cache.blobs.open(digest, source(), ANY)
  await settle()
  assert.ok(!(await isSettled(early)))
  await ground.start()
  await assertServes(early, SMALL, MISS)
})

cacheTest(
  'An air-gapped server serves what it has, and says at once what it has not, without asking anybody',
  async (ground) => {
    const { blobs } = await ground.start()
    const digest = digestOf(SMALL)
    await assert.rejects(blobs.open(digest, source(), ANY), isOciError(404, 'BLOB_UNKNOWN'))
    await assert.rejects(blobs.size(digest, source(), ANY), isOciError(404, 'BLOB_UNKNOWN'))
    await plant(ground, digest, SMALL)
    await assertServes(blobs.open(digest, source(), ANY), SMALL, HIT)
    assert.equal((await blobs.size(digest, source(), ANY)).sizeBytes, SMALL.byteLength)
    await plant(ground, digestOf(BIG), SMALL)
    await assert.rejects(blobs.open(digestOf(BIG), source(), ANY), isOciError(404, 'BLOB_UNKNOWN'), 'a damaged one is none')
    assert.equal(ground.upstreams.calls, 0)
  },
  { settings: { airGapped: true } },
)

cacheTest('only-if-cached never causes a call upstream', async (ground) => {
  const { blobs } = await ground.start()
  const digest = ground.hub().content.addBlob(BIG)
  await assert.rejects(blobs.open(digest, source(), CACHED), isOciError(504, 'BLOB_UNKNOWN'))
  await assert.rejects(blobs.size(digest, source(), CACHED), isOciError(504, 'BLOB_UNKNOWN'))
  assert.equal(ground.upstreams.calls, 0)
  await assertServes(blobs.open(digest, source(), ANY), BIG, MISS)
  await ground.stored(digest)
  await assertServes(blobs.open(digest, source(), CACHED), BIG, HIT)
})

cacheTest('only-if-cached joins a download that runs for somebody else, but brings it no source', async (ground) => {
  const tap = new Tap()
  const { blobs } = await ground.start()
  const digest = ground.hub().content.addBlob(BIG)
  ground.hub('b.example').content.addBlob(BIG)
  ground.hub().plan('openBlob', { tap, cutAfter: MIB })
  const first = await blobs.open(digest, source(), ANY)
  const joined = await blobs.open(digest, source('b.example'), CACHED)
  assert.equal((await blobs.size(digest, source('b.example'), CACHED)).sizeBytes, BIG.byteLength)
  const readers = [first, joined].map(({ blob }) => new Reader(blob))
  tap.open()
  await until(() => readers.every(({ received }) => received === MIB), 'the source has broken off')
  await settle()
  await ground.clock.advance(300)
  for (const reader of readers) assert.ok((await reader.done).equals(BIG))
  assert.equal(ground.hub('b.example').calls.length, 0)
})

for (const content of [BIG, SMALL, Buffer.alloc(0)]) {
  cacheTest(`A blob of ${content.byteLength} bytes that somebody copied into the store is verified, served and marked`, async (ground) => {
    const { blobs } = await ground.start()
    const digest = digestOf(content)
    await plant(ground, digest, content)
    await assertServes(blobs.open(digest, source(), ANY), content, HIT)
    await until(async () => ((await stat(ground.blobPath(digest))).mode & 0o777) === 0o444, 'it is marked')
    assert.equal(ground.upstreams.calls, 0)
  })
}

/** Counts how often blobs are hashed, and holds the hashing back until the gate is opened. */
function watchedHashing(): { readonly store: (store: Store) => Store; readonly gate: Gate; hashed: number; fails: Error | undefined } {
  const gate = new Gate()
  const watched = { gate, hashed: 0, fails: undefined as Error | undefined, store: (store: Store) => store }
  watched.store = (store) =>
    overriding(store, {
      openBlob: async (digest) => {
        const blob = await store.openBlob(digest)
        if (blob === undefined) return undefined
        const watchedRead: StoredBlob['read'] = async function* (start, end, buffers) {
          if (buffers instanceof CountedBuffers) return yield* blob.read(start, end, buffers) // a client
          watched.hashed++
          await gate.opened
          if (watched.fails !== undefined) throw watched.fails
          yield* blob.read(start, end, buffers)
        }
        return {
          sizeBytes: blob.sizeBytes,
          verified: blob.verified,
          identity: blob.identity,
          read: blob.verified ? blob.read.bind(blob) : watchedRead,
          readWhen: blob.readWhen.bind(blob),
          close: () => blob.close(),
        }
      },
    })
  return watched
}

const manyReaders = watchedHashing()
cacheTest(
  'A copied blob is hashed once for all its readers, and holds back its last 64 KiB until then',
  async (ground) => {
    const { blobs } = await ground.start()
    const digest = digestOf(BIG)
    await plant(ground, digest, BIG)
    const answers = await Promise.all(Array.from({ length: 10 }, () => blobs.open(digest, source(), ANY)))
    const readers = answers.map(({ blob }) => new Reader(blob))
    await until(() => readers.every(({ received }) => received === BIG.byteLength - HELD_BACK_BYTES), 'all have everything but the tail')
    await settle()
    assert.ok(readers.every(({ received }) => received === BIG.byteLength - HELD_BACK_BYTES))
    manyReaders.gate.open()
    for (const reader of readers) assert.ok((await reader.done).equals(BIG))
    await assertServes(blobs.open(digest, source(), ANY), BIG, HIT)
    assert.equal(manyReaders.hashed, 1)
  },
  { store: manyReaders.store },
)

for (const content of [SMALL, BIG]) {
  const restarted = watchedHashing()
  cacheTest(
    `A copied blob of ${content.byteLength} bytes is hashed once, and not again after a restart`,
    async (ground) => {
      restarted.gate.open()
      const digest = digestOf(content)
      await plant(ground, digest, content)
      for (const start of [() => ground.start(), () => ground.restart()]) {
        const { blobs } = await start()
        await assertServes(blobs.open(digest, source(), ANY), content, HIT)
        await assertServes(blobs.open(digest, source(), ANY), content, HIT)
        assert.equal((await blobs.size(digest, source(), ANY)).sizeBytes, content.byteLength)
      }
      assert.equal(restarted.hashed, 1)
    },
    { store: restarted.store },
  )

  const unmarked = watchedHashing()
  cacheTest(
    `A copied blob of ${content.byteLength} bytes that cannot be marked is hashed once, until it is replaced or the server restarts`,
    async (ground) => {
      unmarked.gate.open()
      const { blobs } = await ground.start()
      const digest = digestOf(content)
      await plant(ground, digest, content)
      for (let pull = 0; pull < 3; pull++) await assertServes(blobs.open(digest, source(), ANY), content, HIT)
      assert.equal(unmarked.hashed, 1)
      await unlink(ground.blobPath(digest))
      await plant(ground, digest, bytes('wrong', content.byteLength))
      await assertNeverComplete(blobs.open(digest, source(), ANY))
      assert.equal(unmarked.hashed, 2)
      await plant(ground, digest, content)
      const { blobs: again } = await ground.restart()
      await assertServes(again.open(digest, source(), ANY), content, HIT)
      assert.equal(unmarked.hashed, 3)
    },
    { store: (store) => overriding(unmarked.store(store), { markVerified: async () => {} }) },
  )

  const replaced = watchedHashing()
  cacheTest(
    `A copied blob of ${content.byteLength} bytes that is replaced while it is being hashed lends its good name to nobody`,
    async (ground) => {
      const { blobs } = await ground.start()
      const digest = digestOf(content)
      await plant(ground, digest, content)
      const first = blobs.open(digest, source(), ANY).then(({ blob }) => new Reader(blob).done)
      await until(() => replaced.hashed === 1, 'it is being hashed')
      await unlink(ground.blobPath(digest))
      await plant(ground, digest, bytes('wrong', content.byteLength))
      replaced.gate.open()
      assert.ok((await first).equals(content), 'who reads the right one is not disturbed')
      await assertNeverComplete(blobs.open(digest, source(), ANY))
      assert.equal((await ground.files('quarantine')).length, 1)
    },
    { store: replaced.store },
  )

  const mended = watchedHashing()
  cacheTest(
    `A right copy of ${content.byteLength} bytes that arrives while a wrong one is being hashed is not quarantined in its place`,
    async (ground) => {
      const { blobs } = await ground.start()
      const digest = digestOf(content)
      await plant(ground, digest, bytes('wrong', content.byteLength))
      const first = later(blobs.open(digest, source(), ANY).then(({ blob }) => new Reader(blob).done))
      await until(() => mended.hashed === 1, 'it is being hashed')
      await unlink(ground.blobPath(digest))
      await plant(ground, digest, content)
      mended.gate.open()
      if (content === SMALL) assert.ok((await first).equals(content))
      else await assert.rejects(first, /damaged/)
      await assertServes(blobs.open(digest, source(), ANY), content, HIT)
      assert.deepEqual(await ground.files('quarantine'), [])
      assert.equal(ground.upstreams.calls, 0)
    },
    { store: mended.store },
  )
}

const smallAfterBig = watchedHashing()
cacheTest(
  'A small copied blob is not held up by a big one that is being hashed',
  async (ground) => {
    const { blobs } = await ground.start()
    await plant(ground, digestOf(BIG), BIG)
    const { blob } = await blobs.open(digestOf(BIG), source(), ANY)
    await until(() => smallAfterBig.hashed === 1, 'the big one is being hashed')
    await plant(ground, digestOf(SMALL), SMALL)
    const small = blobs.open(digestOf(SMALL), source(), ANY)
    await until(() => smallAfterBig.hashed === 2, 'the small one is being hashed beside it')
    smallAfterBig.gate.open()
    await assertServes(small, SMALL, HIT)
    assert.ok((await new Reader(blob).done).equals(BIG))
  },
  { store: smallAfterBig.store },
)

const unreadable = watchedHashing()
cacheTest(
  'A copied blob that the disk cannot read is an error for its readers and harms nothing else',
  async (ground) => {
    const { blobs } = await ground.start()
    unreadable.gate.open()
    unreadable.fails = systemError('EIO')
    for (const content of [SMALL, BIG]) await plant(ground, digestOf(content), content)
    await assert.rejects(blobs.open(digestOf(SMALL), source(), ANY), /EIO/)
    await assert.rejects(new Reader((await blobs.open(digestOf(BIG), source(), ANY)).blob).done, /EIO/)
    unreadable.fails = undefined
    await assertServes(blobs.open(digestOf(SMALL), source(), ANY), SMALL, HIT)
    await assertServes(blobs.open(digestOf(BIG), source(), ANY), BIG, HIT)
  },
  { store: unreadable.store },
)

const stopWhileHashing = watchedHashing()
cacheTest(
  'A stop does not wait for gigabytes to be hashed',
  async (ground) => {
    const { blobs } = await ground.start()
    await plant(ground, digestOf(BIG), BIG)
    const reader = new Reader((await blobs.open(digestOf(BIG), source(), ANY)).blob)
    await until(() => stopWhileHashing.hashed === 1, 'it is being hashed')
    const stopped = ground.cache.stop()
    stopWhileHashing.gate.open()
    await stopped
    await assert.rejects(reader.done, /stopping/)
    assert.ok(((await stat(ground.blobPath(digestOf(BIG)))).mode & 0o222) !== 0)
  },
  { store: stopWhileHashing.store },
)

cacheTest('A small copied blob with wrong bytes is quarantined, and the client gets the right ones', async (ground) => {
  const { blobs } = await ground.start()
  const digest = ground.hub().content.addBlob(SMALL)
  await plant(ground, digest, bytes('wrong', SMALL.byteLength))
  const answers = Array.from({ length: 5 }, () => blobs.open(digest, source(), ANY))
  for (const answer of answers) assert.ok((await new Reader((await answer).blob).done).equals(SMALL))
  assert.equal((await ground.files('quarantine')).length, 1)
  assert.equal(ground.upstreams.calls, 1)
  await ground.stored(digest)
})

cacheTest('A big copied blob with wrong bytes ends short, is quarantined, and the next request has the right ones', async (ground) => {
  const { blobs } = await ground.start()
  const digest = ground.hub().content.addBlob(BIG)
  const wrong = Buffer.from(BIG)
  wrong[MIB] = (wrong[MIB] ?? 0) ^ 1
  await plant(ground, digest, wrong)
  const reader = new Reader((await blobs.open(digest, source(), ANY)).blob)
  await assert.rejects(reader.done, /damaged/)
  assert.ok(reader.received <= BIG.byteLength - HELD_BACK_BYTES)
  assert.equal((await ground.files('quarantine')).length, 1)
  await assertServes(blobs.open(digest, source(), ANY), BIG, MISS)
  await ground.stored(digest)
})

cacheTest('A verified blob is not hashed again', async (ground) => {
  const { blobs } = await ground.start()
  const digest = digestOf(SMALL)
  await plant(ground, digest, BIG)
  await chmod(ground.blobPath(digest), 0o444)
  await assertServes(blobs.open(digest, source(), ANY), BIG, HIT)
})

for (const content of [SMALL, BIG]) {
  cacheTest(
    `A blob of ${content.byteLength} bytes that a copy cut short, read-only as it is, is fetched again before anybody sees it`,
    async (ground) => {
      const { blobs, manifests } = await ground.start()
      const { layers } = ground.hub().content.addImage('some/app', '1', { layers: [content] })
      await manifests.get(ref('quay.io/some/app:1'), ANY, true)
      const digest = layers[0] as Digest
      await plant(ground, digest, content.subarray(0, content.byteLength - 1))
      await chmod(ground.blobPath(digest), 0o444)
      await assertServes(blobs.open(digest, source(), ANY), content, MISS)
      assert.equal((await ground.files('quarantine')).length, 1)
      await ground.stored(digest)
    },
  )
}

cacheTest('A blob that is right is served, though its manifest gives it another length, and is hashed for that once', async (ground) => {
  const { blobs, manifests } = await ground.start()
  const digest = digestOf(BIG)
  const lies = { schemaVersion: 2, mediaType: OCI_MANIFEST, config: { mediaType: 'x/y', digest, size: 1 }, layers: [] }
  ground.hub().content.addManifest('some/app', '1', Buffer.from(JSON.stringify(lies)), OCI_MANIFEST)
  await manifests.get(ref('quay.io/some/app:1'), ANY, true)
  await plant(ground, digest, BIG)
  await assertServes(blobs.open(digest, source(), ANY), BIG, HIT)
  await assertServes(blobs.open(digest, source(), ANY), BIG, HIT)
  assert.deepEqual(await ground.files('quarantine'), [])
})

cacheTest('A blob that somebody deletes while the server runs is fetched again', async (ground) => {
  const { blobs } = await ground.start()
  const digest = ground.hub().content.addBlob(BIG)
  await assertServes(blobs.open(digest, source(), ANY), BIG, MISS)
  await until(() => ground.log.lines.some(({ message }) => message === 'blob stored'), 'the download is over')
  const { blob } = await blobs.open(digest, source(), ANY)
  await unlink(ground.blobPath(digest))
  await assertServes(blobs.open(digest, source(), ANY), BIG, MISS)
  assert.ok((await new Reader(blob).done).equals(BIG), 'who was reading is not disturbed')
  assert.equal(ground.upstreams.calls, 2)
})

const commit = new Gate()
cacheTest(
  'A blob that is on its way into the store is a hit already, and is not downloaded again',
  async (ground) => {
    const { blobs } = await ground.start()
    const digest = ground.hub().content.addBlob(BIG)
    await assertServes(blobs.open(digest, source(), ANY), BIG, MISS)
    await assertServes(blobs.open(digest, source(), ANY), BIG, HIT)
    assert.deepEqual(await blobs.size(digest, source(), ANY), { sizeBytes: BIG.byteLength, status: HIT })
    assert.deepEqual(await ground.files('blobs'), [])
    const last = blobs.open(digest, source(), ANY)
    commit.open()
    await assertServes(last, BIG, HIT)
    assert.equal(ground.upstreams.calls, 1)
  },
  {
    store: (store) =>
      overriding(store, { commitBlob: (digest, spoolPath) => commit.opened.then(() => store.commitBlob(digest, spoolPath)) }),
  },
)

cacheTest('A registry that the configuration closes is told as such', async (ground) => {
  const { blobs } = await ground.start()
  const closed = new OciError(404, 'NAME_UNKNOWN', 'closed by the configuration')
  ground.upstreams.closed.set(source('closed.example').registry, closed)
  await assert.rejects(blobs.open(digestOf(SMALL), source('closed.example'), ANY), isOciError(404, 'NAME_UNKNOWN'))
  await assert.rejects(blobs.size(digestOf(SMALL), source('closed.example'), ANY), isOciError(404, 'NAME_UNKNOWN'))
})
