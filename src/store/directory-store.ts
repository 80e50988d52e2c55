/**
 * The Store in a directory:
 *
 *   blobs/<hex>     configs and layers; mode 0444 once this program has verified them
 *   img/<hex>       image manifests, one JSON record each
 *   fat/<hex>       indexes, one JSON record each
 *   lts/<hex>       read only, where it exists: records whose tag is `latest`, of Go programs from 1.9 on
 *   refs/<hex>      one JSON per reference; the name is the sha256 of its canonical spelling
 *   quarantine/     what was found damaged
 *
 * Names are made from parsed digests only. Everything else that lies there is left alone.
 */
import { constants } from 'node:fs'
import { join, resolve } from 'node:path'
import { Limiter } from '../async/limiter.ts'
import type { Log } from '../observe/log.ts'
import { type Digest, digestAlgorithm, digestFileName, digestOf, digestOfFileName } from '../oci/digest.ts'
import { BIG_SYNCS_AT_ONCE, DirectorySync, GATHER_MS, TEMPORARY_PREFIX, writeFileAtomically } from './atomic-write.ts'
import { errorCode, inDirectory, isMissing, isUnreadable, makeDirectory, namesIn, removeFile, syncDirectory } from './file.ts'
import { FileBlob, identityOf, identityOfFile, isSealed, VERIFIED_MODE } from './file-blob.ts'
import { type FileStats, type FileSystem, OWN_TO_READ, systemFiles } from './file-system.ts'
import { inPlaceOf, moveToQuarantine } from './quarantine.ts'
import {
  decodeListedRecord,
  decodeRecord,
  decodeRef,
  encodeRecord,
  encodeRef,
  RecordError,
  recordDirectory,
  referenceFileName,
} from './record.ts'
import { readSmallFile, readSmallTextSync } from './small-file.ts'
import type { ListedBlob, ListedRecord, ManifestRecord, RefRecord, Store, StoredBlob } from './store.ts'

const DIRECTORIES = ['blobs', 'img', 'fat', 'refs', 'pulls', 'quarantine'] as const
const RECORD_DIRECTORIES = ['fat', 'img', 'lts'] as const

const RECORD_MODE = 0o644
/** Small files that are read before other work gets its turn. */
const FILES_PER_TURN = 64
/** More than nearly all records and references have. */
const LISTED_AT_ONCE_BYTES = 64 * 1024

export class DirectoryStore implements Store {
  readonly #syncs: Readonly<Record<'blobs' | 'refs' | 'img' | 'fat', DirectorySync>>
  #leftOutFiles = 0
  /** Blobs that are being deleted. */
  readonly #deletions = new Map<Digest, Promise<void>>()
  /** The spool, on the same disk, shares it. */
  readonly bigSyncs = new Limiter(BIG_SYNCS_AT_ONCE)

  private constructor(
    readonly path: string,
    private readonly log: Log,
    private readonly files: FileSystem,
    gatherMs: number,
  ) {
    const sync = (name: string) => new DirectorySync(join(path, name), files, gatherMs)
    this.#syncs = { blobs: sync('blobs'), refs: sync('refs'), img: sync('img'), fat: sync('fat') }
  }

  /** One that is there, or will be: nothing is created or looked at. */
  static at(path: string, log: Log, files = systemFiles, gatherMs = GATHER_MS): DirectoryStore {
    return new DirectoryStore(resolve(path), log, files, gatherMs)
  }

  /** Creates what is missing. @throws Error naming the directory that cannot be made or written */
  static async open(path: string, log: Log, files = systemFiles, gatherMs = GATHER_MS): Promise<DirectoryStore> {
    const root = resolve(path)
    for (const directory of [root, ...DIRECTORIES.map((name) => join(root, name))]) {
      try {
        await makeDirectory(directory, files)
        await files.access(directory, constants.R_OK | constants.W_OK | constants.X_OK)
      } catch (cause) {
        throw new Error(`cannot use ${directory} as (part of) the store: ${describe(cause)}; choose another directory with --image-path`, {
          cause,
        })
      }
    }
    await syncDirectory(root, files).catch(() => {}) // a process that was killed may have made them; who may not sync goes on without
    return new DirectoryStore(root, log, files, gatherMs)
  }

  /** Clears away what writes left that a crash cut short. Only for the holder of the store's lock: to others these files may be alive. */
  async removeLeftovers(): Promise<void> {
    for (const directory of DIRECTORIES) {
      const path = join(this.path, directory)
      for (const name of await namesIn(path, this.files))
        if (name.startsWith(TEMPORARY_PREFIX)) await removeFile(join(path, name), this.files)
    }
  }

  /** One that cannot be read is as good as absent: it is fetched again, and put in its place. */
  async openBlob(digest: Digest): Promise<StoredBlob | undefined> {
    const path = this.#blobPath(digest)
    await this.#deletions.get(digest)
    try {
      return await FileBlob.open(path, this.files)
    } catch (error) {
      if (!isMissing(error)) this.#leaveOut(path, error)
      return undefined
    }
  }

  async commitBlob(digest: Digest, spoolPath: string): Promise<void> {
    await this.#seal(spoolPath)
    await this.#deletions.get(digest)
    const path = this.#blobPath(digest)
    const rename = () => inDirectory(this.#syncs.blobs.path, () => this.files.rename(spoolPath, path), this.files)
    await inPlaceOf(this.path, path, rename, this.log, this.files)
    await this.#syncs.blobs.sync()
  }

  async putBlob(digest: Digest, bytes: Uint8Array): Promise<void> {
    await this.#deletions.get(digest)
    await this.#replace(this.#syncs.blobs, digestFileName(digest), bytes, VERIFIED_MODE)
  }

  /** One that belongs to another user cannot be marked, and one that was deleted or replaced meanwhile must not be. */
  async markVerified(digest: Digest, identity: string): Promise<void> {
    const path = this.#blobPath(digest)
    try {
      await this.#seal(path, identity)
    } catch (error) {
      if (isMissing(error)) return
      const why = errorCode(error) === 'EPERM' ? ', because it belongs to another user' : ''
      this.log.warn(`a verified blob cannot be marked so${why}: it is hashed again after the next start`, { file: path, error })
    }
  }

  async quarantineBlob(digest: Digest, identity: string, why: string): Promise<void> {
    const path = this.#blobPath(digest)
    if ((await identityOfFile(path, this.files)) === identity) await this.#quarantine(path, why)
  }

  async deleteBlob(digest: Digest): Promise<void> {
    const deletion = removeFile(this.#blobPath(digest), this.files).finally(() => {
      if (this.#deletions.get(digest) === over) this.#deletions.delete(digest)
    })
    const over = deletion.catch(() => {}) // that is told to who asked for it
    this.#deletions.set(digest, over)
    await deletion
  }

  async blobDigests(): Promise<Iterable<Digest>> {
    return digestsOf(await namesIn(join(this.path, 'blobs'), this.files))
  }

  async *listBlobs(digests?: Iterable<Digest>): AsyncGenerator<ListedBlob> {
    const directory = join(this.path, 'blobs')
    let inTurn = 0
    for (const digest of digests ?? (await this.blobDigests())) {
      if (++inTurn % FILES_PER_TURN === 0) await new Promise((resolve) => setImmediate(resolve))
      const stats = this.#stats(`${directory}/${digestFileName(digest)}`)
      if (stats?.isFile()) yield { digest, sizeBytes: stats.size, writtenMs: stats.mtimeMs, verified: isSealed(stats.mode) }
    }
  }

  /** Undefined for one that went meanwhile, or cannot be looked at. */
  #stats(path: string): FileStats | undefined {
    try {
      return this.files.statSync(path)
    } catch (error) {
      if (!isMissing(error)) this.#leaveOut(path, error)
      return undefined
    }
  }

  async putRecord(record: ManifestRecord): Promise<void> {
    const directory = this.#syncs[recordDirectory(record.mediaType)]
    await this.#replace(directory, digestFileName(record.digest), Buffer.from(encodeRecord(record)), RECORD_MODE)
  }

  async getRecord(digest: Digest): Promise<ManifestRecord | undefined> {
    const name = digestFileName(digest)
    for (const directory of RECORD_DIRECTORIES) {
      const path = join(this.path, directory, name)
      const record = await this.#load(path, (text, time) => checked(decodeRecord(name, text, time)))
      if (record !== undefined) return record
    }
    return undefined
  }

  async hasRecord(digest: Digest): Promise<boolean> {
    for (const directory of RECORD_DIRECTORIES) if (await this.#has(directory, digestFileName(digest))) return true
    return false
  }

  async deleteRecord(digest: Digest): Promise<void> {
    for (const directory of RECORD_DIRECTORIES) await removeFile(join(this.path, directory, digestFileName(digest)), this.files)
  }

  listRecords(): AsyncGenerator<ListedRecord> {
    return this.#listFiles(RECORD_DIRECTORIES, decodeListedRecord)
  }

  async putRef(ref: RefRecord): Promise<void> {
    await this.#replace(this.#syncs.refs, referenceFileName(ref.reference), Buffer.from(encodeRef(ref)), RECORD_MODE)
  }

  async getRef(reference: string): Promise<RefRecord | undefined> {
    const name = referenceFileName(reference)
    return this.#load(join(this.path, 'refs', name), (text, time) => refNamed(name, decodeRef(text, time)))
  }

  hasRef(reference: string): Promise<boolean> {
    return this.#has('refs', referenceFileName(reference))
  }

  async deleteRef(reference: string): Promise<void> {
    await removeFile(join(this.path, 'refs', referenceFileName(reference)), this.files)
  }

  listRefs(): AsyncGenerator<RefRecord> {
    return this.#listFiles(['refs'], (name, text, time) => refNamed(name, decodeRef(text, time)))
  }

  get leftOut(): number {
    return this.#leftOutFiles
  }

  async syncDeletions(): Promise<void> {
    const directories = ['refs', ...RECORD_DIRECTORIES].map((name) => join(this.path, name))
    await Promise.all(
      directories.map((directory) =>
        syncDirectory(directory, this.files).catch((error: unknown) => {
          if (!isMissing(error)) throw error
        }),
      ),
    )
  }

  /**
   * Reads small files one by one, synchronously: thirty thousand take a third of a second so, and several times as long through
   * the thread pool. Other work gets its turn in between.
   */
  async *#listFiles<T>(directories: readonly string[], decode: (name: string, text: string, time: () => number) => T): AsyncGenerator<T> {
    const buffer = Buffer.allocUnsafe(LISTED_AT_ONCE_BYTES)
    let inTurn = 0
    for (const directory of directories.map((name) => join(this.path, name))) {
      for (const name of await namesIn(directory, this.files)) {
        if (digestOfFileName(name) === undefined) continue
        if (++inTurn % FILES_PER_TURN === 0) await new Promise((resolve) => setImmediate(resolve))
        const path = `${directory}/${name}`
        let value: T | undefined
        try {
          const text = readSmallTextSync(path, buffer, this.files)
          value = text === undefined ? undefined : decode(name, text, () => this.#stats(path)?.mtimeMs ?? 0)
        } catch (error) {
          await this.#doWithout(path, error)
        }
        if (value !== undefined) yield value
      }
    }
  }

  /** Undefined for a file that is missing or cannot be read, and for a damaged one, which goes to quarantine: the others count all the same. */
  async #load<T>(path: string, decode: (text: string, time: () => number) => T): Promise<T | undefined> {
    try {
      const file = await readSmallFile(path, this.files)
      return file === undefined ? undefined : decode(file.text, () => file.timeMs)
    } catch (error) {
      await this.#doWithout(path, error)
      return undefined
    }
  }

  /** @throws what is not about this one file */
  async #doWithout(path: string, error: unknown): Promise<void> {
    if (!isMissing(error)) this.#leftOutFiles++
    if (error instanceof RecordError) await this.#setAside(path, error.message)
    else if (!isMissing(error)) this.#leaveOut(path, error)
  }

  /** Where nothing may be written, as on a read-only file system, a damaged file is as good as absent, too. */
  async #setAside(path: string, why: string): Promise<void> {
    try {
      await this.#quarantine(path, why)
    } catch (error) {
      this.log.error('damaged file left out: it cannot be moved to quarantine', { file: path, why, error })
    }
  }

  /** @throws what is not about this one file */
  #leaveOut(path: string, error: unknown): void {
    if (!isUnreadable(error)) throw error
    this.log.error('file left out: it cannot be read', { file: path, error })
  }

  async #quarantine(path: string, why: string): Promise<void> {
    await moveToQuarantine(this.path, path, why, this.log, this.files)
  }

  /**
   * Durable first, then marked: a crash must not leave the mark on bytes that never reached the disk.
   * @param identity of the file that was verified; another one that lies there by now stays unmarked
   */
  async #seal(path: string, identity?: string): Promise<void> {
    const { files } = this
    const fd = await files.open(path, OWN_TO_READ)
    try {
      await this.bigSyncs.run(() => files.fsync(fd))
      if (identity !== undefined && identityOf(await files.fstat(fd)) !== identity) return
      await files.fchmod(fd, VERIFIED_MODE)
    } finally {
      await files.close(fd)
    }
  }

  /** A directory that lies in its place is moved to quarantine. */
  #replace(directory: DirectorySync, name: string, content: Uint8Array, mode: number): Promise<void> {
    const write = () => writeFileAtomically(directory, name, content, mode)
    return inPlaceOf(this.path, join(directory.path, name), write, this.log, this.files)
  }

  async #has(directory: string, name: string): Promise<boolean> {
    return (await identityOfFile(join(this.path, directory, name), this.files)) !== undefined
  }

  #blobPath(digest: Digest): string {
    return join(this.path, 'blobs', digestFileName(digest))
  }
}

/** One at a time: those of very many names need not all be kept. */
function* digestsOf(names: readonly string[]): Generator<Digest> {
  for (const name of names) {
    const digest = digestOfFileName(name)
    if (digest !== undefined) yield digest
  }
}

function checked(record: ManifestRecord): ManifestRecord {
  const found = digestOf(record.bytes, digestAlgorithm(record.digest))
  if (found !== record.digest) throw new RecordError(`its bytes hash to ${found}`)
  return record
}

function refNamed(fileName: string, ref: RefRecord): RefRecord {
  if (referenceFileName(ref.reference) !== fileName)
    throw new RecordError(`it holds ${ref.reference}, which belongs into ${referenceFileName(ref.reference)}`)
  return ref
}

function describe(error: unknown): string {
  const messages: Readonly<Record<string, string>> = {
    EACCES: `user ${process.getuid?.()} has no permission`,
    EPERM: `user ${process.getuid?.()} has no permission`,
    EROFS: 'the file system is read-only',
    ENOTDIR: 'a part of its path is not a directory',
    EEXIST: 'it exists and is not a directory',
    ENOSPC: 'the disk is full',
  }
  return messages[errorCode(error) ?? ''] ?? (error instanceof Error ? error.message : String(error))
}
