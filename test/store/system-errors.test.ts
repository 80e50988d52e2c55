import assert from 'node:assert/strict'
import { test } from 'node:test'
import { digestOf } from '../../src/oci/digest.ts'
import { TEMPORARY_PREFIX } from '../../src/store/atomic-write.ts'
import { DirectoryStore } from '../../src/store/directory-store.ts'
import { SpoolDirectory, type SpoolNote } from '../../src/store/spool.ts'
import { ManualClock } from '../support/clock.ts'
import { FaultyDisk } from '../support/faulty-disk.ts'
import { MemoryLog } from '../support/log.ts'
import { PageCache } from '../support/page-cache.ts'
import { until } from '../support/until.ts'
import { blobBytes, content, listed, listedBlobs, listedRecords, recordOf, refOf } from './contract.ts'

const PATH = '/images'
const BYTES = content(2000)
const DIGEST = digestOf(BYTES)
const RECORD = recordOf('quay.io/team/app:v1')
const REF = refOf('quay.io/team/app:v1')
const ABOUT = (): SpoolNote => ({ sizeBytes: BYTES.byteLength, sources: [] })

class Ground {
  private constructor(
    readonly disk: PageCache,
    readonly faults: FaultyDisk,
    readonly log: MemoryLog,
    readonly store: DirectoryStore,
    readonly spools: SpoolDirectory,
  ) {}

  static async make(): Promise<Ground> {
    const disk = new PageCache()
    const faults = new FaultyDisk(disk)
    const log = new MemoryLog()
    const store = await DirectoryStore.open(PATH, log, faults.files, 0)
    const pace = { noteAfterBytes: 500, syncEveryBytes: 1000 }
    const deps = { clock: new ManualClock(), log, files: faults.files, boot: 'boot', pace, gatherMs: 0 }
    return new Ground(disk, faults, log, store, new SpoolDirectory(`${PATH}/pulls`, deps))
  }

  async identity(): Promise<string> {
    const blob = await this.store.openBlob(DIGEST)
    blob?.close()
    return blob?.identity ?? ''
  }

  /** Downloads all of it in four parts, and commits it. */
  async fill(): Promise<void> {
    const spool = await this.spools.open(DIGEST, ABOUT)
    try {
      for (let at = spool.leftBytes; at < BYTES.byteLength; at += 500) await spool.write([BYTES.subarray(at, at + 500)], at)
      await spool.commit(this.store, DIGEST)
    } catch (error) {
      await spool.drop().catch(() => {}) // what counts is the first error
      throw error
    } finally {
      await spool.release().catch(() => {})
    }
  }

  async fillHalf(end: 'keep' | 'drop'): Promise<void> {
    const spool = await this.spools.open(DIGEST, ABOUT)
    try {
      for (let at = spool.leftBytes; at < 1000; at += 500) await spool.write([BYTES.subarray(at, at + 500)], at)
      await spool[end]()
    } finally {
      await spool.release().catch(() => {})
    }
  }

  async temporaryFiles(): Promise<string[]> {
    const names = await Promise.all(['blobs', 'img', 'fat', 'refs', 'pulls'].map((directory) => this.disk.readdir(`${PATH}/${directory}`)))
    return names.flat().filter((name) => name.startsWith(TEMPORARY_PREFIX))
  }
}

type Operation = {
  readonly name: string
  /** How things are before it. */
  readonly prepare?: (ground: Ground) => Promise<void>
  /** @param identity of the blob that is there, if one is */
  readonly run: (ground: Ground, identity: string) => Promise<void>
  /** How things are once it has succeeded. */
  readonly check: (ground: Ground) => Promise<void>
  /** Where a fault is no failure: the log has a line instead, or nobody is the worse for it. */
  readonly forgives?: boolean
}

const operations: readonly Operation[] = [
  {
    name: 'Storing a small blob',
    run: ({ store }) => store.putBlob(DIGEST, BYTES),
    check: async ({ store }) => assert.deepEqual(await blobBytes(store, DIGEST), BYTES),
  },
  {
    name: 'Storing a record',
    run: ({ store }) => store.putRecord(RECORD),
    check: async ({ store }) => assert.deepEqual(await listedRecords(store), [RECORD]),
  },
  {
    name: 'Moving a reference',
    prepare: ({ store }) => store.putRef({ ...REF, digest: DIGEST }),
    run: ({ store }) => store.putRef(REF),
    check: async ({ store }) => assert.deepEqual(await listed(store.listRefs()), [REF]),
  },
  {
    name: 'Downloading a blob and committing it',
    run: (ground) => ground.fill(),
    check: async ({ store, disk }) => {
      assert.deepEqual(await blobBytes(store, DIGEST), BYTES)
      assert.deepEqual(await disk.readdir(`${PATH}/pulls`), [])
    },
    forgives: true,
  },
  {
    name: 'Continuing a download and committing it',
    prepare: (ground) => ground.fillHalf('keep'),
    run: (ground) => ground.fill(),
    check: async ({ store, disk }) => {
      assert.deepEqual(await blobBytes(store, DIGEST), BYTES)
      assert.deepEqual(await disk.readdir(`${PATH}/pulls`), [])
    },
    forgives: true,
  },
  {
    name: 'Leaving a download for later',
    run: (ground) => ground.fillHalf('keep'),
    check: async (ground) => {
      const spool = await ground.spools.open(DIGEST, ABOUT)
      assert.equal(spool.leftBytes, 1000)
      await spool.release()
    },
    forgives: true,
  },
  {
    name: 'Dropping a download',
    run: (ground) => ground.fillHalf('drop'),
    check: async ({ disk }) => assert.deepEqual(await disk.readdir(`${PATH}/pulls`), []),
    forgives: true,
  },
  {
    name: 'Marking a blob as verified',
    prepare: ({ store }) => store.putBlob(DIGEST, BYTES),
    run: ({ store }, identity) => store.markVerified(DIGEST, identity),
    check: async ({ store }) => assert.deepEqual(await blobBytes(store, DIGEST), BYTES),
    forgives: true,
  },
  {
    name: 'Quarantining a blob',
    prepare: ({ store }) => store.putBlob(DIGEST, Buffer.alloc(10)),
    run: ({ store }, identity) => store.quarantineBlob(DIGEST, identity, 'its bytes are wrong'),
    check: async ({ store, disk }) => {
      assert.equal(await store.openBlob(DIGEST), undefined)
      assert.equal((await disk.readdir(`${PATH}/quarantine`)).length, 1)
    },
    forgives: true,
  },
  {
    name: 'Deleting an image',
    prepare: async ({ store }) => {
      await store.putBlob(DIGEST, BYTES)
      await store.putRecord(RECORD)
      await store.putRef(REF)
    },
    run: async ({ store }) => {
      await store.deleteRef(REF.reference)
      await store.deleteRecord(RECORD.digest)
      await store.deleteBlob(DIGEST)
    },
    check: async ({ store, disk }) => {
      assert.deepEqual([await listed(store.listRefs()), await listedRecords(store), await listedBlobs(store)], [[], [], []])
      assert.deepEqual(await disk.readdir(`${PATH}/quarantine`), [])
    },
  },
  {
    name: 'Clearing away what a crash left',
    prepare: async ({ disk }) => {
      await disk.close(await disk.open(`${PATH}/refs/${TEMPORARY_PREFIX}1`, 'wx'))
    },
    run: ({ store }) => store.removeLeftovers(),
    check: async ({ disk }) => assert.deepEqual(await disk.readdir(`${PATH}/refs`), []),
  },
]

/** More calls than any of these operations makes. */
const MOST_CALLS = 200

for (const { name, prepare, run, check, forgives = false } of operations) {
  test(`${name}: a disk that is full, broken or read-only at any call fails it with its own error, leaves no temporary file, and the next try works`, async () => {
    for (const code of ['ENOSPC', 'EIO', 'EROFS']) {
      let reached = true
      for (let at = 1; reached; at++) {
        assert.ok(at < MOST_CALLS)
        const ground = await Ground.make()
        await prepare?.(ground)
        const identity = await ground.identity()
        const temporary = await ground.temporaryFiles()
        let calls = 0
        let failed = ''
        ground.faults.failing = (call, path) => {
          if (++calls !== at) return undefined
          failed = `${call} ${path}`
          return code
        }
        const error = await run(ground, identity).then(
          () => undefined,
          (thrown: NodeJS.ErrnoException) => thrown,
        )
        reached = failed !== ''
        ground.faults.failing = () => undefined
        const what = `${code} at call ${at}: ${failed}`
        if (error !== undefined) assert.equal(error.code, code, what)
        else if (reached && !forgives) assert.fail(`${what}: nobody was told`)
        assert.deepEqual(
          (await ground.temporaryFiles()).filter((name) => !temporary.includes(name)),
          [],
          what,
        )
        if (!failed.startsWith('close')) await until(() => ground.disk.openFiles === 0, `${what}: every file is closed`)
        await run(ground, identity)
        await check(ground)
      }
    }
  })
}
