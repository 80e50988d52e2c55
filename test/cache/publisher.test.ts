/** Records and references on their way to the store: in the right order, the newest last, and all there after a stop. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Catalog } from '../../src/cache/catalog.ts'
import { Publisher } from '../../src/cache/publisher.ts'
import { type Digest, digestOf } from '../../src/oci/digest.ts'
import { parseManifest } from '../../src/oci/manifest.ts'
import { OCI_INDEX } from '../../src/oci/media-type.ts'
import type { ManifestRecord, RefRecord } from '../../src/store/store.ts'
import { ManualClock } from '../support/clock.ts'
import { MemoryLog } from '../support/log.ts'
import { MemoryStore } from '../support/memory-store.ts'
import { Gate } from '../support/scripted-upstream.ts'
import { TestSpace } from '../support/space.ts'
import { isSettled, ref, systemError, turns } from './support.ts'

const NAME = 'quay.io/some/app:1'

/** A memory store whose writes are noted, and wait for gates. */
class SlowStore extends MemoryStore {
  readonly writes: string[] = []
  beforeRecord = async (): Promise<void> => {}
  beforeRef = async (): Promise<void> => {}

  override async putRecord(record: ManifestRecord): Promise<void> {
    this.writes.push(`record ${record.digest} begins`)
    await this.beforeRecord()
    await super.putRecord(record)
    this.writes.push(`record ${record.digest}`)
  }

  override async putRef(written: RefRecord): Promise<void> {
    await this.beforeRef()
    await super.putRef(written)
    this.writes.push(`ref ${written.reference} ${written.digest}`)
  }
}

function stand(space = new TestSpace()) {
  const [catalog, store, clock, log] = [new Catalog(), new SlowStore(), new ManualClock(), new MemoryLog()]
  const publisher = new Publisher({ catalog, store, space, clock, log, accessTimesMs: 300_000 })
  let began = 0
  /** As `Manifests` does with what an upstream sent. */
  const keep = (seed: string, reference = NAME): Digest => {
    const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, manifests: [], annotations: { seed } }))
    const digest = digestOf(bytes)
    const { registry, repository } = ref(reference)
    const times = { createdMs: clock.now(), pulledMs: clock.now() }
    const record = { digest, mediaType: OCI_INDEX, bytes, imageUrl: reference, registry, repository, ...times }
    catalog.addManifest(record, parseManifest(bytes, OCI_INDEX))
    publisher.saveRecord(record)
    catalog.setRef({ reference, digest, ...times, checkedMs: clock.now() }, ++began)
    publisher.saveRef(reference)
    return digest
  }
  return { catalog, store, space, clock, log, publisher, keep }
}

test('A record is in the store before a reference points at it', async () => {
  const { store, publisher, keep } = stand()
  const gate = new Gate()
  store.beforeRecord = () => gate.opened
  const digest = keep('a')
  await turns(5)
  assert.deepEqual(store.writes, [`record ${digest} begins`])
  gate.open()
  await publisher.stop()
  assert.deepEqual(store.writes.slice(1), [`record ${digest}`, `ref ${NAME} ${digest}`])
})

test('The bytes of a manifest are there before they are stored, and once they are forgotten they come from the store', async () => {
  const { store, publisher, keep } = stand()
  const gate = new Gate()
  store.beforeRecord = () => gate.opened
  const digest = keep('a')
  assert.equal(digestOf((await publisher.bytesOf(digest)) ?? Buffer.alloc(0)), digest)
  gate.open()
  await publisher.stop()
  const { publisher: other } = { publisher: new Publisher({ ...stand(), store, accessTimesMs: 1 }) }
  assert.equal(digestOf((await other.bytesOf(digest)) ?? Buffer.alloc(0)), digest)
  store.records.clear()
  assert.ok((await other.bytesOf(digest)) !== undefined, 'it is remembered')
  assert.equal(await other.bytesOf(digestOf(Buffer.from('unknown'))), undefined)
})

test('A tag that moves while it is being written is written again', async () => {
  const { store, publisher, keep } = stand()
  const gate = new Gate()
  store.beforeRef = () => gate.opened
  const first = keep('a')
  await turns(5)
  const second = keep('b')
  const third = keep('c')
  gate.open()
  await publisher.stop()
  assert.equal(store.refs.get(NAME)?.digest, third)
  assert.deepEqual(
    store.writes.filter((write) => write.startsWith('ref')),
    [`ref ${NAME} ${first}`, `ref ${NAME} ${third}`],
  )
  assert.ok(store.records.has(second), 'what it pointed at in between is stored all the same')
})

/** Lets a disk fail as a whole until the test mends it, as the store's space does. */
class FailingSpace extends TestSpace {
  override failed(error: unknown): void {
    super.failed(error)
    this.trouble = { kind: 'full', why: 'scripted' }
  }
}

test('A reference never points at a record that could not be stored', async () => {
  const { store, catalog, publisher, keep } = stand()
  const gates = [new Gate(), new Gate()]
  let record = 0
  store.beforeRecord = async () => {
    const now = record++
    await gates[now]?.opened
    if (now !== 1) throw systemError('ENOSPC')
  }
  const unstored = keep('a', 'quay.io/some/app:unstored')
  const first = keep('a')
  await turns(5)
  const kept = keep('b')
  gates[0]?.open()
  await turns(5)
  assert.deepEqual([...store.refs], [])
  gates[1]?.open()
  await publisher.stop()
  assert.equal(first, unstored)
  assert.deepEqual([...store.refs.keys()], [NAME])
  assert.equal(store.refs.get(NAME)?.digest, kept)
  assert.ok(catalog.manifest(unstored) !== undefined, 'it is served all the same')
  assert.ok(publisher.bytesAtHand(unstored) !== undefined)
})

test('What could not be stored is served, and stored with its references when the store takes writes again', async () => {
  const space = new FailingSpace()
  const { store, publisher, keep, log } = stand(space)
  publisher.start()
  store.beforeRecord = async () => {
    throw systemError('ENOSPC')
  }
  const manifests = Array.from({ length: 50 }, (_, i) => keep(`${i}`, `quay.io/some/app:${i}`))
  await turns(20)
  assert.deepEqual([store.records.size, store.refs.size], [0, 0])
  for (const digest of manifests) assert.ok(publisher.bytesAtHand(digest) !== undefined)
  assert.ok(space.failures.length <= 8, 'once the disk is known to be full nobody tries it again')
  assert.deepEqual(
    log.lines.filter(({ level }) => level === 'error' || level === 'warn'),
    [],
    'the space tells of it, once',
  )
  store.beforeRecord = async () => {}
  publisher.flush()
  await turns(20)
  assert.equal(store.records.size, 0, 'there is still no room')
  space.trouble = undefined
  publisher.flush()
  await publisher.stop()
  assert.deepEqual([store.records.size, store.refs.size], [50, 50])
  assert.equal(space.reservedBytes, 0)
})

test('A reference that could not be stored is still served, and stored with the access times', async () => {
  const { store, catalog, clock, publisher, keep } = stand()
  publisher.start()
  let fail = true
  store.beforeRef = async () => {
    if (fail) throw systemError('EIO')
  }
  const digest = keep('a')
  await turns(10)
  assert.equal(catalog.ref(NAME)?.digest, digest)
  assert.deepEqual([...store.refs], [])
  fail = false
  await clock.advance(300_000)
  await turns(10)
  assert.equal(store.refs.get(NAME)?.digest, digest)
  await publisher.stop()
})

test('A failure that is no trouble of the whole store is logged, with what could not be stored', async () => {
  const { store, log, publisher, keep } = stand()
  store.beforeRecord = async () => {
    throw new TypeError('a bug')
  }
  const digest = keep('a')
  await turns(10)
  const [line] = log.lines
  assert.deepEqual([line?.level, line?.fields.reference, line?.fields.digest], ['error', NAME, digest])
  await publisher.stop()
})

test('Of manifests that cannot be stored no more is kept than a bounded memory holds; the catalog forgets the oldest', async () => {
  const { catalog, space, publisher, keep } = stand()
  space.trouble = { kind: 'full', why: 'scripted' }
  const large = 'x'.repeat(3 * 1024 * 1024)
  const manifests: Digest[] = []
  for (let i = 0; i < 12; i++) {
    manifests.push(keep(`${i}${large}`, `quay.io/some/app:${i}`))
    await turns(5)
  }
  const known = manifests.filter((digest) => catalog.manifest(digest) !== undefined)
  assert.deepEqual(known, manifests.slice(-5), '16 MiB of them')
  for (const digest of known) assert.ok(publisher.bytesAtHand(digest) !== undefined)
  assert.equal(publisher.bytesAtHand(manifests[0] as Digest), undefined)
  assert.equal(catalog.ref('quay.io/some/app:0'), undefined)
  await publisher.stop()
})

test('A stop says how many manifests are lost because they could not be stored', async () => {
  const { space, log, publisher, keep } = stand()
  space.trouble = { kind: 'held', why: 'scripted' }
  keep('a')
  keep('b', 'quay.io/some/app:2')
  await publisher.stop()
  assert.deepEqual(
    log.lines.map(({ level, fields }) => [level, fields.manifests]),
    [['warn', 2]],
  )
})

test('Access times are noted in memory and written now and then, many at once', async () => {
  const { store, clock, publisher, keep } = stand()
  publisher.start()
  const digest = keep('a')
  keep('a', 'quay.io/some/app:2')
  await turns(5)
  store.writes.length = 0
  await clock.advance(1000)
  for (let i = 0; i < 1000; i++) publisher.touch(digest)
  await clock.advance(298_000)
  assert.deepEqual(store.writes, [])
  await clock.advance(1000)
  await turns(5)
  assert.deepEqual(store.writes.sort(), [`ref ${NAME} ${digest}`, `ref quay.io/some/app:2 ${digest}`])
  assert.equal(store.refs.get(NAME)?.pulledMs, clock.startedAt + 1000)
  await clock.advance(600_000)
  assert.equal(store.writes.length, 2, 'what nobody asked for is not written')
  await publisher.stop()
})

test('A stop writes the access times that are left, and resolves when everything is stored', async () => {
  const { store, clock, publisher, keep } = stand()
  publisher.start()
  const digest = keep('a')
  await turns(5)
  await clock.advance(1000)
  publisher.touch(digest)
  const gate = new Gate()
  store.beforeRecord = () => gate.opened
  const late = keep('late', 'quay.io/some/app:late')
  const stopped = publisher.stop()
  assert.ok(!(await isSettled(stopped)))
  gate.open()
  await stopped
  assert.equal(store.refs.get(NAME)?.pulledMs, clock.startedAt + 1000)
  assert.equal(store.refs.get('quay.io/some/app:late')?.digest, late)
  assert.equal(clock.sleeping, 0)
})

test('At most eight writes are on their way at once', async () => {
  const { store, publisher, keep } = stand()
  const gate = new Gate()
  store.beforeRecord = () => gate.opened
  for (let i = 0; i < 50; i++) keep(`${i}`, `quay.io/some/app:${i}`)
  await turns(5)
  assert.equal(store.writes.length, 8)
  gate.open()
  await publisher.stop()
  assert.equal(store.records.size, 50)
  assert.equal(store.refs.size, 50)
})
