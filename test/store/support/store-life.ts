/**
 * A store that is used at random, and what may be found in it afterwards: under each name the state that was acknowledged last, or one that was on its
 * way when the power went. What was deleted may come back; what was quarantined may not.
 */
import assert from 'node:assert/strict'
import { type Digest, digestFileName, digestOf } from '../../../src/oci/digest.ts'
import { TEMPORARY_PREFIX } from '../../../src/store/atomic-write.ts'
import { DirectoryStore } from '../../../src/store/directory-store.ts'
import { type FileSpool, SpoolDirectory, type SpoolNote } from '../../../src/store/spool.ts'
import { bytesOf, PoisonedBuffers } from '../../support/buffers.ts'
import { ManualClock } from '../../support/clock.ts'
import { MemoryLog } from '../../support/log.ts'
import type { PageCache } from '../../support/page-cache.ts'
import type { Random } from '../../support/property.ts'
import { blobBytes, content, identityOf, recordOf, refOf } from '../contract.ts'

const PATH = '/var/lib/images'
const BLOBS = Array.from({ length: 5 }, (_, seed) => content(300 + seed * 700, seed))
const RECORDS = Array.from({ length: 3 }, (_, index) => recordOf(`quay.io/team/app:${index}`))
const REFERENCES = ['quay.io/team/app:stable', 'quay.io/team/app:latest']
const STEPS = 12
const WORKERS = 2
/** As small as the blobs here, so that all that happens in long downloads happens. */
const PACE = { noteAfterBytes: 200, syncEveryBytes: 800 }
const ABOUT: SpoolNote = { sizeBytes: undefined, sources: [] }

type Blob = 'right' | 'wrong' | 'absent'
type Record = 'right' | 'absent'
/** How far a spool is continued at least: after a power loss, and after the process was killed. */
type Left = { readonly durableBytes: number; readonly writtenBytes: number }

/** What may be found under one name. */
class Possible<T> {
  #values: readonly T[]

  constructor(first: T) {
    this.#values = [first]
  }

  set(...values: readonly T[]): void {
    this.#values = values
  }

  add(...values: readonly T[]): void {
    this.#values = [...this.#values, ...values]
  }

  check(what: string, found: T): void {
    assert.ok(this.#values.includes(found), `${what} is ${found}, and not ${this.#values.join(' or ')}`)
    this.#values = [found]
  }
}

export class StoreLife {
  readonly #random: Random
  readonly #blobs = new Map(BLOBS.map((bytes) => [digestOf(bytes), new Possible<Blob>('absent')]))
  readonly #records = new Map(RECORDS.map(({ digest }) => [digest, new Possible<Record>('absent')]))
  readonly #refs = new Map(REFERENCES.map((reference) => [reference, new Possible<Digest | undefined>(undefined)]))
  readonly #left = new Map<Digest, Left>()
  /** Verified once, and changed behind everybody's back. */
  readonly #rotten = new Set<Digest>()

  constructor(random: Random) {
    this.#random = random
  }

  /** Uses a store on `disk`, for some steps or until the power goes. */
  async live(disk: PageCache, boot: string): Promise<void> {
    await unlessOff(disk, async () => {
      const session = await Session.open(disk, boot)
      await session.store.removeLeftovers()
      const inUse = new Set<unknown>()
      await Promise.all(Array.from({ length: WORKERS }, () => this.#work(session, inUse)))
    })
  }

  /** What is there now is what will be there from now on. @throws AssertionError */
  async check(disk: PageCache, boot: string, how: 'power loss' | 'kill'): Promise<void> {
    const { store, spools, log } = await Session.open(disk, boot)
    await store.removeLeftovers()
    for (const [digest, possible] of this.#blobs) possible.check(`blob ${digest}`, await this.#blobState(store, digest))
    for (const [digest, possible] of this.#records) {
      const record = await store.getRecord(digest)
      possible.check(`record ${digest}`, record === undefined ? 'absent' : 'right')
      if (record !== undefined)
        assert.deepEqual(
          record,
          RECORDS.find((known) => known.digest === digest),
        )
    }
    for (const [reference, possible] of this.#refs) possible.check(reference, (await store.getRef(reference))?.digest)
    assert.deepEqual(
      log.lines.filter(({ level }) => level === 'error'),
      [],
      'nothing is damaged',
    )
    for (const bytes of BLOBS) await this.#checkSpool(spools, bytes, how)
    for (const directory of ['blobs', 'img', 'fat', 'refs', 'pulls'])
      assert.deepEqual(
        (await disk.readdir(`${PATH}/${directory}`)).filter((name) => name.startsWith(TEMPORARY_PREFIX)),
        [],
      )
  }

  async #work(session: Session, inUse: Set<unknown>): Promise<void> {
    for (let step = 0; step < STEPS && session.disk.hasPower; step++) {
      const bytes = this.#random.pick(BLOBS)
      const record = this.#random.pick(RECORDS)
      const reference = this.#random.pick(REFERENCES)
      const digest = digestOf(bytes)
      const [subject, act] = this.#random.pick<readonly [unknown, () => Promise<void>]>([
        [digest, () => this.#fill(session, bytes)],
        [digest, () => this.#fill(session, bytes)],
        [digest, () => this.#put(session, bytes)],
        [digest, () => this.#plantAndVerify(session, bytes)],
        [digest, () => this.#rotAndQuarantine(session, bytes)],
        [digest, () => this.#delete(session, this.#blob(digest), 'absent', () => session.store.deleteBlob(digest))],
        [REFERENCES, () => this.#pull(session, reference, record.digest)],
        [REFERENCES, () => this.#pull(session, reference, record.digest)],
        [REFERENCES, () => this.#deleteImage(session, reference, record.digest)],
      ])
      if (inUse.has(subject)) continue
      inUse.add(subject)
      await unlessOff(session.disk, act)
      inUse.delete(subject)
    }
  }

  /** A download, or a part of one. */
  async #fill({ disk, store, spools }: Session, bytes: Buffer): Promise<void> {
    const random = this.#random
    const digest = digestOf(bytes)
    const spool = await spools.open(digest, () => ABOUT)
    await this.#checkLeft(spool, bytes, this.#left.get(digest)?.writtenBytes ?? 0)
    let at = spool.leftBytes
    const end = random.pick([bytes.byteLength, random.between(at, bytes.byteLength)])
    const { durableBytes = 0 } = this.#left.get(digest) ?? {}
    while (at < end) {
      const chunk = bytes.subarray(at, Math.min(end, at + random.between(1, 900)))
      await spool.write([chunk], at)
      assertOn(disk)
      at += chunk.byteLength
      if (at - spool.leftBytes >= PACE.noteAfterBytes) this.#left.set(digest, { durableBytes, writtenBytes: at })
    }
    const isWhole = at === bytes.byteLength
    const last = random.pick(['commit', 'commit', 'keep', 'drop'] as const)
    if (last === 'keep' || (last === 'commit' && !isWhole)) {
      await spool.keep()
      assertOn(disk)
      this.#left.set(digest, { durableBytes: at, writtenBytes: at })
    } else if (last === 'drop') {
      this.#left.delete(digest)
      await spool.drop()
    } else {
      this.#left.delete(digest)
      await this.#change(disk, this.#blob(digest), 'right', () => spool.commit(store, digest))
      this.#rotten.delete(digest)
    }
    await spool.release()
  }

  async #put({ disk, store }: Session, bytes: Buffer): Promise<void> {
    const digest = digestOf(bytes)
    await this.#change(disk, this.#blob(digest), 'right', () => store.putBlob(digest, bytes))
    this.#rotten.delete(digest)
  }

  /** A blob that an older program left, right or wrong, is looked at when it is asked for. */
  async #plantAndVerify({ disk, store }: Session, bytes: Buffer): Promise<void> {
    const digest = digestOf(bytes)
    if ((await store.openBlob(digest)) !== undefined) return
    this.#blob(digest).add('right', 'wrong', 'absent')
    const fd = await disk.open(`${PATH}/blobs/${digestFileName(digest)}`, 'wx', 0o644)
    await disk.writev(fd, [this.#random.pick([bytes, Buffer.alloc(bytes.byteLength)])], 0)
    await disk.close(fd)
    const identity = await identityOf(store, digest)
    if (digestOf(await blobBytes(store, digest)) === digest) {
      await this.#change(disk, this.#blob(digest), 'right', () => store.markVerified(digest, identity))
      this.#blob(digest).add('wrong', 'absent') // whoever put it there, or another one before it, may not have synced the name
    } else {
      await this.#change(disk, this.#blob(digest), 'absent', () => store.quarantineBlob(digest, identity, 'its bytes are wrong'))
    }
  }

  /** A disk that changes what was verified, and somebody who finds out. */
  async #rotAndQuarantine({ disk, store }: Session, bytes: Buffer): Promise<void> {
    const digest = digestOf(bytes)
    if ((await store.openBlob(digest)) === undefined) return
    this.#rotten.add(digest)
    this.#blob(digest).add('wrong')
    disk.rot(`${PATH}/blobs/${digestFileName(digest)}`)
    const identity = await identityOf(store, digest)
    await this.#change(disk, this.#blob(digest), 'absent', () => store.quarantineBlob(digest, identity, 'its bytes are wrong'))
    this.#rotten.delete(digest)
  }

  /** The record first, then what refers to it. */
  async #pull({ disk, store }: Session, reference: string, digest: Digest): Promise<void> {
    const record = RECORDS.find((known) => known.digest === digest)
    if (record === undefined) throw new Error(`no record ${digest}`)
    await this.#change(disk, this.#record(digest), 'right', () => store.putRecord(record))
    await this.#change(disk, this.#ref(reference), digest, () => store.putRef({ ...refOf(reference), digest }))
  }

  async #deleteImage(session: Session, reference: string, digest: Digest): Promise<void> {
    await this.#delete(session, this.#ref(reference), undefined, () => session.store.deleteRef(reference))
    await this.#delete(session, this.#record(digest), 'absent', () => session.store.deleteRecord(digest))
  }

  async #change<T>(disk: PageCache, possible: Possible<T>, to: T, work: () => Promise<void>): Promise<void> {
    possible.add(to)
    await work()
    assertOn(disk)
    possible.set(to)
  }

  /** It may come back: nobody waits for a deletion to be durable. */
  async #delete<T>({ disk }: Session, possible: Possible<T>, absent: T, work: () => Promise<void>): Promise<void> {
    possible.add(absent)
    await work()
    assertOn(disk)
  }

  async #blobState(store: DirectoryStore, digest: Digest): Promise<Blob> {
    const blob = await store.openBlob(digest)
    if (blob === undefined) return 'absent'
    const isRight = digestOf(await bytesOf(blob.read(0, blob.sizeBytes, new PoisonedBuffers({ sizeBytes: 1000 })))) === digest
    blob.close()
    assert.ok(isRight || !blob.verified || this.#rotten.has(digest), `blob ${digest} is verified, and wrong`)
    return isRight ? 'right' : 'wrong'
  }

  async #checkSpool(spools: SpoolDirectory, bytes: Buffer, how: 'power loss' | 'kill'): Promise<void> {
    const digest = digestOf(bytes)
    const { durableBytes = 0, writtenBytes = 0 } = this.#left.get(digest) ?? {}
    const spool = await spools.open(digest, () => ABOUT)
    await this.#checkLeft(spool, bytes, how === 'kill' ? writtenBytes : durableBytes)
    const left = spool.leftBytes
    if (left > 0) await spool.keep()
    else await spool.drop()
    await spool.release()
    this.#left.set(digest, { durableBytes: left, writtenBytes: left })
  }

  async #checkLeft(spool: FileSpool, bytes: Buffer, atLeast: number): Promise<void> {
    const { leftBytes } = spool
    assert.ok(leftBytes >= atLeast, `${spool.path} is continued from ${leftBytes}, and not from ${atLeast}`)
    const found = await bytesOf(spool.read(0, leftBytes, new PoisonedBuffers({ sizeBytes: 1000 })))
    assert.ok(found.equals(bytes.subarray(0, leftBytes)), `${spool.path} is continued from ${leftBytes}, and its bytes are wrong`)
  }

  #blob(digest: Digest): Possible<Blob> {
    return known(this.#blobs, digest)
  }

  #record(digest: Digest): Possible<Record> {
    return known(this.#records, digest)
  }

  #ref(reference: string): Possible<Digest | undefined> {
    return known(this.#refs, reference)
  }
}

class Session {
  private constructor(
    readonly disk: PageCache,
    readonly store: DirectoryStore,
    readonly spools: SpoolDirectory,
    readonly log: MemoryLog,
  ) {}

  static async open(disk: PageCache, boot: string): Promise<Session> {
    const log = new MemoryLog()
    const store = await DirectoryStore.open(PATH, log, disk, 0)
    const spools = new SpoolDirectory(`${PATH}/pulls`, { clock: new ManualClock(), log, files: disk, boot, pace: PACE, gatherMs: 0 })
    return new Session(disk, store, spools, log)
  }
}

/** What is done without power has no end that anybody sees. */
async function unlessOff(disk: PageCache, work: () => Promise<void>): Promise<void> {
  try {
    await work()
  } catch (error) {
    if (disk.hasPower) throw error
  }
}

/** Nobody was told of what was acknowledged after the power went. */
function assertOn(disk: PageCache): void {
  assert.ok(disk.hasPower, 'the power is off')
}

function known<K, V>(map: ReadonlyMap<K, V>, key: K): V {
  const value = map.get(key)
  if (value === undefined) throw new Error(`unknown: ${key}`)
  return value
}
