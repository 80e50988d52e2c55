/** The Store contract: where verified content lies. A directory implements it; a bucket could. `test/store/contract.ts` says it in tests. */
import type { Digest } from '../oci/digest.ts'
import type { Registry, Repository } from '../oci/name.ts'

/**
 * Lends the memory that chunks are read into, so that the sender of a response decides how much each one may hold.
 * A buffer goes back when its chunk is no longer valid.
 */
export type ReadBuffers = {
  /** One to read into; a reader asks for it when it holds none. */
  take(): Buffer
  /** A second one for reading ahead; undefined when reading ahead does not pay. */
  takeAhead(): Buffer | undefined
  give(buffer: Buffer): void
}

/** A blob that is open for reading, from wherever: deleting it meanwhile does not disturb the reader. */
export interface ReadableBlob {
  readonly sizeBytes: number
  /** Aborts when a reader was too slow for what is kept nowhere: it will get no more, and may be stuck with what it has. */
  readonly cut?: AbortSignal
  /** All of it, where that is in memory: there is no need to `read` then. */
  readonly whole?: Buffer
  /** The bytes from `start` up to `end` (exclusive), in chunks that are valid until the next one is asked for. */
  read(start: number, end: number, buffers: ReadBuffers): AsyncIterable<Buffer>
  /** To be called once; readers that are still running may finish. */
  close(): void
}

export interface StoredBlob extends ReadableBlob {
  /** Whether this program verified the bytes. Others have to be hashed before their last bytes go out. */
  readonly verified: boolean
  /** Another one when somebody has replaced or changed the bytes since. */
  readonly identity: string
  /** As `read`, but no further than `available` says (see `readChunks`). */
  readWhen(start: number, end: number, buffers: ReadBuffers, available: Available): AsyncIterable<Buffer>
}

/** Resolves to how far a blob may be read, more than `offset`, as soon as that is so; to `offset` itself where the rest lies elsewhere. */
export type Available = (offset: number) => number | Promise<number>

/** One manifest as it is kept: exact bytes and what was known when it came. Immutable once written. */
export type ManifestRecord = {
  readonly digest: Digest
  readonly mediaType: string
  readonly bytes: Buffer
  /** The reference under which it came first, in canonical spelling. */
  readonly imageUrl: string
  /** Who supplied it. */
  readonly registry: Registry
  readonly repository: Repository
  /** ms since 1970. */
  readonly createdMs: number
  readonly pulledMs: number
}

/** A record as a listing has it. */
export type ListedRecord = ManifestRecord & {
  /** When it was last written, in ms since 1970: older programs write one again whenever they serve it. Few want to know, and it has to be looked up. */
  readonly writtenMs: () => number
}

/** A blob as a listing has it; its bytes are not looked at. */
export type ListedBlob = {
  readonly digest: Digest
  readonly sizeBytes: number
  /** When it was stored, in ms since 1970. */
  readonly writtenMs: number
  /** As of `StoredBlob`. */
  readonly verified: boolean
}

/** What a reference points at. A tag moves by one atomic replacement. */
export type RefRecord = {
  /** Canonical spelling. */
  readonly reference: string
  readonly digest: Digest
  /** ms since 1970: first recorded, last asked for by a client, last confirmed by the upstream. */
  readonly createdMs: number
  readonly pulledMs: number
  readonly checkedMs: number
}

export interface BlobStore {
  /** Undefined where it is absent. */
  openBlob(digest: Digest): Promise<StoredBlob | undefined>
  /** Publishes verified bytes from a spool file, durably; the spool file is gone afterwards. May take minutes. Harmless when the blob is there already. */
  commitBlob(digest: Digest, spoolPath: string): Promise<void>
  /** As `commitBlob`, for one so small that its verified bytes are in memory. */
  putBlob(digest: Digest, bytes: Uint8Array): Promise<void>
  /** Notes that a blob which was there unverified has been verified, if it is still the one with that identity. Where that cannot be noted, the log says so. */
  markVerified(digest: Digest, identity: string): Promise<void>
  /** Takes a blob that is not what its name says out of the way, without deleting it, if it is still the one with that identity. */
  quarantineBlob(digest: Digest, identity: string, why: string): Promise<void>
  /** Whoever opens it, or puts it there again, from this call on has to do with what comes after. */
  deleteBlob(digest: Digest): Promise<void>
  /** All, or those of some that are there. */
  listBlobs(digests?: Iterable<Digest>): AsyncIterable<ListedBlob>
  /** What `listBlobs` lists, by name alone: for those who want to know quickly what is there. */
  blobDigests(): Promise<Iterable<Digest>>
}

export interface RecordStore {
  putRecord(record: ManifestRecord): Promise<void>
  /** Undefined where it is absent or damaged; a damaged one is quarantined. The bytes are checked against the digest. */
  getRecord(digest: Digest): Promise<ManifestRecord | undefined>
  /** Whether something lies in its place, right or damaged: cheaper than `getRecord`. @throws the system's error where that cannot be told */
  hasRecord(digest: Digest): Promise<boolean>
  deleteRecord(digest: Digest): Promise<void>
  /** All of them; damaged ones are quarantined and left out. The bytes are not hashed. */
  listRecords(): AsyncIterable<ListedRecord>
}

export interface RefStore {
  putRef(ref: RefRecord): Promise<void>
  getRef(reference: string): Promise<RefRecord | undefined>
  /** As `hasRecord`. */
  hasRef(reference: string): Promise<boolean>
  deleteRef(reference: string): Promise<void>
  listRefs(): AsyncIterable<RefRecord>
}

export interface Store extends BlobStore, RecordStore, RefStore {
  /** How many records and references could not be read, or were damaged, since it was opened: what they need is not known. */
  readonly leftOut: number
  /** Makes it durable that records and references were deleted: what they needed may be deleted then. */
  syncDeletions(): Promise<void>
}
