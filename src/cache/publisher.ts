/**
 * Brings records and references to the store behind the clients' backs: a manifest is served as soon as it is verified, and kept in memory
 * until it is durable. A record is always durable before a reference points at it.
 *
 * What cannot be written stays known and is tried again, with the access times and as soon as the store takes writes again; manifests for as long as
 * a bounded memory holds them. Then the catalog forgets them: it never says more than a restart would find, but for what is still to be written.
 */
import { Limiter } from '../async/limiter.ts'
import { Lru } from '../async/lru.ts'
import type { Clock } from '../observe/clock.ts'
import type { Log } from '../observe/log.ts'
import { type Digest, isDigestOf } from '../oci/digest.ts'
import type { Space } from '../store/space.ts'
import type { ManifestRecord, RefRecord, Store } from '../store/store.ts'
import type { Catalog, ManifestEntry } from './catalog.ts'

/** Manifest bytes kept in memory, in all. */
const MANIFEST_BYTES_KEPT = 16 * 1024 * 1024
/** Of manifests that could not be written, in all. */
const UNSTORED_BYTES_KEPT = 16 * 1024 * 1024
/** What a file takes of the disk, whatever is in it. */
const FILE_BYTES = 8 * 1024
/** A record holds the bytes of its manifest in base64, and a parsed copy. */
const RECORD_BYTES_PER_BYTE = 4
const WRITES_AT_ONCE = 8

export type PublisherDeps = {
  readonly catalog: Catalog
  readonly store: Store
  readonly space: Space
  readonly clock: Clock
  readonly log: Log
  readonly accessTimesMs: number
}

export class Publisher {
  readonly #deps: PublisherDeps
  readonly #recent = new Lru<Digest, Buffer>({ capacity: MANIFEST_BYTES_KEPT, heaviest: MANIFEST_BYTES_KEPT / 4 })
  readonly #unwritten = new Map<Digest, { readonly record: ManifestRecord; readonly written: Promise<void> }>()
  /** Manifests whose records could not be written. */
  readonly #unstored = new Lru<Digest, ManifestRecord>({ capacity: UNSTORED_BYTES_KEPT, onEvicted: (record) => this.#forget(record) })
  /** References being written; true: it changed meanwhile and is written once more. */
  readonly #refWrites = new Map<string, boolean>()
  /** References to be written with the next ones. */
  readonly #touched = new Set<string>()
  readonly #busy = new Set<Promise<void>>()
  readonly #limiter = new Limiter(WRITES_AT_ONCE)
  readonly #stopping = new AbortController()
  #loop = Promise.resolve()

  constructor(deps: PublisherDeps) {
    this.#deps = deps
  }

  start(): void {
    this.#loop = this.#flushNowAndThen()
  }

  /** Resolves when everything is written that can be. */
  async stop(): Promise<void> {
    this.#stopping.abort()
    await this.#loop
    this.flush()
    while (this.#busy.size > 0) await Promise.all(this.#busy)
    const manifests = this.#unstored.values().length
    if (manifests > 0) this.#deps.log.warn('manifests could not be stored, and are lost with this process', { manifests })
  }

  /** Writes what is to be written now and then, and tries again what could not be written. */
  flush(): void {
    for (const record of this.#unstored.values()) if (!this.#unwritten.has(record.digest)) this.#beginRecord(record)
    const references = [...this.#touched]
    this.#touched.clear()
    for (const reference of references) this.saveRef(reference)
  }

  /** The exact bytes of a manifest, where they are in memory. */
  bytesAtHand(digest: Digest): Buffer | undefined {
    return this.#recent.get(digest) ?? this.#unwritten.get(digest)?.record.bytes ?? this.#unstored.get(digest)?.bytes
  }

  /** Whether its record is yet to be written. */
  isUnwritten(digest: Digest): boolean {
    return this.#unwritten.has(digest) || this.#unstored.get(digest) !== undefined
  }

  /** The exact bytes of a manifest; undefined if the store has lost them. */
  async bytesOf(digest: Digest): Promise<Buffer | undefined> {
    const known = this.bytesAtHand(digest)
    if (known !== undefined) return known
    const record = await this.#deps.store.getRecord(digest)
    return record === undefined ? undefined : this.#remember(digest, record.bytes)
  }

  /** Writes a record that the catalog has. */
  saveRecord(record: ManifestRecord): void {
    if (this.#unwritten.has(record.digest)) return
    this.#remember(record.digest, record.bytes)
    this.#beginRecord(record)
  }

  /** Writes a record once more that the catalog has, and whose bytes memory still has right. @returns whether memory has */
  restore(digest: Digest): boolean {
    const entry = this.#deps.catalog.manifest(digest)
    const bytes = this.bytesAtHand(digest)
    if (entry === undefined || bytes === undefined || !isDigestOf(digest, bytes)) return false
    this.saveRecord(this.#recordOf(entry, bytes))
    return true
  }

  #recordOf({ digest, mediaType, registry, repository, createdMs }: ManifestEntry, bytes: Buffer): ManifestRecord {
    const [ref] = this.#deps.catalog.refsOf(digest)
    const imageUrl = ref?.reference ?? `${registry}/${repository}@${digest}`
    return { digest, mediaType, bytes, imageUrl, registry, repository, createdMs, pulledMs: ref?.pulledMs ?? createdMs }
  }

  /** Writes what the catalog says of a reference, now and, if it changes while it is being written, again. */
  saveRef(reference: string): void {
    if (this.#refWrites.has(reference)) this.#refWrites.set(reference, true)
    else this.#track(this.#writeRef(reference))
  }

  /** Notes that a client asked for the content: access times are written now and then. */
  touch(digest: Digest): void {
    const now = this.#deps.clock.now()
    for (const ref of this.#deps.catalog.refsOf(digest)) {
      ref.pulledMs = now
      this.#touched.add(ref.reference)
    }
  }

  /** In memory of its own: small buffers share 8 KiB of Node's pool, and each would keep all of it. */
  #remember(digest: Digest, bytes: Buffer): Buffer {
    const own = Buffer.allocUnsafeSlow(bytes.byteLength)
    own.set(bytes)
    this.#recent.set(digest, own, own.byteLength)
    return own
  }

  #beginRecord(record: ManifestRecord): void {
    const written = this.#track(this.#writeRecord(record).finally(() => this.#unwritten.delete(record.digest)))
    this.#unwritten.set(record.digest, { record, written })
  }

  async #writeRef(reference: string): Promise<void> {
    const { catalog } = this.#deps
    do {
      this.#refWrites.set(reference, false)
      const ref = catalog.ref(reference)
      if (ref === undefined) continue
      await this.#unwritten.get(ref.digest)?.written
      if (catalog.ref(reference) !== ref) continue // it is written at the next turn, or is gone
      if (!(await this.#putRef(ref))) this.#touched.add(reference)
    } while (this.#refWrites.get(reference) === true)
    this.#refWrites.delete(reference)
  }

  /** @returns whether it is in the store; never before its record is. */
  async #putRef({ reference, digest, createdMs, pulledMs, checkedMs }: RefRecord): Promise<boolean> {
    if (this.#unstored.get(digest) !== undefined) return false
    const write = () => this.#deps.store.putRef({ reference, digest, createdMs, pulledMs, checkedMs })
    return this.#write({ reference, digest }, FILE_BYTES, write)
  }

  async #writeRecord(record: ManifestRecord): Promise<void> {
    const { digest, imageUrl, bytes } = record
    const sizeBytes = FILE_BYTES + RECORD_BYTES_PER_BYTE * bytes.byteLength
    const isStored = await this.#write({ reference: imageUrl, digest }, sizeBytes, () => this.#deps.store.putRecord(record))
    if (isStored) this.#unstored.delete(digest)
    else this.#unstored.set(digest, record, Math.max(bytes.byteLength, 1))
  }

  /** Some at once. False if there is no room, or it failed; never rejects. @param what for the log */
  #write(what: { readonly reference: string; readonly digest: Digest }, sizeBytes: number, write: () => Promise<void>): Promise<boolean> {
    const { space, log } = this.#deps
    return this.#limiter.run(async () => {
      const room = await space.reserve(sizeBytes)
      if (room === undefined) return false
      try {
        await write()
        room.written(sizeBytes)
        return true
      } catch (error) {
        space.failed(error)
        const level = space.trouble === undefined ? 'error' : 'debug' // the trouble of the whole store is told once, by the space
        log[level]('could not store a manifest or its reference; it is tried again', { ...what, error })
        return false
      } finally {
        room.release()
      }
    })
  }

  /** There was no more memory for a manifest that could not be written: it would be gone after a restart as well. */
  #forget({ digest, imageUrl }: ManifestRecord): void {
    const { catalog, log } = this.#deps
    this.#recent.delete(digest)
    catalog.forget(digest)
    log.info('a manifest that could not be stored is forgotten', { reference: imageUrl, digest })
  }

  async #flushNowAndThen(): Promise<void> {
    while (await this.#deps.clock.sleep(this.#deps.accessTimesMs, this.#stopping.signal)) this.flush()
  }

  #track(work: Promise<void>): Promise<void> {
    const tracked = work.finally(() => this.#busy.delete(tracked))
    this.#busy.add(tracked)
    return tracked
  }
}
