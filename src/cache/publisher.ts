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

/** Of a reference that is being written; `again`: it changed meanwhile and is written once more. */
type RefWrite = { again: boolean; over: Promise<void> }

export class Publisher {
  readonly #deps: PublisherDeps
  readonly #recent = new Lru<Digest, Buffer>({ capacity: MANIFEST_BYTES_KEPT, heaviest: MANIFEST_BYTES_KEPT / 4 })
  readonly #unwritten = new Map<Digest, { readonly record: ManifestRecord; readonly written: Promise<void> }>()
  /** Manifests whose records could not be written. */
  readonly #unstored = new Lru<Digest, ManifestRecord>({ capacity: UNSTORED_BYTES_KEPT, onEvicted: (record) => this.#forget(record) })
  readonly #refWrites = new Map<string, RefWrite>()
  /** References and manifests that were let go of, and whose files are yet to be removed. */
  readonly #going = new Set<string>()
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

  /** Resolves when all is written, or has failed to be, that was to be written when it was called. */
  async written(): Promise<void> {
    await Promise.all(this.#busy)
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
    const running = this.#refWrites.get(reference)
    if (running !== undefined) {
      running.again = true
      return
    }
    const write: RefWrite = { again: false, over: Promise.resolve() }
    this.#refWrites.set(reference, write)
    write.over = this.#track(this.#writeRef(reference, write))
  }

  /** Has the catalog forget these. Nobody is served their files any more, which are to be removed one by one now. */
  letGo(references: Iterable<string>, digests: Iterable<Digest>): void {
    const { catalog } = this.#deps
    for (const reference of references) {
      catalog.removeRef(reference)
      this.#going.add(reference)
    }
    for (const digest of digests) {
      catalog.removeManifest(digest)
      this.#recent.delete(digest)
      this.#going.add(digest)
    }
  }

  /** Whether a reference or manifest was let go of, and its file is still to be removed. */
  isGoing(name: string): boolean {
    return this.#going.has(name)
  }

  /** Removes the file of a reference that was let go of, unless it came back meanwhile. @returns whether it is gone; if not, it is tried again */
  async removeRef(reference: string): Promise<boolean> {
    this.saveRef(reference)
    await this.#refWrites.get(reference)?.over
    return !this.#going.has(reference)
  }

  /** Removes the record of a manifest that was let go of, unless it came back meanwhile. @throws the system's error */
  removeRecord(digest: Digest): Promise<void> {
    const { catalog, store } = this.#deps
    const remove = async () => {
      try {
        await this.#unwritten.get(digest)?.written
        this.#unstored.delete(digest)
        if (catalog.manifest(digest) === undefined) await this.#limiter.run(() => store.deleteRecord(digest))
        await this.#unwritten.get(digest)?.written // it may have come back, and have been written before it was removed
        const isLost = catalog.manifest(digest) !== undefined && !(await store.hasRecord(digest))
        if (isLost && !this.restore(digest)) catalog.forget(digest)
      } finally {
        this.#going.delete(digest)
      }
    }
    const removed = remove()
    void this.#track(removed.catch(() => {})) // that is told to who asked for it
    return removed
  }

  /** Has the record of a manifest name a reference that it has now: the one that it names is about to go. @throws the system's error */
  async renameRecord(digest: Digest): Promise<void> {
    const { catalog, store } = this.#deps
    const bytes = await this.bytesOf(digest)
    const entry = catalog.manifest(digest)
    if (bytes === undefined || entry === undefined) return
    const record = this.#recordOf(entry, bytes)
    await this.#limiter.run(() => store.putRecord(record)) // without asking for room: what makes room must not need any
    catalog.nameRecord(digest, record.imageUrl)
  }

  /** Notes that a client asked for the content: access times are written now and then. */
  touch(digest: Digest): void {
    const now = this.#deps.clock.now()
    let isNamed = false
    for (const ref of this.#deps.catalog.refsOf(digest)) {
      isNamed = true
      ref.pulledMs = now
      this.#touched.add(ref.reference)
    }
    if (!isNamed) this.#name(digest, now)
  }

  /** What a tag has moved away from, and is asked for by its digest, is named by that: else nothing would tell that it is wanted. */
  #name(digest: Digest, now: number): void {
    const { catalog } = this.#deps
    const entry = catalog.manifest(digest)
    if (entry === undefined) return
    const { registry, repository, createdMs } = entry
    const reference = `${registry}/${repository}@${digest}`
    catalog.setRef({ reference, digest, createdMs, pulledMs: now, checkedMs: createdMs }, 0)
    this.#touched.add(reference)
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
    this.#deps.catalog.nameRecord(record.digest, record.imageUrl)
  }

  async #writeRef(reference: string, write: RefWrite): Promise<void> {
    const { catalog } = this.#deps
    do {
      write.again = false
      const ref = catalog.ref(reference)
      if (ref === undefined) {
        await this.#removeIfGoing(reference)
        continue
      }
      await this.#unwritten.get(ref.digest)?.written
      if (catalog.ref(reference) !== ref) continue // it is written at the next turn, or is gone
      this.#going.delete(reference) // it came back
      if (!(await this.#putRef(ref))) this.#touched.add(reference)
    } while (write.again)
    this.#refWrites.delete(reference)
  }

  /** What is not in the catalog is still in the store, unless it was let go of. */
  async #removeIfGoing(reference: string): Promise<void> {
    const { store, log } = this.#deps
    if (!this.#going.has(reference)) return
    try {
      await this.#limiter.run(() => store.deleteRef(reference))
      this.#going.delete(reference)
    } catch (error) {
      log.error('could not remove a reference; it is tried again', { reference, error })
      this.#touched.add(reference)
    }
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
