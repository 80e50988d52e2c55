/** What "a store" means, said once: every implementation passes these tests. */
import assert from 'node:assert/strict'
import { access, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { type Digest, digestOf } from '../../src/oci/digest.ts'
import { DOCKER_LIST, DOCKER_MANIFEST, OCI_ARTIFACT, OCI_INDEX, OCI_MANIFEST } from '../../src/oci/media-type.ts'
import { formatReference, parseReference } from '../../src/oci/reference.ts'
import type { ManifestRecord, RefRecord, Store, StoredBlob } from '../../src/store/store.ts'
import { bytesOf, PoisonedBuffers, type PoisonedBuffersOptions } from '../support/buffers.ts'
import { temporaryDirectory } from '../support/files.ts'
import { Random } from '../support/property.ts'
import { until } from '../support/until.ts'
import { Gate } from './support/gate.ts'

export type StoreUnderTest = {
  readonly store: Store
  /** Puts bytes where a blob belongs, as an older program would, or a person with `cp`. */
  readonly plantBlob: (digest: Digest, bytes: Uint8Array) => Promise<void>
  /** What was quarantined so far. */
  readonly quarantined: () => Promise<Buffer[]>
}

export function storeContract(name: string, open: (t: TestContext) => Promise<StoreUnderTest>): void {
  const says = (sentence: string, run: (under: StoreUnderTest, t: TestContext) => Promise<void>) =>
    test(`${name}: ${sentence}`, async (t) => run(await open(t), t))
  blobContract(says)
  readingContract(says)
  readingAheadContract(says)
  recordContract(says)
  refContract(says)
}

type Says = (sentence: string, run: (under: StoreUnderTest, t: TestContext) => Promise<void>) => void

function blobContract(says: Says): void {
  says('a blob is unknown until it is committed', async ({ store }, t) => {
    const bytes = content(1000)
    const digest = digestOf(bytes)
    assert.equal(await store.openBlob(digest), undefined)
    const spool = await spoolOf(t, bytes)
    assert.equal(await store.openBlob(digest), undefined)
    await store.commitBlob(digest, spool)
    assert.deepEqual(await blobBytes(store, digest), bytes)
  })

  says('a blob whose bytes are in memory can be put as it is, twice at once too', async ({ store }) => {
    for (const bytes of [Buffer.alloc(0), content(1000)]) {
      const digest = digestOf(bytes)
      await Promise.all([store.putBlob(digest, bytes), store.putBlob(digest, bytes)])
      assert.deepEqual(await blobBytes(store, digest), bytes)
      const blob = await opened(store, digest)
      assert.equal(blob.verified, true)
      blob.close()
    }
  })

  says('the spool file is gone after a commit', async ({ store }, t) => {
    const bytes = content(10)
    const spool = await spoolOf(t, bytes)
    await store.commitBlob(digestOf(bytes), spool)
    await assert.rejects(access(spool), { code: 'ENOENT' })
  })

  says('an empty blob can be kept', async ({ store }, t) => {
    const digest = await commit(store, t, Buffer.alloc(0))
    const blob = await opened(store, digest)
    assert.equal(blob.sizeBytes, 0)
    assert.equal((await bytesOf(blob.read(0, 0, new PoisonedBuffers()))).byteLength, 0)
    blob.close()
  })

  says('committing one digest twice at once is harmless', async ({ store }, t) => {
    const bytes = content(5000)
    await Promise.all(Array.from({ length: 8 }, () => commit(store, t, bytes)))
    assert.deepEqual(await blobBytes(store, digestOf(bytes)), bytes)
    assert.deepEqual(await listedBlobs(store), [digestOf(bytes)])
  })

  says('committing a blob that is there already is harmless', async ({ store }, t) => {
    const bytes = content(500)
    await commit(store, t, bytes)
    const digest = await commit(store, t, bytes)
    assert.deepEqual(await blobBytes(store, digest), bytes)
  })

  says('a spool file that is missing cannot be committed', async ({ store }, t) => {
    const digest = digestOf(content(10))
    await assert.rejects(store.commitBlob(digest, join(await temporaryDirectory(t), 'none')), { code: 'ENOENT' })
    assert.equal(await store.openBlob(digest), undefined)
  })

  says('many blobs committed at once are all there', async ({ store }, t) => {
    const blobs = Array.from({ length: 40 }, (_, seed) => content(100 + seed, seed))
    const digests = await Promise.all(blobs.map((bytes) => commit(store, t, bytes)))
    assert.deepEqual((await listedBlobs(store)).sort(), [...digests].sort())
    for (const bytes of blobs) assert.deepEqual(await blobBytes(store, digestOf(bytes)), bytes)
  })

  says('a blob may be named by sha512', async ({ store }, t) => {
    const bytes = content(300)
    const digest = digestOf(bytes, 'sha512')
    await store.commitBlob(digest, await spoolOf(t, bytes))
    assert.deepEqual(await blobBytes(store, digest), bytes)
    assert.deepEqual(await listedBlobs(store), [digest])
    assert.equal(await store.openBlob(digestOf(bytes)), undefined)
    await store.deleteBlob(digest)
    assert.equal(await store.openBlob(digest), undefined)
  })

  says('a blob is verified once it is committed', async ({ store }, t) => {
    assert.equal(await isVerified(store, await commit(store, t, content(10))), true)
  })

  says('a blob that somebody else put there is not verified until it is marked so', async ({ store, plantBlob }) => {
    const bytes = content(10)
    const digest = digestOf(bytes)
    await plantBlob(digest, bytes)
    assert.equal(await isVerified(store, digest), false)
    assert.deepEqual(await listedBlobs(store), [digest])
    await store.markVerified(digest, await identityOf(store, digest))
    assert.equal(await isVerified(store, digest), true)
    assert.deepEqual(await blobBytes(store, digest), bytes)
  })

  says('a blob that was replaced since it was read is neither marked nor quarantined', async ({ store, plantBlob, quarantined }) => {
    const bytes = content(10)
    const digest = digestOf(bytes)
    await plantBlob(digest, Buffer.from('wrong bytes'))
    const before = await identityOf(store, digest)
    assert.equal(await identityOf(store, digest), before)
    await store.deleteBlob(digest)
    await plantBlob(digest, bytes)
    assert.notEqual(await identityOf(store, digest), before)
    await store.markVerified(digest, before)
    await store.quarantineBlob(digest, before, 'a test says so')
    assert.equal(await isVerified(store, digest), false)
    assert.deepEqual(await blobBytes(store, digest), bytes)
    assert.deepEqual(await quarantined(), [])
  })

  says('marking a blob leaves it the one that it was', async ({ store, plantBlob }) => {
    const digest = digestOf(content(10))
    await plantBlob(digest, content(10))
    const before = await identityOf(store, digest)
    await store.markVerified(digest, before)
    assert.equal(await identityOf(store, digest), before)
  })

  says('a commit replaces an unverified blob by a verified one', async ({ store, plantBlob }, t) => {
    const bytes = content(100)
    const digest = digestOf(bytes)
    await plantBlob(digest, Buffer.from('something else'))
    await commit(store, t, bytes)
    assert.equal(await isVerified(store, digest), true)
    assert.deepEqual(await blobBytes(store, digest), bytes)
  })

  says('marking a blob that was deleted meanwhile is harmless', async ({ store }) => {
    await store.markVerified(digestOf(content(10)), 'of old')
    assert.deepEqual(await listedBlobs(store), [])
  })

  says('a quarantined blob is absent, but not lost', async ({ store, plantBlob, quarantined }) => {
    const digest = digestOf(content(10))
    const wrong = Buffer.from('not what the name says')
    await plantBlob(digest, wrong)
    await store.quarantineBlob(digest, await identityOf(store, digest), 'a test says so')
    assert.equal(await store.openBlob(digest), undefined)
    assert.deepEqual(await listedBlobs(store), [])
    assert.deepEqual(await quarantined(), [wrong])
  })

  says('a blob is there again when it is committed after a quarantine', async ({ store, plantBlob }, t) => {
    const bytes = content(10)
    await plantBlob(digestOf(bytes), Buffer.from('wrong'))
    await store.quarantineBlob(digestOf(bytes), await identityOf(store, digestOf(bytes)), 'a test says so')
    await commit(store, t, bytes)
    assert.deepEqual(await blobBytes(store, digestOf(bytes)), bytes)
  })

  says('quarantine and deletion of a blob that is not there are harmless', async ({ store, quarantined }) => {
    await store.quarantineBlob(digestOf(content(10)), 'of old', 'a test says so')
    await store.deleteBlob(digestOf(content(10)))
    assert.deepEqual(await quarantined(), [])
  })

  says('a deleted blob is absent, and the others are not', async ({ store }, t) => {
    const [first, second] = [await commit(store, t, content(10, 1)), await commit(store, t, content(10, 2))]
    await store.deleteBlob(first)
    assert.equal(await store.openBlob(first), undefined)
    assert.deepEqual(await listedBlobs(store), [second])
  })
}

const SIZE = 100
const RANGES: readonly (readonly [number, number])[] = [
  [0, SIZE],
  [0, 1],
  [99, 100],
  [15, 17],
  [16, 32],
  [17, 83],
  [0, 0],
  [50, 50],
  [100, 100],
]
const BUFFERS: readonly (readonly [string, PoisonedBuffersOptions])[] = [
  ['without reading ahead', { sizeBytes: 16 }],
  ['reading ahead', { sizeBytes: 16, aheadBytes: 16 }],
  ['reading ahead into bigger buffers', { sizeBytes: 8, aheadBytes: 64 }],
]

function readingContract(says: Says): void {
  for (const [how, options] of BUFFERS) {
    says(`a range is those bytes and no others, ${how}`, async ({ store }, t) => {
      const bytes = content(SIZE)
      const blob = await opened(store, await commit(store, t, bytes))
      assert.equal(blob.sizeBytes, SIZE)
      for (const [start, end] of RANGES) {
        const buffers = new PoisonedBuffers(options)
        assert.deepEqual(await bytesOf(blob.read(start, end, buffers)), bytes.subarray(start, end), `${start} to ${end}`)
        assert.equal(buffers.outstanding, 0)
      }
      blob.close()
    })

    says(`a chunk is valid until the next one is asked for, ${how}`, async ({ store }, t) => {
      const bytes = content(SIZE)
      const blob = await opened(store, await commit(store, t, bytes))
      const buffers = new PoisonedBuffers(options)
      let offset = 0
      for await (const chunk of blob.read(0, SIZE, buffers)) {
        await turns(10) // what is read ahead arrives now, and must go elsewhere
        assert.deepEqual(chunk, bytes.subarray(offset, offset + chunk.byteLength))
        offset += chunk.byteLength
        assert.ok(buffers.outstanding <= 2, `${buffers.outstanding} buffers are lent`)
      }
      assert.equal(offset, SIZE)
      assert.equal(buffers.outstanding, 0)
      blob.close()
    })

    says(`a reader that stops early gives every buffer back, ${how}`, async ({ store }, t) => {
      const blob = await opened(store, await commit(store, t, content(SIZE)))
      for (let chunks = 1; chunks <= 4; chunks++) {
        const buffers = new PoisonedBuffers(options)
        let seen = 0
        for await (const _ of blob.read(0, SIZE, buffers)) if (++seen === chunks) break
        assert.equal(buffers.outstanding, 0, `after ${chunks} chunks`)
      }
      blob.close()
    })

    says(`a reader that throws gives every buffer back, ${how}`, async ({ store }, t) => {
      const blob = await opened(store, await commit(store, t, content(SIZE)))
      const buffers = new PoisonedBuffers(options)
      const reading = async () => {
        for await (const _ of blob.read(0, SIZE, buffers)) throw new Error('the client is gone')
      }
      await assert.rejects(reading, /the client is gone/)
      assert.equal(buffers.outstanding, 0)
      blob.close()
    })

    says(`reading past the end fails after the last byte, and gives every buffer back, ${how}`, async ({ store }, t) => {
      const bytes = content(SIZE)
      const blob = await opened(store, await commit(store, t, bytes))
      const buffers = new PoisonedBuffers(options)
      const copies: Buffer[] = []
      const reading = async () => {
        for await (const chunk of blob.read(90, SIZE + 100, buffers)) {
          copies.push(Buffer.from(chunk))
          // a failure of reading ahead, which gives its buffer back, must wait until it is asked for
          for (let patience = 500; patience > 0 && buffers.outstanding > 1; patience--) await turn()
          await turns(3)
        }
      }
      await assert.rejects(reading, /ended at byte 100/)
      assert.deepEqual(Buffer.concat(copies), bytes.subarray(90))
      assert.equal(buffers.outstanding, 0)
      blob.close()
    })
  }

  says('any range, with buffers of any size, is those bytes', async ({ store }, t) => {
    const bytes = content(3000)
    const blob = await opened(store, await commit(store, t, bytes))
    for (let seed = 1; seed <= 150; seed++) {
      const random = new Random(seed)
      const [start, length] = [random.below(3000), random.below(3000)]
      const end = Math.min(3000, start + length)
      const options = { sizeBytes: random.between(1, 700), ...(random.below(2) === 0 ? {} : { aheadBytes: random.between(1, 1500) }) }
      const buffers = new PoisonedBuffers(options)
      assert.deepEqual(await bytesOf(blob.read(start, end, buffers)), bytes.subarray(start, end), `seed ${seed}`)
      assert.equal(buffers.outstanding, 0, `seed ${seed}`)
    }
    blob.close()
  })

  says('readers of one blob do not disturb each other', async ({ store }, t) => {
    const bytes = content(SIZE)
    const blob = await opened(store, await commit(store, t, bytes))
    const reads = Array.from({ length: 10 }, (_, start) => bytesOf(blob.read(start, SIZE - start, new PoisonedBuffers({ aheadBytes: 16 }))))
    for (const [start, read] of (await Promise.all(reads)).entries()) assert.deepEqual(read, bytes.subarray(start, SIZE - start))
    blob.close()
  })

  const disturbances: readonly (readonly [string, (under: StoreUnderTest, digest: Digest, t: TestContext) => Promise<unknown>])[] = [
    ['deleted', ({ store }, digest) => store.deleteBlob(digest)],
    ['quarantined', async ({ store }, digest) => store.quarantineBlob(digest, await identityOf(store, digest), 'a test says so')],
    ['committed once more', ({ store }, _, t) => commit(store, t, content(SIZE))],
  ]
  for (const [what, disturb] of disturbances) {
    says(`a blob that is ${what} while it is being read goes on reading`, async (under, t) => {
      const bytes = content(SIZE)
      const digest = await commit(under.store, t, bytes)
      const blob = await opened(under.store, digest)
      const reader = blob.read(0, SIZE, new PoisonedBuffers())[Symbol.asyncIterator]()
      const first = Buffer.from((await reader.next()).value)
      await disturb(under, digest, t)
      const rest = await bytesOf({ [Symbol.asyncIterator]: () => reader })
      assert.deepEqual(Buffer.concat([first, rest]), bytes)
      blob.close()
    })
  }

  says('a reader that is still running may finish after the blob was closed', async ({ store }, t) => {
    const bytes = content(SIZE)
    const blob = await opened(store, await commit(store, t, bytes))
    const reader = blob.read(0, SIZE, new PoisonedBuffers({ aheadBytes: 16 }))[Symbol.asyncIterator]()
    const first = Buffer.from((await reader.next()).value)
    blob.close()
    const rest = await bytesOf({ [Symbol.asyncIterator]: () => reader })
    assert.deepEqual(Buffer.concat([first, rest]), bytes)
  })
}

function readingAheadContract(says: Says): void {
  for (const [how, options] of BUFFERS) {
    says(`a reader goes no further than it may, and on as soon as it may, ${how}`, async ({ store }, t) => {
      const bytes = content(SIZE)
      const blob = await opened(store, await commit(store, t, bytes))
      const [buffers, gate] = [new PoisonedBuffers(options), new Gate()]
      let seen = Buffer.alloc(0)
      const reading = (async () => {
        for await (const chunk of blob.readWhen(0, SIZE, buffers, gate.available)) seen = Buffer.concat([seen, chunk])
      })()
      for (const limit of [0, 1, 10, 11, 60, 99, SIZE]) {
        gate.open(limit)
        await until(() => seen.byteLength >= limit)
        await turns(5)
        assert.deepEqual(seen, bytes.subarray(0, limit))
      }
      await reading
      assert.equal(buffers.outstanding, 0)
      blob.close()
    })

    says(`a reader of bytes that never come is told why, and gives every buffer back, ${how}`, async ({ store }, t) => {
      const blob = await opened(store, await commit(store, t, content(SIZE)))
      const [buffers, gate] = [new PoisonedBuffers(options), new Gate()]
      gate.open(20)
      let seen = 0
      const reading = (async () => {
        for await (const chunk of blob.readWhen(0, SIZE, buffers, gate.available)) {
          seen += chunk.byteLength
          if (seen === 20) gate.fail(new Error('the upstream is gone'))
          await turns(3) // a failure that nobody awaits would end the process now
        }
      })()
      await assert.rejects(reading, /the upstream is gone/)
      assert.equal(seen, 20)
      assert.equal(buffers.outstanding, 0)
      blob.close()
    })

    says(`a reader that leaves while it waits for bytes gives every buffer back, ${how}`, async ({ store }, t) => {
      const blob = await opened(store, await commit(store, t, content(SIZE)))
      const [buffers, gate] = [new PoisonedBuffers(options), new Gate()]
      gate.open(20)
      let seen = 0
      for await (const chunk of blob.readWhen(0, SIZE, buffers, gate.available)) {
        seen += chunk.byteLength
        if (seen === 20) break
      }
      gate.fail(new Error('nobody is there to hear this'))
      await turns(3)
      assert.equal(buffers.outstanding, 0)
      blob.close()
    })
  }
}

function recordContract(says: Says): void {
  for (const mediaType of [OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST, OCI_ARTIFACT, 'application/vnd.example+json']) {
    says(`a record of ${mediaType} comes back as it was put`, async ({ store }) => {
      const record = recordOf('quay.io/team/app:v1', mediaType)
      assert.equal(await store.getRecord(record.digest), undefined)
      assert.equal(await store.hasRecord(record.digest), false)
      await store.putRecord(record)
      assert.equal(await store.hasRecord(record.digest), true)
      assert.deepEqual(await store.getRecord(record.digest), record)
      assert.deepEqual(await listedRecords(store), [record])
    })
  }

  says('a record may be named by sha512', async ({ store }) => {
    const { bytes, ...rest } = recordOf('quay.io/team/app:v1')
    const record = { ...rest, bytes, digest: digestOf(bytes, 'sha512') }
    await store.putRecord(record)
    assert.deepEqual(await store.getRecord(record.digest), record)
    assert.deepEqual(await listedRecords(store), [record])
    assert.equal(await store.getRecord(digestOf(bytes)), undefined)
  })

  says('all records are listed, each once', async ({ store }) => {
    const records = [OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST].flatMap((type) =>
      Array.from({ length: 40 }, (_, index) => recordOf(`quay.io/team/app:${index}`, type)),
    )
    await Promise.all(records.map((record) => store.putRecord(record)))
    const found = await listed(store.listRecords())
    assert.deepEqual(found.map(({ digest }) => digest).sort(), records.map(({ digest }) => digest).sort())
  })

  says('a record that is put twice at once is there once', async ({ store }) => {
    const record = recordOf('quay.io/team/app:v1')
    await Promise.all([store.putRecord(record), store.putRecord(record), store.putRecord(record)])
    assert.deepEqual(await listedRecords(store), [record])
  })

  says('a deleted record is absent, and the others are not', async ({ store }) => {
    const [index, image] = [recordOf('quay.io/team/app:v1', OCI_INDEX), recordOf('quay.io/team/app:v1', OCI_MANIFEST)]
    await store.putRecord(index)
    await store.putRecord(image)
    await store.deleteRecord(index.digest)
    await store.deleteRecord(recordOf('quay.io/team/none:v1').digest) // harmless
    assert.equal(await store.getRecord(index.digest), undefined)
    assert.deepEqual([await store.hasRecord(index.digest), await store.hasRecord(image.digest)], [false, true])
    assert.deepEqual(await listedRecords(store), [image])
  })

  says('a record whose bytes do not hash to its name is quarantined instead of returned', async ({ store, quarantined }) => {
    const [right, other] = [recordOf('quay.io/team/app:v1'), recordOf('quay.io/team/app:v2')]
    await store.putRecord({ ...right, digest: other.digest })
    assert.equal(await store.getRecord(other.digest), undefined)
    assert.equal((await quarantined()).length, 1)
    assert.deepEqual(await listed(store.listRecords()), [])
    await store.putRecord(other)
    assert.deepEqual(await store.getRecord(other.digest), other)
  })
}

function refContract(says: Says): void {
  says('a reference comes back as it was put', async ({ store }) => {
    const ref = refOf('quay.io/team/app:v1')
    assert.equal(await store.getRef(ref.reference), undefined)
    await store.putRef(ref)
    assert.deepEqual(await store.getRef(ref.reference), ref)
    assert.equal(await store.getRef('quay.io/team/app:v2'), undefined)
    assert.deepEqual(await listed(store.listRefs()), [ref])
  })

  says('a reference that moves is replaced', async ({ store }) => {
    const ref = refOf('quay.io/team/app:v1')
    const moved = { ...ref, digest: digestOf(content(10, 9)), pulledMs: ref.pulledMs + 5000, checkedMs: ref.checkedMs + 5001 }
    await store.putRef(ref)
    await store.putRef(moved)
    assert.deepEqual(await store.getRef(ref.reference), moved)
    assert.deepEqual(await listed(store.listRefs()), [moved])
  })

  says('one digest may have many references, and losing one keeps the others', async ({ store }) => {
    const names = ['docker.io/library/alpine:3', 'docker.io/library/alpine:latest', 'quay.io/team/app:v1', '[::1]:5000/a/b/c/d/e:x']
    const refs = names.map(refOf)
    await Promise.all(refs.map((ref) => store.putRef(ref)))
    const byName = (a: RefRecord, b: RefRecord) => a.reference.localeCompare(b.reference)
    assert.deepEqual((await listed(store.listRefs())).sort(byName), refs.toSorted(byName))
    await store.deleteRef('docker.io/library/alpine:3')
    await store.deleteRef('docker.io/library/none:3') // harmless
    assert.equal(await store.getRef('docker.io/library/alpine:3'), undefined)
    assert.deepEqual(await Promise.all(names.map((name) => store.hasRef(name))), [false, true, true, true])
    assert.deepEqual((await listed(store.listRefs())).sort(byName), refs.slice(1).sort(byName))
  })

  says('a reference by digest may be kept', async ({ store }) => {
    const ref = refOf(`quay.io/team/app@${digestOf(content(10))}`)
    await store.putRef(ref)
    assert.deepEqual(await store.getRef(ref.reference), ref)
  })
}

/** Whole seconds: that is as precise as a record's times are. */
const CREATED_MS = Date.UTC(2026, 0, 15, 12, 30, 15)

export function recordOf(reference: string, mediaType = OCI_MANIFEST): ManifestRecord {
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, annotations: { reference } }))
  const { registry, repository } = parseReference(reference)
  const imageUrl = formatReference(parseReference(reference))
  return { digest: digestOf(bytes), mediaType, bytes, imageUrl, registry, repository, createdMs: CREATED_MS, pulledMs: CREATED_MS + 60_000 }
}

/** Milliseconds count here. */
export function refOf(reference: string): RefRecord {
  const digest = digestOf(content(10))
  return { reference, digest, createdMs: CREATED_MS + 1, pulledMs: CREATED_MS + 22, checkedMs: CREATED_MS + 333 }
}

/** Bytes that look random and are always the same. */
export function content(sizeBytes: number, seed = 0): Buffer {
  const random = new Random(seed + 1)
  return Buffer.from(Array.from({ length: sizeBytes }, () => random.below(256)))
}

export async function listed<T>(values: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = []
  for await (const value of values) list.push(value)
  return list
}

/** All records, without the times at which they were written. */
/** Only what they are called. */
/** However they are listed. */
export async function listedBlobs(store: Pick<Store, 'listBlobs' | 'blobDigests'>): Promise<Digest[]> {
  const digests = (await listed(store.listBlobs())).map(({ digest }) => digest)
  assert.deepEqual([...(await store.blobDigests())].sort(), [...digests].sort())
  const some = digests.slice(1)
  const asked = await listed(store.listBlobs([...some, digestOf(Buffer.from('not there'))]))
  assert.deepEqual(
    asked.map(({ digest }) => digest),
    some,
  )
  return digests
}

export async function listedRecords(store: Store): Promise<ManifestRecord[]> {
  return (await listed(store.listRecords())).map(({ writtenMs, ...record }) => record)
}

export async function blobBytes(store: Store, digest: Digest): Promise<Buffer> {
  const blob = await opened(store, digest)
  try {
    return await bytesOf(blob.read(0, blob.sizeBytes, new PoisonedBuffers({ sizeBytes: 1000 })))
  } finally {
    blob.close()
  }
}

async function opened(store: Store, digest: Digest): Promise<StoredBlob> {
  const blob = await store.openBlob(digest)
  assert.ok(blob !== undefined, `${digest} is absent`)
  return blob
}

export async function identityOf(store: Store, digest: Digest): Promise<string> {
  const blob = await opened(store, digest)
  blob.close()
  return blob.identity
}

async function isVerified(store: Store, digest: Digest): Promise<boolean> {
  const blob = await opened(store, digest)
  blob.close()
  return blob.verified
}

async function spoolOf(t: TestContext, bytes: Uint8Array): Promise<string> {
  const path = join(await temporaryDirectory(t), 'spool')
  await writeFile(path, bytes)
  return path
}

async function commit(store: Store, t: TestContext, bytes: Uint8Array): Promise<Digest> {
  const digest = digestOf(bytes)
  await store.commitBlob(digest, await spoolOf(t, bytes))
  return digest
}

async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await turn()
}
