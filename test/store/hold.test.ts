/** Who holds a store when somebody removes its lock, alone or with everything else: one, and never two. */
import assert from 'node:assert/strict'
import { readdir, rename, rm, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { digestFileName, digestOf } from '../../src/oci/digest.ts'
import { lockHolder } from '../../src/store/lock.ts'
import { isSystemError } from '../../src/store/space.ts'
import { storeParts } from '../../src/store/store-parts.ts'
import { ManualClock } from '../support/clock.ts'
import { FaultyDisk, type SystemCall } from '../support/faulty-disk.ts'
import { temporaryDirectory } from '../support/files.ts'
import { MemoryLog } from '../support/log.ts'
import { until } from '../support/until.ts'
import { content } from './contract.ts'

const NO_RESERVE = { bytes: 0, percent: 100 }
const WRITES: readonly SystemCall[] = ['writev', 'rename', 'unlink', 'mkdir', 'fchmod', 'ftruncate']

/** One that wants the store, as a process of its own would. */
class Holder {
  readonly clock = new ManualClock()
  readonly log = new MemoryLog()
  readonly disk = new FaultyDisk()
  readonly parts: ReturnType<typeof storeParts>
  takenOver = 0

  constructor(
    t: TestContext,
    readonly imagePath: string,
    readonly pid: number,
  ) {
    const self = { program: 'ociregistry', version: '2.0.0', pid, hostname: 'edge-7' }
    this.parts = storeParts({ imagePath, minFree: NO_RESERVE, self, clock: this.clock, log: this.log, files: this.disk.files })
    t.after(() => this.parts.hold.release())
  }

  /** @returns whether it has the store at once */
  async begin(): Promise<boolean> {
    const isHeld = await this.parts.hold.begin()
    this.parts.hold.keep(async () => {
      this.takenOver++
    })
    return isHeld
  }

  async put(bytes: Buffer): Promise<void> {
    await this.parts.store.putBlob(digestOf(bytes), bytes)
  }

  get trouble() {
    return this.parts.space.trouble
  }

  get writes(): number {
    return this.disk.calls.filter(({ call }) => WRITES.includes(call)).length
  }

  /** Lines that say that something is wrong. */
  get complaints(): string[] {
    return this.log.lines.filter(({ level }) => level === 'warn' || level === 'error').map(({ level }) => level)
  }

  /** Lets time pass until something is so. */
  async until(what: string, holds: () => boolean | Promise<boolean>, stepMs = 100): Promise<void> {
    await until(async () => {
      if (await holds()) return true
      await this.clock.advance(stepMs)
      return false
    }, what)
  }

  async holds(): Promise<boolean> {
    const holder = await lockHolder(this.imagePath).catch(() => undefined)
    return typeof holder === 'object' && holder.pid === this.pid
  }
}

function isRefused(error: unknown): boolean {
  return isSystemError(error) && error.code === 'EROFS'
}

async function has(path: string, bytes: Buffer): Promise<boolean> {
  return (await readdir(join(path, 'blobs')).catch((): string[] => [])).includes(digestFileName(digestOf(bytes)))
}

const removals: [what: string, remove: (path: string) => Promise<void>][] = [
  ['whose lock was removed', (path) => rm(join(path, 'lock'))],
  ['that was removed as a whole', (path) => rm(path, { recursive: true })],
  ['whose lock was replaced by a file', (path) => rm(join(path, 'lock')).then(() => writeFile(join(path, 'lock'), 'x'))],
]
const changes = [...removals, ['whose lock was touched', (path: string) => utimes(join(path, 'lock'), 1, 1)] as const]
for (const [what, remove] of changes) {
  test(`A store ${what} is held again within two seconds, by the one that held it, which says so once`, async (t) => {
    const imagePath = join(await temporaryDirectory(t), 'images')
    const holder = new Holder(t, imagePath, 1)
    assert.ok(await holder.begin())
    await remove(imagePath)
    assert.deepEqual(holder.complaints, [])
    await holder.clock.advance(2_000)
    await until(() => holder.holds(), 'the lock is there again')
    await until(() => holder.complaints.length > 0, 'it is said')
    assert.deepEqual(holder.complaints, ['warn'])
    assert.equal(holder.trouble, undefined)
    await holder.clock.advance(10_000)
    await holder.put(content(1000, 1))
    assert.ok(await has(imagePath, content(1000, 1)))
    assert.deepEqual(holder.complaints, ['warn'])
    assert.deepEqual(
      (await readdir(imagePath)).filter((name) => name.includes('lock')),
      ['lock'],
    )
    await holder.parts.hold.release()
    assert.equal(holder.clock.sleeping, 0)
    assert.ok(!(await readdir(imagePath)).includes('lock'))
  })

  test(`Who writes to a store ${what} takes it again first`, async (t) => {
    const imagePath = join(await temporaryDirectory(t), 'images')
    const holder = new Holder(t, imagePath, 1)
    await holder.begin()
    await remove(imagePath)
    await holder.clock.advance(100)
    await Promise.all([1, 2, 3].map((seed) => holder.put(content(1000, seed))))
    assert.ok(await holder.holds())
    for (const seed of [1, 2, 3]) assert.ok(await has(imagePath, content(1000, seed)))
    assert.deepEqual(holder.complaints, ['warn'])
  })
}

for (const [what, remove] of removals) {
  test(`A store ${what} goes to another process that comes before it is missed, and the first one writes nothing from then on`, async (t) => {
    const imagePath = join(await temporaryDirectory(t), 'images')
    const [first, second] = [new Holder(t, imagePath, 1), new Holder(t, imagePath, 2)]
    await first.begin()
    const [kept, old, late] = [content(1000, 1), content(1000, 2), content(1000, 3)]
    await first.put(kept)
    const spool = await first.parts.spools.open(digestOf(old), () => ({ sizeBytes: old.byteLength, sources: [] }))
    await spool.write([old.subarray(0, 500)], 0)
    await remove(imagePath)
    assert.ok(await second.begin())
    await first.clock.advance(100)
    const before = first.writes
    await assert.rejects(first.put(late), isRefused)
    await assert.rejects(spool.write([old.subarray(500)], 500), isRefused)
    assert.equal(first.writes, before)
    assert.equal(first.trouble?.kind, 'held')
    assert.match(
      first.trouble?.why ?? '',
      /lock of the store was removed or replaced, and the store is in use by ociregistry 2\.0\.0 \(pid 2 on edge-7\)/,
    )
    assert.equal(await first.parts.space.reserve(1), undefined)
    await second.put(late)
    await first.clock.advance(10_000)
    await second.clock.advance(10_000)
    assert.ok(await second.holds())
    assert.deepEqual(first.complaints, ['error'])
    assert.deepEqual(second.complaints, [])
    assert.equal(first.writes, before)

    await second.parts.hold.release()
    await first.until('the first one takes it over', () => first.trouble === undefined)
    assert.equal(first.takenOver, 1)
    assert.ok(await first.holds())
    await assert.rejects(spool.write([old.subarray(500)], 500), { code: 'ENOENT' }, 'that file may have become another one meanwhile')
    await spool.drop()
    await spool.release()
    await first.put(old)
    assert.ok(await has(imagePath, old))
    assert.deepEqual(first.complaints, ['error'])
  })
}

test('Who waited for a store whose lock is removed writes to it only when its last holder must have noticed', async (t) => {
  const imagePath = await temporaryDirectory(t)
  const [first, second] = [new Holder(t, imagePath, 1), new Holder(t, imagePath, 2)]
  await first.begin()
  assert.ok(!(await second.begin()))
  await rm(join(imagePath, 'lock'))
  await second.until('it has the lock', () => second.holds(), 500)
  await until(() => second.clock.sleeping === 1, 'it waits')
  await second.clock.advance(99)
  assert.equal(second.trouble?.kind, 'held')
  await assert.rejects(second.put(content(10, 1)), isRefused)
  await second.clock.advance(1)
  await until(() => second.trouble === undefined, 'it is open')
  await second.put(content(10, 1))
  await first.clock.advance(100)
  await assert.rejects(first.put(content(10, 2)), isRefused)
})

test('Of many that want a store whose lock is removed again and again, never two write', async (t) => {
  const imagePath = join(await temporaryDirectory(t), 'images')
  const holders = [1, 2, 3].map((pid) => new Holder(t, imagePath, pid))
  for (const holder of holders) await holder.begin()
  for (let round = 0; round < 12; round++) {
    await rm(round % 3 === 0 ? imagePath : join(imagePath, 'lock'), { recursive: true, force: true })
    await Promise.all(holders.map((holder) => holder.clock.advance([500, 2_000][round % 2] ?? 0)))
    await until(async () => {
      for (const holder of holders) await holder.clock.advance(100)
      const open = holders.filter(({ trouble }) => trouble === undefined)
      return open.length === 1 && (await open[0]?.holds()) === true
    }, 'one of them has it')
    for (const holder of holders) await holder.clock.advance(100)
    const bytes = content(100, round)
    const outcomes = await Promise.allSettled(holders.map((holder) => holder.put(bytes)))
    assert.equal(outcomes.filter(({ status }) => status === 'fulfilled').length, 1, `round ${round}`)
    for (const outcome of outcomes) if (outcome.status === 'rejected') assert.ok(isRefused(outcome.reason), String(outcome.reason))
  }
})

test('A store that was removed and cannot be made again is served from memory and streamed past, until it can', async (t) => {
  const parent = join(await temporaryDirectory(t), 'mount')
  const imagePath = join(parent, 'images')
  const holder = new Holder(t, imagePath, 1)
  await holder.begin()
  await rename(parent, `${parent}-away`)
  await writeFile(parent, 'a file is in the way')
  await holder.until('it is told', () => holder.trouble !== undefined, 2_000)
  assert.equal(holder.trouble?.kind, 'failing')
  await assert.rejects(holder.put(content(10, 1)), isRefused)
  await rm(parent)
  await holder.until('it is held again', () => holder.trouble === undefined)
  await holder.put(content(10, 1))
  assert.ok(await has(imagePath, content(10, 1)))
  assert.deepEqual(holder.complaints, ['error'])
})

test('Who asks for room in a store that was removed a moment ago has it made again', async (t) => {
  const imagePath = join(await temporaryDirectory(t), 'images')
  const holder = new Holder(t, imagePath, 1)
  await holder.begin()
  await rm(imagePath, { recursive: true })
  assert.ok((await holder.parts.space.reserve(1)) !== undefined)
  assert.ok(await holder.holds())
  assert.deepEqual(holder.complaints, ['warn'])
})

test('Who lets go of a store while its lock is missing leaves nothing behind', async (t) => {
  const imagePath = join(await temporaryDirectory(t), 'images')
  const holder = new Holder(t, imagePath, 1)
  await holder.begin()
  await rm(imagePath, { recursive: true })
  const looking = holder.parts.hold.look()
  await holder.parts.hold.release()
  await looking
  assert.equal(await lockHolder(imagePath), undefined)
  assert.equal(holder.clock.sleeping, 0)
  assert.deepEqual(
    (await readdir(imagePath)).filter((name) => name.includes('lock')),
    [],
  )
})
