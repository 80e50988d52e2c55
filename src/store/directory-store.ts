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
import { createHash, randomBytes } from 'node:crypto'
import * as fs from 'node:fs'
import { access, constants, mkdir, readdir, rename, stat } from 'node:fs/promises'
import { dirname, join, relative, resolve } from 'node:path'
import { Limiter } from '../async/limiter.ts'
import type { Log } from '../observe/log.ts'
import { type Digest, digestAlgorithm, digestFileName, digestOf, digestOfFileName } from '../oci/digest.ts'
import { DirectorySync, TEMPORARY_PREFIX, writeFileAtomically } from './atomic-write.ts'
import {
  changeMode,
  closeFile,
  errorCode,
  inDirectory,
  isMissing,
  openFile,
  removeFile,
  renameFile,
  SharedFile,
  statFile,
  syncFile,
} from './file.ts'
import { FileBlob, identityOf, identityOfFile, VERIFIED_MODE } from './file-blob.ts'
import { decodeRecord, decodeRef, encodeRecord, encodeRef, RecordError, recordDirectory } from './record.ts'
import { type ReadSmallFile, readSmallFile, readSmallFileSync } from './small-file.ts'
import type { ListedRecord, ManifestRecord, RefRecord, Store, StoredBlob } from './store.ts'

const DIRECTORIES = ['blobs', 'img', 'fat', 'refs', 'pulls', 'quarantine'] as const
const RECORD_DIRECTORIES = ['fat', 'img', 'lts'] as const

const RECORD_MODE = 0o644
/** More would keep libuv's threads from reading. */
const BIG_SYNCS_AT_ONCE = 2
/** Small files that are read before other work gets its turn. */
const FILES_PER_TURN = 64
/** More than nearly all records and references have. */
const LISTED_AT_ONCE_BYTES = 64 * 1024
/** What is wrong with one file, and not with all: its permissions, what it is, or the disk under it. */
const UNREADABLE: ReadonlySet<string> = new Set(['EACCES', 'EPERM', 'EIO', 'ENXIO', 'ELOOP'])

export class DirectoryStore implements Store {
  readonly #syncs: Readonly<Record<'blobs' | 'refs' | 'img' | 'fat', DirectorySync>>
  readonly #bigSyncs = new Limiter(BIG_SYNCS_AT_ONCE)

  private constructor(
    readonly path: string,
    private readonly log: Log,
  ) {
    const sync = (name: string) => new DirectorySync(join(path, name))
    this.#syncs = { blobs: sync('blobs'), refs: sync('refs'), img: sync('img'), fat: sync('fat') }
  }

  /** Creates what is missing. @throws Error naming the directory that cannot be made or written */
  static async open(path: string, log: Log): Promise<DirectoryStore> {
    const root = resolve(path)
    for (const directory of [root, ...DIRECTORIES.map((name) => join(root, name))]) {
      try {
        await makeDirectory(directory)
        await access(directory, constants.R_OK | constants.W_OK | constants.X_OK)
      } catch (cause) {
        throw new Error(`cannot use ${directory} as (part of) the store: ${describe(cause)}; choose another directory with --image-path`, {
          cause,
        })
      }
    }
    return new DirectoryStore(root, log)
  }

  /** Clears away what writes left that a crash cut short. Only for the holder of the store's lock: to others these files may be alive. */
  async removeLeftovers(): Promise<void> {
    for (const { path } of Object.values(this.#syncs)) {
      for (const name of await readdir(path)) if (name.startsWith(TEMPORARY_PREFIX)) await removeFile(join(path, name))
    }
  }

  /** One that cannot be read is as good as absent: it is fetched again, and put in its place. */
  async openBlob(digest: Digest): Promise<StoredBlob | undefined> {
    const path = this.#blobPath(digest)
    try {
      return await FileBlob.of(new SharedFile(await openFile(path, 'r')))
    } catch (error) {
      if (!isMissing(error)) this.#leaveOut(path, error)
      return undefined
    }
  }

  async commitBlob(digest: Digest, spoolPath: string): Promise<void> {
    await this.#seal(spoolPath)
    await inDirectory(this.#syncs.blobs.path, () => renameFile(spoolPath, this.#blobPath(digest)))
    await this.#syncs.blobs.sync()
  }

  putBlob(digest: Digest, bytes: Uint8Array): Promise<void> {
    return writeFileAtomically(this.#syncs.blobs, digestFileName(digest), bytes, VERIFIED_MODE)
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
    if ((await identityOfFile(path)) === identity) await this.#quarantine(path, why)
  }

  async deleteBlob(digest: Digest): Promise<void> {
    await removeFile(this.#blobPath(digest))
  }

  async *listBlobs(): AsyncGenerator<Digest> {
    for (const name of await namesIn(join(this.path, 'blobs'))) {
      const digest = digestOfFileName(name)
      if (digest !== undefined) yield digest
    }
  }

  async putRecord(record: ManifestRecord): Promise<void> {
    const directory = this.#syncs[recordDirectory(record.mediaType)]
    await writeFileAtomically(directory, digestFileName(record.digest), Buffer.from(encodeRecord(record)), RECORD_MODE)
  }

  async getRecord(digest: Digest): Promise<ManifestRecord | undefined> {
    const name = digestFileName(digest)
    for (const directory of RECORD_DIRECTORIES) {
      const path = join(this.path, directory, name)
      const record = await this.#load(path, readSmallFile, (text, timeMs) => checked(decodeRecord(name, text, timeMs)))
      if (record !== undefined) return record
    }
    return undefined
  }

  async deleteRecord(digest: Digest): Promise<void> {
    for (const directory of RECORD_DIRECTORIES) await removeFile(join(this.path, directory, digestFileName(digest)))
  }

  async *listRecords(): AsyncGenerator<ListedRecord> {
    for (const directory of RECORD_DIRECTORIES) {
      yield* this.#listFiles(directory, (name, text, timeMs) => ({ ...decodeRecord(name, text, timeMs), writtenMs: timeMs }))
    }
  }

  async putRef(ref: RefRecord): Promise<void> {
    await writeFileAtomically(this.#syncs.refs, refFileName(ref.reference), Buffer.from(encodeRef(ref)), RECORD_MODE)
  }

  async getRef(reference: string): Promise<RefRecord | undefined> {
    const name = refFileName(reference)
    return this.#load(join(this.path, 'refs', name), readSmallFile, (text, timeMs) => refNamed(name, decodeRef(text, timeMs)))
  }

  async deleteRef(reference: string): Promise<void> {
    await removeFile(join(this.path, 'refs', refFileName(reference)))
  }

  async *listRefs(): AsyncGenerator<RefRecord> {
    yield* this.#listFiles('refs', (name, text, timeMs) => refNamed(name, decodeRef(text, timeMs)))
  }

  /**
   * Reads small files one by one, synchronously: thirty thousand take a third of a second so, and several times as long through
   * the thread pool. Other work gets its turn in between.
   */
  async *#listFiles<T>(directory: string, decode: (name: string, text: string, timeMs: number) => T): AsyncGenerator<T> {
    const buffer = Buffer.allocUnsafe(LISTED_AT_ONCE_BYTES)
    let inTurn = 0
    for (const name of await namesIn(join(this.path, directory))) {
      if (digestOfFileName(name) === undefined) continue
      if (++inTurn % FILES_PER_TURN === 0) await new Promise((resolve) => setImmediate(resolve))
      const path = join(this.path, directory, name)
      const read = (file: string) => readSmallFileSync(file, buffer)
      const value = await this.#load(path, read, (text, timeMs) => decode(name, text, timeMs))
      if (value !== undefined) yield value
    }
  }

  /** Undefined for a file that is missing or cannot be read, and for a damaged one, which goes to quarantine: the others count all the same. */
  async #load<T>(path: string, read: ReadSmallFile, decode: (text: string, timeMs: number) => T): Promise<T | undefined> {
    try {
      const file = await read(path)
      return file === undefined ? undefined : decode(file.text, file.timeMs)
    } catch (error) {
      if (error instanceof RecordError) await this.#quarantine(path, error.message).catch((cause) => this.#leaveOut(path, cause))
      else if (!isMissing(error)) this.#leaveOut(path, error)
      return undefined
    }
  }

  /** @throws what is not about this one file */
  #leaveOut(path: string, error: unknown): void {
    if (!UNREADABLE.has(errorCode(error) ?? '')) throw error
    this.log.error('file left out: it cannot be read', { file: path, error })
  }

  async #quarantine(path: string, why: string): Promise<void> {
    const directory = join(this.path, 'quarantine')
    const target = join(directory, `${relative(this.path, path).replaceAll('/', '-')}-${Date.now()}-${randomBytes(4).toString('hex')}`)
    await mkdir(directory, { recursive: true })
    try {
      await rename(path, target)
    } catch (error) {
      if (isMissing(error)) return
      throw error
    }
    this.log.error('damaged file moved to quarantine', { file: path, quarantine: target, why })
  }

  /**
   * Durable first, then marked: a crash must not leave the mark on bytes that never reached the disk.
   * @param identity of the file that was verified; another one that lies there by now stays unmarked
   */
  async #seal(path: string, identity?: string): Promise<void> {
    const fd = await openFile(path, 'r')
    try {
      await this.#bigSyncs.run(() => syncFile(fd))
      if (identity !== undefined && identityOf(await statFile(fd)) !== identity) return
      await changeMode(fd, VERIFIED_MODE)
    } finally {
      await closeFile(fd)
    }
  }

  #blobPath(digest: Digest): string {
    return join(this.path, 'blobs', digestFileName(digest))
  }
}

/** As `mkdir -p`. Node's own `recursive` never returns where the parent exists but takes no directories, as /proc (seen with Node 20). */
async function makeDirectory(path: string): Promise<void> {
  const parent = dirname(path)
  if (parent !== path && !fs.existsSync(parent)) await makeDirectory(parent)
  try {
    await mkdir(path)
  } catch (error) {
    if (errorCode(error) !== 'EEXIST' || !(await stat(path)).isDirectory()) throw error
  }
}

/** Nothing where there is no such directory. */
async function namesIn(directory: string): Promise<readonly string[]> {
  try {
    return await readdir(directory)
  } catch (error) {
    if (isMissing(error)) return []
    throw error
  }
}

function checked(record: ManifestRecord): ManifestRecord {
  const found = digestOf(record.bytes, digestAlgorithm(record.digest))
  if (found !== record.digest) throw new RecordError(`its bytes hash to ${found}`)
  return record
}

function refNamed(fileName: string, ref: RefRecord): RefRecord {
  if (refFileName(ref.reference) !== fileName)
    throw new RecordError(`it holds ${ref.reference}, which belongs into ${refFileName(ref.reference)}`)
  return ref
}

function refFileName(reference: string): string {
  return createHash('sha256').update(reference).digest('hex')
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
