/** A store in memory, for tests of what lies above it. It passes the same contract as the real ones (`test/store/contract.ts`). */
import { readFile, unlink } from 'node:fs/promises'
import { type Digest, digestAlgorithm, digestOf } from '../../src/oci/digest.ts'
import type {
  Available,
  ListedBlob,
  ListedRecord,
  ManifestRecord,
  ReadBuffers,
  RefRecord,
  Store,
  StoredBlob,
} from '../../src/store/store.ts'

type MemoryBlob = { readonly bytes: Buffer; verified: boolean; readonly identity: string }

export class MemoryStore implements Store {
  readonly blobs = new Map<Digest, MemoryBlob>()
  readonly records = new Map<Digest, ManifestRecord>()
  /** When records were written, as a test would have it; all others at the same time. */
  readonly writtenMs = new Map<Digest, number>()
  readonly refs = new Map<string, RefRecord>()
  /** What was found damaged, and why. */
  readonly quarantine: { readonly digest: Digest; readonly bytes: Buffer; readonly why: string }[] = []

  #puts = 0

  /** Puts bytes there as a person with `cp` would: unverified, under whatever name. */
  plantBlob(digest: Digest, bytes: Uint8Array): void {
    this.#put(digest, Buffer.from(bytes), false)
  }

  /** Puts verified bytes there, under their own name. */
  addBlob(bytes: Uint8Array): Digest {
    const digest = digestOf(bytes)
    this.#put(digest, Buffer.from(bytes), true)
    return digest
  }

  async openBlob(digest: Digest): Promise<StoredBlob | undefined> {
    const blob = this.blobs.get(digest)
    return blob === undefined ? undefined : new OpenBlob(blob.bytes, blob.verified, blob.identity)
  }

  async commitBlob(digest: Digest, spoolPath: string): Promise<void> {
    const bytes = await readFile(spoolPath)
    await unlink(spoolPath)
    this.#put(digest, bytes, true)
  }

  async putBlob(digest: Digest, bytes: Uint8Array): Promise<void> {
    this.#put(digest, Buffer.from(bytes), true)
  }

  async markVerified(digest: Digest, identity: string): Promise<void> {
    const blob = this.blobs.get(digest)
    if (blob?.identity === identity) blob.verified = true
  }

  async quarantineBlob(digest: Digest, identity: string, why: string): Promise<void> {
    const blob = this.blobs.get(digest)
    if (blob?.identity !== identity) return
    this.blobs.delete(digest)
    this.quarantine.push({ digest, bytes: blob.bytes, why })
  }

  async deleteBlob(digest: Digest): Promise<void> {
    this.blobs.delete(digest)
  }

  async blobDigests(): Promise<Iterable<Digest>> {
    return this.blobs.keys()
  }

  async *listBlobs(digests: Iterable<Digest> = [...this.blobs.keys()]): AsyncGenerator<ListedBlob> {
    for (const digest of digests) {
      const blob = this.blobs.get(digest)
      if (blob !== undefined) yield { digest, sizeBytes: blob.bytes.byteLength, writtenMs: 0, verified: blob.verified }
    }
  }

  async putRecord(record: ManifestRecord): Promise<void> {
    this.records.set(record.digest, record)
  }

  async getRecord(digest: Digest): Promise<ManifestRecord | undefined> {
    const record = this.records.get(digest)
    if (record === undefined) return undefined
    const found = digestOf(record.bytes, digestAlgorithm(digest))
    if (found === digest) return record
    this.records.delete(digest)
    this.quarantine.push({ digest, bytes: record.bytes, why: `its bytes hash to ${found}` })
    return undefined
  }

  async hasRecord(digest: Digest): Promise<boolean> {
    return this.records.has(digest)
  }

  async deleteRecord(digest: Digest): Promise<void> {
    this.records.delete(digest)
  }

  async *listRecords(): AsyncGenerator<ListedRecord> {
    for (const record of [...this.records.values()]) yield { ...record, writtenMs: () => this.writtenMs.get(record.digest) ?? 0 }
  }

  async putRef(ref: RefRecord): Promise<void> {
    this.refs.set(ref.reference, ref)
  }

  async getRef(reference: string): Promise<RefRecord | undefined> {
    return this.refs.get(reference)
  }

  async hasRef(reference: string): Promise<boolean> {
    return this.refs.has(reference)
  }

  async deleteRef(reference: string): Promise<void> {
    this.refs.delete(reference)
  }

  async *listRefs(): AsyncGenerator<RefRecord> {
    yield* [...this.refs.values()]
  }

  readonly leftOut = 0

  async syncDeletions(): Promise<void> {}

  #put(digest: Digest, bytes: Buffer, verified: boolean): void {
    this.blobs.set(digest, { bytes, verified, identity: `${++this.#puts}` })
  }
}

class OpenBlob implements StoredBlob {
  #closed = false

  constructor(
    private readonly bytes: Buffer,
    readonly verified: boolean,
    readonly identity: string,
  ) {}

  get sizeBytes(): number {
    return this.bytes.byteLength
  }

  read(start: number, end: number, buffers: ReadBuffers): AsyncIterable<Buffer> {
    return this.readWhen(start, end, buffers, () => end)
  }

  async *readWhen(start: number, end: number, buffers: ReadBuffers, available: Available): AsyncGenerator<Buffer> {
    if (this.#closed) throw new Error('the blob was closed before it could be read')
    for (let offset = start; offset < end; ) {
      const limit = Math.min(end, await available(offset))
      const buffer = buffers.take()
      try {
        const length = this.bytes.copy(buffer, 0, offset, Math.min(limit, offset + buffer.byteLength))
        if (length === 0) throw new Error(`blob ended at byte ${offset}, expected ${limit}`)
        yield buffer.subarray(0, length)
        offset += length
      } finally {
        buffers.give(buffer)
      }
    }
  }

  close(): void {
    this.#closed = true
  }
}
