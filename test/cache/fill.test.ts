/** One download that many clients share: who gets which bytes when, and what a source's trouble does. */
import assert from 'node:assert/strict'
import { HELD_BACK_BYTES } from '../../src/cache/progress.ts'
import type { Digest } from '../../src/oci/digest.ts'
import { digestFileName, digestOf } from '../../src/oci/digest.ts'
import { OciError } from '../../src/oci/error.ts'
import type { ReadableBlob } from '../../src/store/store.ts'
import { Gate, NEVER, Tap } from '../support/scripted-upstream.ts'
import { until } from '../support/until.ts'
import { ask, bytes, cacheTest, type Ground, isKind, isSettled, KIB, MIB, over, Reader, readAll, settle, source } from './support.ts'

const BIG = bytes('big', 2 * MIB + 12_345)
const SMALL = bytes('small', 64 * KIB)

cacheTest(
  'Twenty clients that join share one download and each gets every byte, though one reads slowly and one leaves',
  async (ground) => {
    const digest = ground.hub().content.addBlob(BIG)
    const blobs = await Promise.all(Array.from({ length: 20 }, () => ask(ground, digest).ready))
    const [slow, leaving, ...others] = blobs.map((blob, i) => new Reader(blob, i < 2))
    assert.ok(slow !== undefined && leaving !== undefined)
    for (const reader of others) assert.ok((await reader.done).equals(BIG))
    await until(() => leaving.received > 0, 'the one that leaves has begun')
    leaving.leave()
    assert.ok((await leaving.done).byteLength < BIG.byteLength)
    await ground.stored(digest)
    await over(ground, digest)
    assert.ok(slow.received < BIG.byteLength, 'the slow one is still reading when the blob is published')
    while (!(await isSettled(slow.done))) slow.step()
    assert.ok((await slow.done).equals(BIG))
    assert.equal(ground.hub().callsOf('openBlob').length, 1)
    assert.equal(ground.hub().served(digest), BIG.byteLength)
  },
)

cacheTest('The last client leaving does not stop a download', async (ground) => {
  const tap = new Tap()
  ground.hub().plan('openBlob', { tap })
  const digest = ground.hub().content.addBlob(BIG)
  const { ready } = ask(ground, digest)
  const reader = new Reader(await ready, true)
  tap.allow(100 * KIB)
  await until(() => reader.received > 0, 'the client has its first bytes')
  reader.leave()
  await reader.done
  tap.open()
  await ground.stored(digest)
})

cacheTest('Every client has its own pace: one that reads nothing delays nobody', async (ground) => {
  const tap = new Tap()
  ground.hub().plan('openBlob', { tap })
  const digest = ground.hub().content.addBlob(BIG)
  const [a, b, c] = await Promise.all([ask(ground, digest).ready, ask(ground, digest).ready, ask(ground, digest).ready])
  const [fast, slow] = [new Reader(a as ReadableBlob), new Reader(b as ReadableBlob, true)]
  tap.allow(MIB)
  await until(() => fast.received === MIB, 'the fast one has everything that came')
  assert.ok(slow.received <= 64 * KIB)
  tap.open()
  assert.ok((await fast.done).equals(BIG))
  const late = new Reader(c as ReadableBlob)
  assert.ok((await late.done).equals(BIG))
  slow.leave()
  await slow.done
})

cacheTest('A range far ahead of a download gets its headers at once and its bytes when they come', async (ground) => {
  const tap = new Tap()
  ground.hub().plan('openBlob', { tap })
  const digest = ground.hub().content.addBlob(BIG)
  const blob = await ask(ground, digest).ready
  assert.equal(blob.sizeBytes, BIG.byteLength)
  const reader = new Reader(blob, false, MIB, MIB + 1000)
  tap.allow(MIB)
  await settle()
  assert.equal(reader.received, 0)
  tap.allow(10_000)
  assert.ok((await reader.done).equals(BIG.subarray(MIB, MIB + 1000)), 'a closed range completes while the download runs')
  assert.ok(!(await ground.files('blobs')).includes(digestFileName(digest)))
  tap.open()
  await ground.stored(digest)
})

cacheTest('The last 64 KiB of a download are held back until its digest is verified', async (ground) => {
  const tap = new Tap()
  ground.hub().plan('openBlob', { tap })
  const digest = ground.hub().content.addBlob(BIG)
  const reader = new Reader(await ask(ground, digest).ready)
  tap.allow(BIG.byteLength) // every byte, but not the end of the body
  await until(() => reader.received === BIG.byteLength - HELD_BACK_BYTES, 'everything but the tail is there')
  await settle()
  assert.equal(reader.received, BIG.byteLength - HELD_BACK_BYTES)
  tap.open()
  assert.ok((await reader.done).equals(BIG))
})

for (const size of [1, 64 * KIB]) {
  cacheTest(`A blob of ${size} byte(s) sends no headers before it is verified`, async (ground) => {
    const content = bytes('little', size)
    const tap = new Tap()
    ground.hub().plan('openBlob', { tap })
    const digest = ground.hub().content.addBlob(content)
    const { ready } = ask(ground, digest)
    tap.allow(size)
    await settle()
    assert.ok(!(await isSettled(ready)))
    tap.open()
    assert.ok((await readAll(await ready)).equals(content))
  })
}

cacheTest('A small blob with wrong bytes is an error, never an answer, and the next request starts clean', async (ground) => {
  const digest = ground.hub().content.addBlob(SMALL)
  ground.hub().plan('openBlob', { bytes: bytes('wrong', SMALL.byteLength) })
  const all = await Promise.allSettled([ask(ground, digest).ready, ask(ground, digest).ready])
  for (const one of all) assert.ok(one.status === 'rejected' && isKind('corrupt')(one.reason))
  await over(ground, digest)
  assert.deepEqual([await ground.files('blobs'), await ground.files('pulls')], [[], []])
  assert.ok((await readAll(await ask(ground, digest).ready)).equals(SMALL))
})

cacheTest(
  'A big blob with wrong bytes ends short of its last 64 KiB for every client, and the next request starts clean',
  async (ground) => {
    const wrong = Buffer.from(BIG)
    wrong[5] = (wrong[5] ?? 0) ^ 1
    const digest = ground.hub().content.addBlob(BIG)
    ground.hub().plan('openBlob', { bytes: wrong })
    const readers = (await Promise.all([ask(ground, digest).ready, ask(ground, digest).ready])).map((blob) => new Reader(blob))
    for (const reader of readers) {
      await assert.rejects(reader.done, isKind('corrupt'))
      assert.ok(reader.received <= BIG.byteLength - HELD_BACK_BYTES)
    }
    await over(ground, digest)
    assert.deepEqual([await ground.files('blobs'), await ground.files('pulls')], [[], []])
    assert.ok(ground.log.lines.some((line) => line.level === 'error' && line.fields.digest === digest))
    assert.ok((await readAll(await ask(ground, digest).ready)).equals(BIG))
  },
)

cacheTest('The empty blob is a blob like any other', async (ground) => {
  const digest = ground.hub().content.addBlob('')
  const blob = await ask(ground, digest).ready
  assert.equal(blob.sizeBytes, 0)
  assert.equal((await readAll(blob)).byteLength, 0)
  await ground.stored(digest)
})

for (const content of [BIG, SMALL, Buffer.alloc(0)]) {
  cacheTest(`A blob of ${content.byteLength} bytes whose size the registry does not say is served once it is complete`, async (ground) => {
    const tap = new Tap()
    ground.hub().plan('openBlob', { sizeBytes: null, tap })
    const digest = ground.hub().content.addBlob(content)
    const { ready } = ask(ground, digest)
    tap.allow(content.byteLength)
    await settle()
    assert.ok(!(await isSettled(ready)), 'nobody knows how long it is')
    tap.open()
    const blob = await ready
    assert.equal(blob.sizeBytes, content.byteLength)
    assert.ok((await readAll(blob)).equals(content))
  })
}

cacheTest('A blob named by sha512 is verified by sha512', async (ground) => {
  const digest = digestOf(BIG, 'sha512')
  ground.hub().plan('openBlob', { bytes: BIG })
  assert.ok((await readAll(await ask(ground, digest).ready)).equals(BIG))
  await ground.stored(digest)
})

cacheTest('A blob whose size is not what its manifest says is refused before its first byte', async (ground) => {
  const digest = ground.hub().content.addBlob(BIG)
  listBlob(ground, digest, BIG.byteLength + 1)
  await assert.rejects(ask(ground, digest).ready, isKind('corrupt'))
  assert.equal(ground.hub().served(digest), 0)
  await over(ground, digest)
})

cacheTest('The size that a manifest says is enough for headers where the registry says none', async (ground) => {
  const tap = new Tap()
  ground.hub().plan('openBlob', { sizeBytes: null, tap })
  const digest = ground.hub().content.addBlob(BIG)
  listBlob(ground, digest, BIG.byteLength)
  const blob = await ask(ground, digest).ready
  assert.equal(blob.sizeBytes, BIG.byteLength)
  tap.open()
  assert.ok((await readAll(blob)).equals(BIG))
})

/** Puts a manifest that lists the blob into the catalog. */
function listBlob(ground: Ground, digest: Digest, sizeBytes: number): void {
  const { registry, repository } = source()
  const { manifest, digest: named } = { manifest: Buffer.from(`{"of":"${digest}"}`), digest: digestOf(Buffer.from(digest)) }
  const record = { digest: named, mediaType: '', bytes: manifest, imageUrl: '', registry, repository, createdMs: 0, pulledMs: 0 }
  const blobs = [{ mediaType: '', digest, sizeBytes, foreign: false }]
  ground.catalog.addManifest(record, { kind: 'image', mediaType: '', blobs, manifests: [] })
}

cacheTest('A body longer than its blob is an error, and nothing of it is stored', async (ground) => {
  const digest = ground.hub().content.addBlob(BIG)
  ground.hub().plan('openBlob', { bytes: Buffer.concat([BIG, Buffer.from('more')]), sizeBytes: BIG.byteLength })
  await assert.rejects(new Reader(await ask(ground, digest).ready).done, isKind('corrupt'))
  await over(ground, digest)
  assert.deepEqual(await ground.files('blobs'), [])
})

cacheTest('After a body that was too long the next source serves the blob all the same', async (ground) => {
  const tap = new Tap()
  ground.hub('a.example').plan('openBlob', { bytes: Buffer.concat([BIG, bytes('more', 100 * KIB)]), sizeBytes: BIG.byteLength, tap })
  const digest = ground.hub('b.example').content.addBlob(BIG)
  const first = ask(ground, digest, source('a.example'))
  const second = ask(ground, digest, source('b.example'))
  const reader = new Reader(await first.ready)
  tap.allow(MIB)
  await until(() => reader.received === MIB, 'the first source has begun')
  tap.open()
  assert.ok((await reader.done).equals(BIG))
  assert.ok((await readAll(await second.ready)).equals(BIG))
})

for (const [trouble, plan] of [
  ['ends too early', { endAfter: MIB }],
  ['is cut', { cutAfter: MIB }],
  ['stalls', { cutAfter: MIB, cutBy: 'timeout' }],
  ['ends in an answer of the wrong kind', { cutAfter: MIB, cutBy: 'corrupt' }],
] as const) {
  cacheTest(`A download that ${trouble} goes on from the next source, and no byte is downloaded again`, async (ground) => {
    const [a, b] = [ground.hub('a.example'), ground.hub('b.example')]
    const digest = a.content.addBlob(BIG)
    b.content.addBlob(BIG)
    a.plan('openBlob', plan)
    const first = ask(ground, digest, source('a.example'))
    const second = ask(ground, digest, source('b.example'))
    assert.ok((await readAll(await first.ready)).equals(BIG))
    assert.ok((await readAll(await second.ready)).equals(BIG))
    assert.deepEqual(
      b.callsOf('openBlob').map(({ offset }) => offset),
      [MIB],
    )
    assert.equal(a.served(digest) + b.served(digest), BIG.byteLength)
    await ground.stored(digest)
  })
}

cacheTest('A source that ignores the offset asked for is read from its start, and what is there already is skipped', async (ground) => {
  const [a, b] = [ground.hub('a.example'), ground.hub('b.example')]
  const digest = a.content.addBlob(BIG)
  b.content.addBlob(BIG)
  a.plan('openBlob', { cutAfter: MIB + 7 })
  b.plan('openBlob', { ignoreOffset: true })
  const asked = [ask(ground, digest, source('a.example')), ask(ground, digest, source('b.example'))]
  for (const { ready } of asked) assert.ok((await readAll(await ready)).equals(BIG))
  assert.equal(b.served(digest), BIG.byteLength)
  await ground.stored(digest)
})

cacheTest('A download of which every byte came is complete, though its connection broke before it said so', async (ground) => {
  const digest = ground.hub().content.addBlob(BIG)
  ground.hub().plan('openBlob', { cutAfter: BIG.byteLength })
  assert.ok((await readAll(await ask(ground, digest).ready)).equals(BIG))
  await ground.stored(digest)
})

for (const kind of ['notFound', 'denied'] as const) {
  cacheTest(`A source that says ${kind} fails those that brought no other, and nobody else`, async (ground) => {
    const digest = ground.hub('b.example').content.addBlob(BIG)
    ground.hub('a.example').always('openBlob', { error: kind })
    const refused = [ask(ground, digest, source('a.example')), ask(ground, digest, source('a.example'))]
    const served = ask(ground, digest, source('b.example'))
    for (const { ready } of refused) await assert.rejects(ready, isKind(kind))
    assert.ok((await readAll(await served.ready)).equals(BIG))
  })
}

for (const kind of ['limited', 'unreachable', 'dns', 'tls', 'failed', 'timeout', 'circuitOpen', 'refusedAddress', 'corrupt'] as const) {
  cacheTest(`A source that fails (${kind}) gives way to the next one for everybody`, async (ground) => {
    const digest = ground.hub('b.example').content.addBlob(BIG)
    ground.hub('a.example').always('openBlob', { error: kind })
    const asked = [ask(ground, digest, source('a.example')), ask(ground, digest, source('b.example'))]
    for (const { ready } of asked) assert.ok((await readAll(await ready)).equals(BIG))
  })
  cacheTest(`A source that fails (${kind}) is told as it is where there is no other`, async (ground) => {
    const digest = digestOf(BIG)
    ground.hub().always('openBlob', { error: kind })
    await assert.rejects(ask(ground, digest).ready, isKind(kind))
    await over(ground, digest)
  })
}

cacheTest('Where one source fails and another refuses, each client is told what its own source said', async (ground) => {
  ground.hub('a.example').always('openBlob', { error: 'failed' })
  ground.hub('b.example').always('openBlob', { error: 'notFound' })
  const failed = ask(ground, digestOf(BIG), source('a.example'))
  const refused = ask(ground, digestOf(BIG), source('b.example'))
  await assert.rejects(failed.ready, isKind('failed'))
  await assert.rejects(refused.ready, isKind('notFound'))
})

cacheTest('A registry that the configuration closes does not harm the download of others', async (ground) => {
  const [a, b] = [ground.hub('a.example'), ground.hub('b.example')]
  const digest = a.content.addBlob(BIG)
  b.content.addBlob(BIG)
  a.plan('openBlob', { cutAfter: MIB })
  ground.upstreams.closed.set(source('closed.example').registry, new OciError(404, 'NAME_UNKNOWN', 'closed by the configuration'))
  const asked = ['a.example', 'closed.example', 'b.example'].map((name) => ask(ground, digest, source(name)))
  for (const { ready } of asked) assert.ok((await readAll(await ready)).equals(BIG))
})

cacheTest('A source that is slow to answer gives way to one that waits', async (ground) => {
  const [a, b] = [ground.hub('a.example'), ground.hub('b.example')]
  const digest = b.content.addBlob(BIG)
  a.always('openBlob', NEVER)
  const asked = [ask(ground, digest, source('a.example')), ask(ground, digest, source('b.example'))]
  await until(() => a.calls.length === 1, 'the first is asked')
  await ground.clock.advance(2999)
  await settle()
  assert.equal(b.calls.length, 0)
  await ground.clock.advance(1)
  for (const { ready } of asked) assert.ok((await readAll(await ready)).equals(BIG))
})

cacheTest('A source that is slow to answer gives way to one that comes later, at once', async (ground) => {
  const [a, b] = [ground.hub('a.example'), ground.hub('b.example')]
  const digest = b.content.addBlob(BIG)
  a.always('openBlob', NEVER)
  const first = ask(ground, digest, source('a.example'))
  await until(() => a.calls.length === 1, 'the first is asked')
  await ground.clock.advance(10_000)
  await settle()
  assert.ok(!(await isSettled(first.ready)))
  const second = ask(ground, digest, source('b.example'))
  for (const { ready } of [first, second]) assert.ok((await readAll(await ready)).equals(BIG))
  assert.equal(a.calls.length, 1)
})

cacheTest('A source that was only slow is asked again when the others fail', async (ground) => {
  const [a, b] = [ground.hub('a.example'), ground.hub('b.example')]
  const digest = a.content.addBlob(BIG)
  a.plan('openBlob', NEVER)
  b.always('openBlob', { error: 'failed' })
  const asked = [ask(ground, digest, source('a.example')), ask(ground, digest, source('b.example'))]
  await until(() => a.calls.length === 1, 'the first is asked')
  await ground.clock.advance(3000)
  for (const { ready } of asked) assert.ok((await readAll(await ready)).equals(BIG))
})

cacheTest('A slow answer that comes after its source was given up is destroyed', async (ground) => {
  const [a, b] = [ground.hub('a.example'), ground.hub('b.example')]
  const digest = b.content.addBlob(BIG)
  const gate = new Gate()
  a.always('openBlob', { after: gate.opened, deaf: true, bytes: BIG })
  const asked = [ask(ground, digest, source('a.example')), ask(ground, digest, source('b.example'))]
  await until(() => a.calls.length === 1, 'the first is asked')
  await ground.clock.advance(3000)
  for (const { ready } of asked) assert.ok((await readAll(await ready)).equals(BIG))
  gate.open()
  await settle()
  assert.equal(ground.upstreams.openBodies, 0)
})

cacheTest('Two sources that both hang are each asked once, not in turns for ever', async (ground) => {
  const [a, b] = [ground.hub('a.example'), ground.hub('b.example')]
  const digest = digestOf(BIG)
  a.always('openBlob', NEVER)
  b.always('openBlob', NEVER)
  const asked = [ask(ground, digest, source('a.example')), ask(ground, digest, source('b.example'))]
  await until(() => a.calls.length === 1, 'the first is asked')
  for (let second = 0; second < 120; second++) await ground.clock.advance(1000)
  for (const { ready } of asked) await assert.rejects(ready, isKind('timeout'))
  assert.deepEqual([a.calls.length, b.calls.length], [1, 1])
})

cacheTest('A client waits 20 s for headers, no longer, and the download goes on without it', async (ground) => {
  const tap = new Tap()
  ground.hub().plan('openBlob', { sizeBytes: null, tap })
  const digest = ground.hub().content.addBlob(BIG)
  const { ready } = ask(ground, digest)
  tap.allow(MIB)
  await settle()
  await ground.clock.advance(19_999)
  assert.ok(!(await isSettled(ready)))
  await ground.clock.advance(1)
  await assert.rejects(ready, isKind('timeout'))
  tap.open()
  await ground.stored(digest)
  assert.equal(ground.hub().served(digest), BIG.byteLength)
})
