/** Downloads that break off: they are continued where they stopped, by whoever has the rest, and after a restart too. */
import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { HELD_BACK_BYTES } from '../../src/cache/progress.ts'
import { digestFileName } from '../../src/oci/digest.ts'
import { OciError } from '../../src/oci/error.ts'
import type { UpstreamErrorKind } from '../../src/upstream/error.ts'
import { UpstreamError } from '../../src/upstream/error.ts'
import { Gate, NEVER, Tap } from '../support/scripted-upstream.ts'
import { until } from '../support/until.ts'
import { ask, bytes, cacheTest, type Ground, isKind, isSettled, KIB, MIB, over, Reader, readAll, settle, source } from './support.ts'

const BIG = bytes('resumed', 3 * MIB + 777)
const CUT = MIB + 4321
const FIVE_FAILURES = Array.from({ length: 5 }, () => ({ error: 'unreachable' as const }))

function offsets(ground: Ground, registry = 'quay.io'): number[] {
  return ground
    .hub(registry)
    .callsOf('openBlob')
    .map(({ offset }) => offset)
}

/** Waits until the fill pauses before it asks again, and lets the pause pass. */
async function pause(ground: Ground, ms: number): Promise<void> {
  await settle()
  await ground.clock.advance(ms)
}

/** Lets all tries without progress come and go. */
async function useUpTries(ground: Ground): Promise<void> {
  for (const ms of [300, 600, 1_200, 2_400, 4_800]) await pause(ground, ms)
}

for (const kind of ['unreachable', 'timeout', 'failed', 'limited', 'denied'] satisfies UpstreamErrorKind[]) {
  cacheTest(
    `A download that breaks off (${kind}) goes on where it stopped after a short pause, and no byte comes twice`,
    async (ground) => {
      ground.hub().plan('openBlob', { cutAfter: CUT, cutBy: kind })
      const digest = ground.hub().content.addBlob(BIG)
      const reader = new Reader(await ask(ground, digest).ready)
      await until(() => reader.received === CUT, 'the client has what came')
      await settle()
      assert.equal(offsets(ground).length, 1, 'the registry is not asked again at once')
      await pause(ground, 300)
      assert.ok((await reader.done).equals(BIG))
      assert.deepEqual(offsets(ground), [0, CUT])
      assert.equal(ground.hub().served(digest), BIG.byteLength)
      await ground.stored(digest)
    },
  )
}

for (const kind of ['failed', 'limited', 'denied', 'notFound', 'unreachable', 'dns', 'circuitOpen'] satisfies UpstreamErrorKind[]) {
  cacheTest(`A registry that answers '${kind}' in the middle of a download is asked again`, async (ground) => {
    ground.hub().plan('openBlob', { cutAfter: CUT }, { error: kind }, { error: kind })
    const digest = ground.hub().content.addBlob(BIG)
    const reader = new Reader(await ask(ground, digest).ready)
    await until(() => reader.received === CUT, 'the client has what came')
    for (const ms of [300, 600, 1_200]) await pause(ground, ms)
    assert.ok((await reader.done).equals(BIG))
    assert.deepEqual(offsets(ground), [0, CUT, CUT, CUT])
  })
}

cacheTest('A registry that asks for a pause in the middle of a download gets it', async (ground) => {
  ground.hub().plan('openBlob', { cutAfter: CUT }, { error: new UpstreamError('limited', 'slow down', { retryAfterMs: 7_000 }) })
  const digest = ground.hub().content.addBlob(BIG)
  const reader = new Reader(await ask(ground, digest).ready)
  await until(() => reader.received === CUT, 'the client has what came')
  await pause(ground, 300)
  await pause(ground, 6_900)
  assert.ok(!(await isSettled(reader.done)))
  assert.equal(offsets(ground).length, 2)
  await pause(ground, 100)
  assert.ok((await reader.done).equals(BIG))
})

cacheTest('Five tries without a MiB of progress, and a download ends; the next one goes on from there', async (ground) => {
  ground.hub().plan('openBlob', { cutAfter: CUT }, ...FIVE_FAILURES)
  const digest = ground.hub().content.addBlob(BIG)
  const reader = new Reader(await ask(ground, digest).ready)
  await until(() => reader.received === CUT, 'the client has what came')
  await useUpTries(ground)
  await assert.rejects(reader.done, isKind('unreachable'))
  await over(ground, digest)
  assert.equal(offsets(ground).length, 6)
  assert.ok((await readAll(await ask(ground, digest).ready)).equals(BIG))
  assert.deepEqual(offsets(ground).slice(6), [CUT])
  assert.equal(ground.hub().served(digest), BIG.byteLength)
  await ground.stored(digest)
})

cacheTest('A download that makes progress may break off any number of times', async (ground) => {
  const content = bytes('often', 12 * MIB)
  const digest = ground.hub().content.addBlob(content)
  ground.hub().plan('openBlob', ...Array.from({ length: 10 }, () => ({ cutAfter: MIB + 1 })))
  const reader = new Reader(await ask(ground, digest).ready)
  for (let i = 0; i < 10; i++) {
    await until(() => reader.received >= (i + 1) * (MIB + 1), 'the client has what came')
    await pause(ground, 300)
  }
  assert.ok((await reader.done).equals(content))
  assert.equal(ground.hub().served(digest), content.byteLength)
})

cacheTest('Another source goes on at once where one breaks off', async (ground) => {
  const tap = new Tap()
  ground.hub().plan('openBlob', { tap, cutAfter: CUT })
  const digest = ground.hub().content.addBlob(BIG)
  ground.hub('ghcr.io').content.addBlob(BIG)
  const reader = new Reader(await ask(ground, digest).ready)
  ask(ground, digest, source('ghcr.io')).ready.then((blob) => blob.close())
  tap.open()
  assert.ok((await reader.done).equals(BIG))
  assert.deepEqual([offsets(ground), offsets(ground, 'ghcr.io')], [[0], [CUT]])
})

cacheTest('A source that comes while a download pauses ends the pause', async (ground) => {
  ground.hub().plan('openBlob', { cutAfter: CUT })
  const digest = ground.hub().content.addBlob(BIG)
  ground.hub('ghcr.io').content.addBlob(BIG)
  const reader = new Reader(await ask(ground, digest).ready)
  await until(() => reader.received === CUT, 'the client has what came')
  await settle()
  ask(ground, digest, source('ghcr.io')).ready.then((blob) => blob.close())
  assert.ok((await reader.done).equals(BIG))
  assert.deepEqual([offsets(ground), offsets(ground, 'ghcr.io')], [[0], [CUT]])
})

cacheTest('A download whose registry is not to be asked goes on as soon as that has recovered', async (ground) => {
  const tap = new Tap()
  ground.hub().plan('openBlob', { tap, cutAfter: CUT })
  const digest = ground.hub().content.addBlob(BIG)
  const reader = new Reader(await ask(ground, digest).ready)
  ground.hub().state = { state: 'down' }
  tap.open()
  await until(() => reader.received === CUT, 'the client has what came')
  for (const ms of [100, 100]) await pause(ground, ms)
  assert.equal(offsets(ground).length, 1)
  ground.hub().state = { state: 'well' }
  assert.ok((await reader.done).equals(BIG))
})

cacheTest('A source that hardly sends anything gives way to another one', async (ground) => {
  const tap = new Tap()
  ground.hub().plan('openBlob', { tap })
  const digest = ground.hub().content.addBlob(BIG)
  ground.hub('ghcr.io').content.addBlob(BIG)
  const reader = new Reader(await ask(ground, digest).ready)
  tap.allow(100)
  ask(ground, digest, source('ghcr.io')).ready.then((blob) => blob.close())
  await settle()
  tap.allow(10)
  await ground.clock.advance(10_000)
  assert.ok((await reader.done).equals(BIG))
  assert.deepEqual(offsets(ground, 'ghcr.io'), [110])
})

cacheTest('A source that hardly sends anything goes on where there is no other', async (ground) => {
  const tap = new Tap()
  ground.hub().plan('openBlob', { tap })
  const digest = ground.hub().content.addBlob(BIG)
  const reader = new Reader(await ask(ground, digest).ready)
  for (let i = 0; i < 5; i++) {
    tap.allow(10)
    await ground.clock.advance(10_000)
  }
  tap.open()
  assert.ok((await reader.done).equals(BIG))
  assert.equal(offsets(ground).length, 1)
})

cacheTest('What has been downloaded of a blob survives a restart', async (ground) => {
  const tap = new Tap()
  ground.hub().plan('openBlob', { tap })
  const digest = ground.hub().content.addBlob(BIG)
  const before = await ground.start()
  const { blob } = await before.blobs.open(digest, source(), { onlyIfCached: false })
  const cut = new Reader(blob)
  tap.allow(2 * MIB)
  await until(() => cut.received === 2 * MIB, 'the client has what came')
  const after = await ground.restart()
  await assert.rejects(cut.done, /stopping/)
  const again = await after.blobs.open(digest, source(), { onlyIfCached: false })
  assert.ok((await readAll(again.blob)).equals(BIG))
  assert.deepEqual(offsets(ground), [0, 2 * MIB])
  assert.equal(ground.hub().served(digest), BIG.byteLength)
  await ground.stored(digest)
})

cacheTest('A download that only missed its end when the server stopped is verified without asking anybody', async (ground) => {
  const tap = new Tap()
  ground.hub().plan('openBlob', { tap })
  const digest = ground.hub().content.addBlob(BIG)
  const before = await ground.start()
  const { blob } = await before.blobs.open(digest, source(), { onlyIfCached: false })
  const cut = new Reader(blob)
  tap.allow(BIG.byteLength)
  await until(() => cut.received === BIG.byteLength - HELD_BACK_BYTES, 'all but the tail is there')
  const after = await ground.restart()
  await assert.rejects(cut.done)
  assert.ok((await readAll((await after.blobs.open(digest, source(), { onlyIfCached: false })).blob)).equals(BIG))
  assert.equal(offsets(ground).length, 1)
})

cacheTest('Bytes that rotted in the spool end a download short, and the next one starts clean', async (ground) => {
  ground.hub().plan('openBlob', { cutAfter: CUT }, ...FIVE_FAILURES)
  const digest = ground.hub().content.addBlob(BIG)
  const first = new Reader(await ask(ground, digest).ready)
  await until(() => first.received === CUT, 'the client has what came')
  await useUpTries(ground)
  await assert.rejects(first.done)
  await over(ground, digest)
  const path = join(ground.path, 'pulls', digestFileName(digest))
  const rotten = await readFile(path)
  rotten[7] = (rotten[7] ?? 0) ^ 4
  await writeFile(path, rotten)
  await assert.rejects(readAll(await ask(ground, digest).ready), isKind('corrupt'))
  await over(ground, digest)
  assert.deepEqual([await ground.files('blobs'), await ground.files('pulls')], [[], []])
  assert.ok((await readAll(await ask(ground, digest).ready)).equals(BIG))
})

cacheTest('What an earlier download noted of the length is not believed against the registry', async (ground) => {
  const digest = ground.hub().content.addBlob(BIG)
  ground.hub().plan('openBlob', { cutAfter: CUT, sizeBytes: 9 * MIB }, ...FIVE_FAILURES)
  const first = new Reader(await ask(ground, digest).ready)
  await until(() => first.received === CUT, 'the client has what came')
  await useUpTries(ground)
  await assert.rejects(first.done)
  await over(ground, digest)
  const blob = await ask(ground, digest).ready
  assert.equal(blob.sizeBytes, BIG.byteLength)
  assert.ok((await readAll(blob)).equals(BIG))
})

cacheTest('Nothing is left in the spool of a download that never began', async (ground) => {
  ground.hub().plan('openBlob', { error: 'unreachable' })
  const digest = ground.hub().content.addBlob(BIG)
  await assert.rejects(ask(ground, digest).ready, isKind('unreachable'))
  await over(ground, digest)
  assert.deepEqual(await ground.files('pulls'), [])
})

cacheTest('A small blob that is wrong at one source is fetched from the next one', async (ground) => {
  const small = bytes('small and wrong', 20 * KIB)
  const gate = new Gate()
  ground.hub().plan('openBlob', { after: gate.opened, bytes: bytes('wrong', small.byteLength) })
  const digest = ground.hub().content.addBlob(small)
  ground.hub('ghcr.io').content.addBlob(small)
  const [one, other] = [ask(ground, digest).ready, ask(ground, digest, source('ghcr.io')).ready]
  gate.open()
  for (const ready of [one, other]) assert.ok((await readAll(await ready)).equals(small))
  await ground.stored(digest)
})

cacheTest(
  'A registry that hangs takes only some of the places for downloads, and others begin theirs at once',
  async (ground) => {
    ground.hub().always('openBlob', NEVER)
    const hanging = Array.from({ length: 10 }, (_, i) => ask(ground, ground.hub().content.addBlob(bytes(`hanging ${i}`, 100 * KIB))))
    await settle()
    assert.equal(offsets(ground).length, 3)
    const digest = ground.hub('ghcr.io').content.addBlob(BIG)
    assert.ok((await readAll(await ask(ground, digest, source('ghcr.io')).ready)).equals(BIG))
    await ground.fills.stop()
    for (const { ready } of hanging) await assert.rejects(ready)
  },
  { budgets: { fillsAtOnce: 4, fillsOfOneRegistry: 3 } },
)

cacheTest(
  'Downloads that wait for registries that hang take no place from others',
  async (ground) => {
    const hung: Promise<unknown>[] = []
    for (const registry of ['one.example', 'two.example']) {
      ground.hub(registry).always('openBlob', NEVER)
      for (let i = 0; i < 2; i++) {
        const digest = ground.hub(registry).content.addBlob(bytes(`${registry} ${i}`, 100 * KIB))
        hung.push(assert.rejects(ask(ground, digest, source(registry)).ready))
      }
    }
    await settle()
    const digest = ground.hub('ghcr.io').content.addBlob(BIG)
    const { ready } = ask(ground, digest, source('ghcr.io'))
    await settle()
    assert.ok(!(await isSettled(ready)), 'all places are taken at first')
    await ground.clock.advance(3_000)
    assert.ok((await readAll(await ready)).equals(BIG))
    await ground.fills.stop()
    await Promise.all(hung)
  },
  { budgets: { fillsAtOnce: 4, fillsOfOneRegistry: 2 } },
)

cacheTest('Work in the background stops when its registry is in trouble, and goes on when it is well again', async (ground) => {
  const digest = ground.hub().content.addBlob(BIG)
  ground.hub().state = { state: 'troubled' }
  ground.fills.start(digest, source(), 'background')
  await settle()
  assert.equal(offsets(ground).length, 0)
  ground.hub().state = { state: 'well' }
  await ground.stored(digest)
})

cacheTest('A download in the background that fails with its registry is taken up again when that is well', async (ground) => {
  const digest = ground.hub().content.addBlob(BIG)
  const gate = new Gate()
  ground.hub().plan('openBlob', { after: gate.opened, error: 'unreachable' })
  ground.fills.start(digest, source(), 'background')
  await settle()
  ground.hub().state = { state: 'down' }
  gate.open()
  await settle()
  assert.equal(offsets(ground).length, 1)
  ground.hub().state = { state: 'well' }
  await ground.stored(digest)
})

cacheTest('A pull of something new from a registry that is down waits a moment for it to recover', async (ground) => {
  const digest = ground.hub().content.addBlob(BIG)
  ground.hub().state = { state: 'down' }
  const { ready } = ask(ground, digest)
  await settle()
  assert.equal(offsets(ground).length, 0)
  ground.hub().state = { state: 'well' }
  assert.ok((await readAll(await ready)).equals(BIG))
})

cacheTest('What the configuration closes keeps nothing else from being downloaded', async (ground) => {
  ground.upstreams.closed.set(source('closed.example').registry, new OciError(404, 'NAME_UNKNOWN', 'closed by the configuration'))
  ground.fills.start(ground.hub().content.addBlob(bytes('closed', 10 * KIB)), source('closed.example'), 'background')
  const digest = ground.hub().content.addBlob(BIG)
  assert.ok((await readAll(await ask(ground, digest).ready)).equals(BIG))
})

cacheTest(
  'Downloads that hardly come take no place from others, and none of the disk but what they wrote and a step',
  async (ground) => {
    const tap = new Tap()
    ground.hub().always('openBlob', { tap })
    const trickling = [0, 1].map((n) => ground.hub().content.addBlob(bytes(`trickling ${n}`, 100 * MIB)))
    const readers = await Promise.all(trickling.map(async (digest) => new Reader(await ask(ground, digest).ready)))
    assert.equal(ground.space.reservedBytes, 200 * MIB)
    const digest = ground.hub('ghcr.io').content.addBlob(BIG)
    const { ready } = ask(ground, digest, source('ghcr.io'))
    await settle()
    assert.ok(!(await isSettled(ready)), 'all places are taken at first')
    await ground.clock.advance(10_000)
    assert.ok((await readAll(await ready)).equals(BIG))
    assert.ok(ground.space.reservedBytes <= 2 * 16 * MIB)
    await ground.fills.stop()
    for (const { done } of readers) await assert.rejects(done)
  },
  { budgets: { fillsAtOnce: 2 } },
)

cacheTest(
  'A download that hardly comes and that nobody waits for ends when its place is needed, and is continued later',
  async (ground) => {
    const tap = new Tap()
    ground.hub().plan('openBlob', { tap })
    const slow = ground.hub().content.addBlob(BIG)
    const gone = new Reader(await ask(ground, slow).ready)
    tap.allow(2 * MIB)
    await until(() => gone.received === 2 * MIB, 'two MiB have come')
    const leaving = gone.done.catch(() => {})
    gone.leave()
    tap.allow(1)
    await settle()
    await ground.clock.advance(10_000)
    await ground.clock.advance(10_000)
    const digest = ground.hub('ghcr.io').content.addBlob(bytes('needs a place', 100 * KIB))
    await readAll(await ask(ground, digest, source('ghcr.io')).ready)
    await leaving
    await over(ground, slow)
    assert.ok((await readAll(await ask(ground, slow).ready)).equals(BIG))
    assert.ok((offsets(ground).at(-1) ?? 0) >= 2 * MIB)
  },
  { budgets: { fillsInAll: 1 } },
)
