/** Many downloads: how many run at once and who goes first, and what a full disk, a slow disk and a stop leave behind. */
import assert from 'node:assert/strict'
import { unlinkSync } from 'node:fs'
import { type Digest, digestFileName, digestOf } from '../../src/oci/digest.ts'
import type { ReadableBlob } from '../../src/store/store.ts'
import { Gate, NEVER, Tap } from '../support/scripted-upstream.ts'
import { until } from '../support/until.ts'
import {
  ask,
  bytes,
  cacheTest,
  type Ground,
  isKind,
  isSettled,
  KIB,
  MIB,
  over,
  overriding,
  Reader,
  readAll,
  ScriptedSpools,
  settle,
  source,
  systemError,
} from './support.ts'

const BIG = bytes('big', 2 * MIB + 12_345)

function blobsOf(ground: Ground, count: number): Digest[] {
  return Array.from({ length: count }, (_, i) => ground.hub().content.addBlob(`blob ${i}`))
}

function queue(ground: Ground, digest: Digest): void {
  ground.fills.start(digest, source(), 'background')
}

/** Which blobs the upstream was asked for, once it was asked for as many as are expected and has had time for more. */
async function assertAsked(ground: Ground, expected: readonly (Digest | undefined)[]): Promise<void> {
  const asked = () =>
    ground
      .hub()
      .callsOf('openBlob')
      .map((call) => call.target)
  await until(() => asked().length >= expected.length, `${expected.length} blobs are asked for`)
  await settle()
  assert.deepEqual(asked().sort(), [...expected].sort())
}

async function assertServes(asked: { readonly ready: Promise<ReadableBlob> } | undefined, content: string | Buffer): Promise<void> {
  assert.ok(asked !== undefined)
  assert.ok((await readAll(await asked.ready)).equals(Buffer.from(content)))
}

cacheTest(
  'At most 64 downloads run at once; the next one begins when one ends',
  async (ground) => {
    const gate = new Gate()
    const digests = blobsOf(ground, 66)
    ground.hub().plan('openBlob', { of: digests[0] as Digest, after: gate.opened })
    ground.hub().always('openBlob', NEVER)
    const asks = digests.map((digest) => ask(ground, digest))
    await assertAsked(ground, digests.slice(0, 64))
    gate.open()
    await assertServes(asks[0], 'blob 0')
    await assertAsked(ground, digests.slice(0, 65))
  },
  { budgets: { fillsOfOneRegistry: 100 } },
)

cacheTest('At most 6 of them are background work, and clients always go first', async (ground) => {
  ground.hub().always('openBlob', NEVER)
  const digests = blobsOf(ground, 20)
  for (const digest of digests.slice(0, 10)) queue(ground, digest)
  await assertAsked(ground, digests.slice(0, 6))
  for (const digest of digests.slice(10)) ask(ground, digest)
  await assertAsked(ground, [...digests.slice(0, 6), ...digests.slice(10)])
})

cacheTest(
  'A client that wants a blob which is queued in the background goes ahead of the background',
  async (ground) => {
    const gate = new Gate()
    const digests = blobsOf(ground, 4)
    ground.hub().plan('openBlob', { of: digests[0] as Digest, after: gate.opened })
    for (const digest of digests) queue(ground, digest)
    await assertServes(ask(ground, digests[3] as Digest), 'blob 3')
    await assertAsked(ground, [digests[0], digests[3]])
    gate.open()
    await Promise.all(digests.map((digest) => ground.stored(digest)))
  },
  { budgets: { backgroundFillsAtOnce: 1 } },
)

const ONE_AT_ONCE = { budgets: { fillsAtOnce: 1, fillsOfOneRegistry: 1 } }

cacheTest(
  'A queued download that nobody waits for any more never begins',
  async (ground) => {
    const gate = new Gate()
    const [running, queued] = blobsOf(ground, 2) as [Digest, Digest]
    ground.hub().plan('openBlob', { after: gate.opened })
    const first = ask(ground, running)
    const second = ask(ground, queued)
    await ground.clock.advance(10_000)
    const third = ask(ground, queued)
    await ground.clock.advance(10_000)
    await assert.rejects(first.ready, isKind('timeout'))
    await assert.rejects(second.ready, isKind('timeout'))
    assert.equal(ground.fills.of(queued), third.fill, 'one still waits')
    await ground.clock.advance(10_000)
    await assert.rejects(third.ready, isKind('timeout'))
    assert.equal(ground.fills.of(queued), undefined)
    gate.open()
    await ground.stored(running)
    await assertAsked(ground, [running])
  },
  ONE_AT_ONCE,
)

cacheTest(
  'A download that completes an image happens even if a client wanted it sooner and gave up',
  async (ground) => {
    const gate = new Gate()
    const [running, queued] = blobsOf(ground, 2) as [Digest, Digest]
    ground.hub().plan('openBlob', { after: gate.opened })
    const first = ask(ground, running)
    queue(ground, queued)
    const impatient = ask(ground, queued)
    await ground.clock.advance(20_000)
    await assert.rejects(first.ready, isKind('timeout'))
    await assert.rejects(impatient.ready, isKind('timeout'))
    gate.open()
    await ground.stored(queued)
  },
  ONE_AT_ONCE,
)

cacheTest(
  'Background work that joins a queued download keeps it in the queue when its client gives up',
  async (ground) => {
    const gate = new Gate()
    const [running, queued] = blobsOf(ground, 2) as [Digest, Digest]
    ground.hub().plan('openBlob', { after: gate.opened })
    const first = ask(ground, running)
    const impatient = ask(ground, queued)
    queue(ground, queued)
    await ground.clock.advance(20_000)
    await assert.rejects(first.ready, isKind('timeout'))
    await assert.rejects(impatient.ready, isKind('timeout'))
    gate.open()
    await ground.stored(queued)
  },
  ONE_AT_ONCE,
)

const committing = new Gate()
cacheTest(
  'A verified blob waits to be stored without holding up others, but only so many wait',
  async (ground) => {
    const digests = blobsOf(ground, 3)
    const asks = digests.map((digest) => ask(ground, digest))
    await assertServes(asks[0], 'blob 0')
    await assertServes(asks[1], 'blob 1')
    await assertAsked(ground, digests.slice(0, 2))
    committing.open()
    await assertServes(asks[2], 'blob 2')
  },
  {
    budgets: { unpublishedFills: 2, fillsAtOnce: 1 },
    store: (store) =>
      overriding(store, { commitBlob: (digest, spoolPath) => committing.opened.then(() => store.commitBlob(digest, spoolPath)) }),
  },
)

const publishing = new Gate()
cacheTest(
  'A blob that is verified but not stored yet is served to whoever comes, without a second download',
  async (ground) => {
    const digest = ground.hub().content.addBlob(BIG)
    await assertServes(ask(ground, digest), BIG)
    await settle()
    assert.deepEqual(await ground.files('blobs'), [])
    const late = await ask(ground, digest).ready
    publishing.open()
    await ground.stored(digest)
    await over(ground, digest)
    assert.ok((await readAll(late)).equals(BIG))
    assert.equal(ground.hub().calls.length, 1)
  },
  {
    store: (store) =>
      overriding(store, { commitBlob: (digest, spoolPath) => publishing.opened.then(() => store.commitBlob(digest, spoolPath)) }),
  },
)

cacheTest(
  'A store that takes no time at all still lets everybody read who waited',
  async (ground) => {
    const digest = ground.hub().content.addBlob('small')
    const asks = Array.from({ length: 20 }, () => ask(ground, digest))
    for (const one of asks) await assertServes(one, 'small')
  },
  { store: (store) => overriding(store, { commitBlob: async (_digest, spoolPath) => unlinkSync(spoolPath) }) },
)

let commits = 0
cacheTest(
  'A blob that cannot be stored is served all the same; nothing of it stays, and the next request fetches it again',
  async (ground) => {
    const digest = ground.hub().content.addBlob(BIG)
    const readers = (await Promise.all([ask(ground, digest).ready, ask(ground, digest).ready])).map((blob) => new Reader(blob, true))
    await over(ground, digest)
    await until(async () => (await ground.files('pulls')).length === 0, 'the spool file is gone')
    assert.deepEqual(await ground.files('blobs'), [])
    for (const reader of readers) {
      while (!(await isSettled(reader.done))) reader.step()
      assert.ok((await reader.done).equals(BIG))
    }
    assert.ok(ground.log.lines.some((line) => line.level === 'error' && line.fields.digest === digest))
    await assertServes(ask(ground, digest), BIG)
    await ground.stored(digest)
  },
  {
    store: (store) =>
      overriding(store, {
        commitBlob: (digest, spoolPath) => (commits++ === 0 ? Promise.reject(systemError('ENOSPC')) : store.commitBlob(digest, spoolPath)),
      }),
  },
)

/** A spool whose disk the running test governs. */
function governed(): {
  readonly spools: (...args: ConstructorParameters<typeof ScriptedSpools>) => ScriptedSpools
  readonly disk: () => ScriptedSpools
} {
  let made: ScriptedSpools | undefined
  return {
    spools: (path, deps) => {
      made = new ScriptedSpools(path, deps)
      return made
    },
    disk: () => made as ScriptedSpools,
  }
}

const slowDisk = governed()
cacheTest(
  'A slow disk slows the network down: no more than a few MiB wait in memory',
  async (ground) => {
    const writing = new Gate()
    slowDisk.disk().beforeWrite = () => writing.opened
    const content = bytes('huge', 16 * MIB)
    const digest = ground.hub().content.addBlob(content)
    const { ready } = ask(ground, digest)
    await until(() => ground.hub().served(digest) > 4 * MIB, 'the network is ahead of the disk')
    await settle()
    const waiting = ground.hub().served(digest)
    assert.ok(waiting <= 4.5 * MIB, `${waiting} bytes wait`)
    await settle()
    assert.equal(ground.hub().served(digest), waiting, 'the network waits')
    writing.open()
    assert.ok((await readAll(await ready)).equals(content))
  },
  { spools: slowDisk.spools },
)

const slowToDrop = governed()
cacheTest(
  'A request that comes while a failed download is cleared away starts clean, from its own source',
  async (ground) => {
    const dropping = new Gate()
    slowToDrop.disk().beforeDrop = () => dropping.opened
    const digest = ground.hub('b.example').content.addBlob(BIG)
    await assert.rejects(ask(ground, digest, source('a.example')).ready, isKind('notFound'))
    const next = ask(ground, digest, source('b.example'))
    await settle()
    assert.ok(!(await isSettled(next.ready)), 'it waits for the spool file of the failed one to go')
    dropping.open()
    await assertServes(next, BIG)
    await ground.stored(digest)
  },
  { spools: slowToDrop.spools },
)

const slowAndFull = governed()
let fullOnce = 0
cacheTest(
  'What could not be stored is cleared away before it is downloaded again, not after',
  async (ground) => {
    const dropping = new Gate()
    slowAndFull.disk().beforeDrop = () => dropping.opened
    const digest = ground.hub().content.addBlob(BIG)
    await assertServes(ask(ground, digest), BIG)
    await over(ground, digest)
    const next = ask(ground, digest)
    await settle()
    dropping.open()
    await assertServes(next, BIG)
    await ground.stored(digest)
  },
  {
    spools: slowAndFull.spools,
    store: (store) =>
      overriding(store, {
        commitBlob: (digest, spoolPath) => (fullOnce++ === 0 ? Promise.reject(systemError('ENOSPC')) : store.commitBlob(digest, spoolPath)),
      }),
  },
)

cacheTest('A stop ends downloads at once, in whatever state they are, and leaves what came for the next start', async (ground) => {
  const tap = new Tap()
  const [unanswered, other] = blobsOf(ground, 2) as [Digest, Digest]
  const half = ground.hub().content.addBlob(BIG)
  ground.hub().plan('openBlob', { of: half, tap }, { of: unanswered, ...NEVER })
  const reading = ask(ground, half)
  const waiting = ask(ground, unanswered)
  tap.allow(MIB)
  const reader = new Reader(await reading.ready)
  await until(() => reader.received === MIB, 'half of it is there')
  await ground.fills.stop()
  await assert.rejects(reader.done, isKind('unreachable'))
  await assert.rejects(waiting.ready, isKind('unreachable'))
  assert.deepEqual([await ground.files('pulls'), await ground.files('blobs')], [[digestFileName(half), `${digestFileName(half)}.json`], []])
  ground.spoolMayBeLeft = true
  await assert.rejects(ask(ground, other).ready, isKind('unreachable'), 'who comes after a stop is told at once')
})

cacheTest(
  'A stop tells those who wait in the queue at once',
  async (ground) => {
    ground.hub().always('openBlob', NEVER)
    const [running, queued] = blobsOf(ground, 2) as [Digest, Digest]
    const asks = [ask(ground, running), ask(ground, queued)]
    await assertAsked(ground, [running])
    await ground.fills.stop()
    for (const { ready } of asks) await assert.rejects(ready, isKind('unreachable'))
    await assertAsked(ground, [running])
  },
  ONE_AT_ONCE,
)

const lastCommit = new Gate()
cacheTest(
  'A stop waits until what is verified is stored',
  async (ground) => {
    const digest = ground.hub().content.addBlob(BIG)
    await assertServes(ask(ground, digest), BIG)
    const stopped = ground.fills.stop()
    assert.ok(!(await isSettled(stopped)))
    lastCommit.open()
    await stopped
    assert.deepEqual(await ground.files('blobs'), [digestFileName(digest)])
  },
  {
    store: (store) =>
      overriding(store, { commitBlob: (digest, spoolPath) => lastCommit.opened.then(() => store.commitBlob(digest, spoolPath)) }),
  },
)

const stopDisk = governed()
cacheTest(
  'A stop while the disk is slow waits for the write that is on its way, and then clears it away',
  async (ground) => {
    const writing = new Gate()
    stopDisk.disk().beforeWrite = () => writing.opened
    const digest = ground.hub().content.addBlob(BIG)
    const { ready } = ask(ground, digest)
    const reader = new Reader(await ready)
    await settle()
    const stopped = ground.fills.stop()
    await assert.rejects(reader.done, isKind('unreachable'))
    assert.ok(!(await isSettled(stopped)))
    writing.open()
    await stopped
    assert.deepEqual(await ground.files('pulls'), [])
  },
  { spools: stopDisk.spools },
)

cacheTest('A client that only reads, and much later than the blob was published, still gets all of it', async (ground) => {
  const digest = ground.hub().content.addBlob(BIG)
  const reader = new Reader(await ask(ground, digest).ready, true)
  await ground.stored(digest)
  await ground.directory.deleteBlob(digest)
  while (!(await isSettled(reader.done))) reader.step()
  assert.ok((await reader.done).equals(BIG))
  assert.ok(reader.received > 64 * KIB)
  assert.equal(digestOf(await reader.done), digest)
})
