/**
 * Brings records and references to the store behind the clients' backs: a manifest is served as soon as it is verified, and kept in memory
 * until it is durable. A record is always durable before a reference points at it.
 */
import { Limiter } from '../async/limiter.ts'
import { Lru } from '../async/lru.ts'
import type { Clock } from '../observe/clock.ts'
import type { Log } from '../observe/log.ts'
import type { Digest } from '../oci/digest.ts'
import type { ManifestRecord, Store } from '../store/store.ts'
import type { Catalog } from './catalog.ts'

/** Manifest bytes kept in memory, in all. */
const MANIFEST_BYTES_KEPT = 16 * 1024 * 1024
const WRITES_AT_ONCE = 8

export type PublisherDeps = {
  readonly catalog: Catalog
  readonly store: Store
  readonly clock: Clock
  readonly log: Log
  readonly accessTimesMs: number
}

export class Publisher {
  readonly #deps: PublisherDeps
  readonly #recent = new Lru<Digest, Buffer>({ capacity: MANIFEST_BYTES_KEPT, heaviest: MANIFEST_BYTES_KEPT / 4 })
  readonly #unwritten = new Map<Digest, { readonly record: ManifestRecord; readonly written: Promise<void> }>()
  /** References being written; true: it changed meanwhile and is written once more. */
  readonly #refWrites = new Map<string, boolean>()
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

  /** Resolves when everything is written. */
  async stop(): Promise<void> {
    this.#stopping.abort()
    await this.#loop
    this.#flushAccessTimes()
    while (this.#busy.size > 0) await Promise.all(this.#busy)
  }

  /** The exact bytes of a manifest, where they are in memory. */
  bytesAtHand(digest: Digest): Buffer | undefined {
    return this.#recent.get(digest) ?? this.#unwritten.get(digest)?.record.bytes
  }

  /** The exact bytes of a manifest; undefined if the store has lost them. */
  async bytesOf(digest: Digest): Promise<Buffer | undefined> {
    const known = this.bytesAtHand(digest)
    if (known !== undefined) return known
    const record = await this.#deps.store.getRecord(digest)
    return record === undefined ? undefined : this.#remember(digest, record.bytes)
  }

  /** Writes a record that the catalog has. If that fails the catalog forgets it again: it would be gone after a restart. */
  saveRecord(record: ManifestRecord): void {
    if (this.#unwritten.has(record.digest)) return
    this.#remember(record.digest, record.bytes)
    const written = this.#track(
      this.#limiter
        .run(() => this.#deps.store.putRecord(record))
        .catch((error: unknown) => {
          this.#deps.log.error('could not store a manifest; it stays uncached', {
            reference: record.imageUrl,
            digest: record.digest,
            error,
          })
          this.#recent.delete(record.digest)
          for (const ref of [...this.#deps.catalog.refsOf(record.digest)]) this.#deps.catalog.removeRef(ref.reference)
          this.#deps.catalog.removeManifest(record.digest)
        })
        .finally(() => this.#unwritten.delete(record.digest)),
    )
    this.#unwritten.set(record.digest, { record, written })
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

  async #writeRef(reference: string): Promise<void> {
    const { catalog, store, log } = this.#deps
    do {
      this.#refWrites.set(reference, false)
      const ref = catalog.ref(reference)
      if (ref === undefined) continue
      await this.#unwritten.get(ref.digest)?.written
      if (catalog.ref(reference) !== ref) continue // it is written at the next turn, or is gone
      const { digest, createdMs, pulledMs, checkedMs } = ref
      await this.#limiter
        .run(() => store.putRef({ reference, digest, createdMs, pulledMs, checkedMs }))
        .catch((error: unknown) => log.error('could not store a reference; it is lost at the next start', { reference, error }))
    } while (this.#refWrites.get(reference) === true)
    this.#refWrites.delete(reference)
  }

  async #flushNowAndThen(): Promise<void> {
    while (await this.#deps.clock.sleep(this.#deps.accessTimesMs, this.#stopping.signal)) this.#flushAccessTimes()
  }

  #flushAccessTimes(): void {
    for (const reference of this.#touched) this.saveRef(reference)
    this.#touched.clear()
  }

  #track(work: Promise<void>): Promise<void> {
    const tracked = work.finally(() => this.#busy.delete(tracked))
    this.#busy.add(tracked)
    return tracked
  }
}
