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

function stand() {
  const [catalog, store, clock, log] = [new Catalog(), new SlowStore(), new ManualClock(), new MemoryLog()]
  const publisher = new Publisher({ catalog, store, clock, log, accessTimesMs: 300_000 })
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
  return { catalog, store, clock, log, publisher, keep }
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

test('A reference never points at a record that could not be stored', async () => {
  const { store, catalog, log, publisher, keep } = stand()
  const gates = [new Gate(), new Gate()]
  let record = 0
  store.beforeRecord = async () => {
    const now = record++
    await gates[now]?.opened
    if (now === 0) throw systemError('ENOSPC')
  }
  const lost = keep('a')
  await turns(5)
  const kept = keep('b')
  gates[0]?.open()
  await turns(5)
  assert.equal(catalog.manifest(lost), undefined)
  assert.equal(await publisher.bytesOf(lost), undefined)
  assert.deepEqual([...store.refs], [])
  gates[1]?.open()
  await publisher.stop()
  assert.equal(store.refs.get(NAME)?.digest, kept)
  assert.equal(log.lines.filter(({ level }) => level === 'error').length, 1)
})

test('A reference that could not be stored is logged and still served', async () => {
  const { store, catalog, log, publisher, keep } = stand()
  store.beforeRef = async () => {
    throw systemError('ENOSPC')
  }
  const digest = keep('a')
  await publisher.stop()
  assert.equal(catalog.ref(NAME)?.digest, digest)
  assert.ok(log.lines.some(({ level, fields }) => level === 'error' && fields.reference === NAME))
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
