/** Downloads that cannot be stored: no room, or a disk that fails in the middle. Clients get their bytes all the same, verified. */
import assert from 'node:assert/strict'
import { HELD_BACK_BYTES } from '../../src/cache/progress.ts'
import { digestFileName } from '../../src/oci/digest.ts'
import { Tap } from '../support/scripted-upstream.ts'
import { until } from '../support/until.ts'
import {
  ask,
  bytes,
  cacheTest,
  isKind,
  KIB,
  listBlob,
  MIB,
  over,
  Reader,
  readAll,
  ScriptedSpools,
  settle,
  source,
  systemError,
} from './support.ts'

const BIG = bytes('unstored', 9 * MIB + 99)

cacheTest('What there is no room for is streamed without being stored', async (ground) => {
  ground.space.freeBytes = BIG.byteLength - 1
  const digest = ground.hub().content.addBlob(BIG)
  const readers = (await Promise.all([ask(ground, digest).ready, ask(ground, digest).ready])).map((blob) => new Reader(blob))
  for (const reader of readers) assert.ok((await reader.done).equals(BIG))
  await over(ground, digest)
  assert.equal(ground.hub().callsOf('openBlob').length, 1)
  assert.deepEqual([await ground.files('blobs'), await ground.files('pulls')], [[], []])
  assert.equal(ground.space.reservedBytes, 0)
})

cacheTest('What is streamed without being stored is verified: a wrong blob ends short', async (ground) => {
  ground.space.freeBytes = 0
  const wrong = Buffer.from(BIG)
  wrong[5] = (wrong[5] ?? 0) ^ 1
  const digest = ground.hub().content.addBlob(BIG)
  ground.hub().plan('openBlob', { bytes: wrong })
  const reader = new Reader(await ask(ground, digest).ready)
  await assert.rejects(reader.done, isKind('corrupt'))
  assert.ok(reader.received <= BIG.byteLength - HELD_BACK_BYTES)
})

cacheTest('A download that cannot be stored is continued when it breaks off', async (ground) => {
  ground.space.freeBytes = 0
  const digest = ground.hub().content.addBlob(BIG)
  ground.hub().plan('openBlob', { cutAfter: MIB })
  const reader = new Reader(await ask(ground, digest).ready)
  await until(() => reader.received === MIB, 'the client has what came')
  await settle()
  await ground.clock.advance(300)
  assert.ok((await reader.done).equals(BIG))
  assert.equal(ground.hub().served(digest), BIG.byteLength)
})

cacheTest('A blob whose length nobody knows is stored as long as there is room, and streamed from there on', async (ground) => {
  const content = bytes('of unknown length', 20 * MIB)
  ground.space.freeBytes = 17 * MIB
  const digest = ground.hub().content.addBlob(content)
  ground.hub().plan('openBlob', { sizeBytes: null })
  const { fill, ready } = ask(ground, digest)
  const reading = ready.then(readAll)
  await over(ground, digest)
  assert.ok(fill.isClosed || fill.verified)
  await reading.catch(() => {})
  assert.deepEqual(await ground.files('blobs'), [])
})

cacheTest('A slow reader of what cannot be stored ends short, and the others get every byte', async (ground) => {
  ground.space.freeBytes = 0
  const digest = ground.hub().content.addBlob(BIG)
  const [slow, quick] = [new Reader(await ask(ground, digest).ready, true), new Reader(await ask(ground, digest).ready)]
  await settle()
  await ground.clock.advance(10_000)
  await settle()
  await ground.clock.advance(10_000)
  assert.ok((await quick.done).equals(BIG))
  const stepping = setInterval(() => slow.step(), 1)
  await assert.rejects(slow.done, /too slow/).finally(() => clearInterval(stepping))
})

cacheTest('Who comes too late for a download that cannot be stored gets one of their own', async (ground) => {
  ground.space.freeBytes = 0
  const tap = new Tap()
  ground.hub().plan('openBlob', { tap })
  const digest = ground.hub().content.addBlob(BIG)
  const first = new Reader(await ask(ground, digest).ready)
  tap.allow(2 * MIB)
  await until(() => first.received === 2 * MIB, 'two MiB have gone by, and are kept')
  const joining = new Reader(await ask(ground, digest).ready)
  await until(() => joining.received === 2 * MIB, 'who joins in time shares them')
  tap.allow(4 * MIB)
  await until(() => first.received === 6 * MIB, 'the first bytes are not kept any more')
  await settle()
  assert.ok((await readAll(await ask(ground, digest).ready)).equals(BIG))
  assert.equal(ground.hub().callsOf('openBlob').length, 2)
  tap.open()
  for (const reader of [first, joining]) assert.ok((await reader.done).equals(BIG))
})

cacheTest('A download that cannot be stored ends with its last reader', async (ground) => {
  ground.space.freeBytes = 0
  const tap = new Tap()
  ground.hub().plan('openBlob', { tap })
  const digest = ground.hub().content.addBlob(BIG)
  const reader = new Reader(await ask(ground, digest).ready, true)
  tap.allow(MIB)
  await until(() => reader.received > 0, 'the client has something')
  reader.leave()
  await reader.done
  await over(ground, digest)
  await until(() => ground.upstreams.openBodies === 0, 'the registry sends no more')
})

cacheTest('Work in the background is not begun where it cannot be stored', async (ground) => {
  ground.space.freeBytes = 0
  const digest = ground.hub().content.addBlob(BIG)
  ground.fills.start(digest, source(), 'background')
  await over(ground, digest)
  assert.equal(ground.upstreams.calls, 0)
})

for (const code of ['ENOSPC', 'EIO', 'EROFS']) {
  const spools: { made?: ScriptedSpools } = {}
  cacheTest(
    `A disk that fails in the middle of a download (${code}): it goes on without being stored, and the next one is stored again`,
    async (ground) => {
      const tap = new Tap()
      ground.hub().plan('openBlob', { tap })
      const digest = ground.hub().content.addBlob(BIG)
      const readers = (await Promise.all([ask(ground, digest).ready, ask(ground, digest).ready])).map((blob) => new Reader(blob))
      tap.allow(3 * MIB)
      await until(() => readers.every((reader) => reader.received === 3 * MIB), 'three MiB are stored')
      if (spools.made !== undefined) spools.made.beforeWrite = () => Promise.reject(systemError(code))
      tap.open()
      for (const reader of readers) assert.ok((await reader.done).equals(BIG))
      await over(ground, digest)
      assert.equal(ground.hub().served(digest), BIG.byteLength)
      assert.deepEqual(await ground.files('blobs'), [])
      assert.equal(ground.space.failures.length, 1)
      if (spools.made !== undefined) spools.made.beforeWrite = async () => {}
      assert.ok((await readAll(await ask(ground, digest).ready)).equals(BIG))
      await ground.stored(digest)
    },
    {
      spools: (path, deps) => {
        spools.made = new ScriptedSpools(path, deps)
        return spools.made
      },
    },
  )
}

cacheTest(
  'A spool file that cannot be made: the download is streamed without being stored',
  async (ground) => {
    const digest = ground.hub().content.addBlob(BIG)
    assert.ok((await readAll(await ask(ground, digest).ready)).equals(BIG))
    assert.deepEqual(await ground.files('blobs'), [])
    assert.equal(ground.space.failures.length, 1)
  },
  {
    spools: (path, deps) => {
      const spools = new ScriptedSpools(path, deps)
      spools.beforeCreate = () => Promise.reject(systemError('EROFS'))
      return spools
    },
  },
)

cacheTest('A small blob needs no room to be served', async (ground) => {
  ground.space.freeBytes = 0
  const small = bytes('small without room', 10 * KIB)
  const digest = ground.hub().content.addBlob(small)
  assert.ok((await readAll(await ask(ground, digest).ready)).equals(small))
})

cacheTest('Small blobs for which there was no room stay in memory, and are stored when there is', async (ground) => {
  ground.space.freeBytes = 0
  const small = bytes('small, and stored later', 10 * KIB)
  const digest = ground.hub().content.addBlob(small)
  listBlob(ground, 'quay.io', digest, small.byteLength)
  assert.ok((await readAll(await ask(ground, digest).ready)).equals(small))
  await over(ground, digest)
  assert.deepEqual(await ground.files('blobs'), [])
  await ground.fills.storeAgain()
  assert.deepEqual(await ground.files('blobs'), [], 'there is no room yet')
  ground.space.freeBytes = MIB
  await ground.fills.storeAgain()
  assert.deepEqual(await ground.files('blobs'), [digestFileName(digest)])
})

cacheTest('A blob whose length is told by its registry only needs no more room than it takes', async (ground) => {
  ground.space.freeBytes = BIG.byteLength
  const digest = ground.hub().content.addBlob(BIG)
  assert.ok((await readAll(await ask(ground, digest).ready)).equals(BIG))
  await ground.stored(digest)
})

cacheTest(
  'A blob whose length becomes known in the middle, and for which there is no room then, is right at every byte',
  async (ground) => {
    const tap = new Tap()
    ground.space.freeBytes = 7 * MIB + 16 * MIB
    const content = bytes('length told late', 40 * MIB)
    const digest = ground.hub().content.addBlob(content)
    ground.hub().plan('openBlob', { sizeBytes: null, tap, cutAfter: 6 * MIB })
    const { fill, ready } = ask(ground, digest)
    tap.allow(6 * MIB)
    await until(() => fill.writtenBytes === 6 * MIB, 'what came is written')
    await settle()
    await ground.clock.advance(300)
    const whole = new Reader(await ready)
    const early = new Reader(await ask(ground, digest).ready, false, 0, 500_000)
    assert.ok((await early.done).equals(content.subarray(0, 500_000)))
    assert.ok((await whole.done).equals(content))
    assert.equal(fill.failure, undefined)
    assert.deepEqual(await ground.files('blobs'), [])
  },
)

cacheTest('A reader that stands still is told that it is cut, and the download ends when nobody else reads it', async (ground) => {
  ground.space.freeBytes = 0
  const digest = ground.hub().content.addBlob(BIG)
  const blob = await ask(ground, digest).ready
  const stuck = new Reader(blob, true)
  await until(() => stuck.received > 0, 'it has its first bytes')
  await settle()
  await ground.clock.advance(10_000)
  assert.equal(blob.cut?.aborted, true)
  stuck.leave()
  await stuck.done
  await over(ground, digest)
})
