/**
 * The Store in a directory (design §5):
 *
 *   blobs/<hex>     configs and layers; mode 0444 once this program has verified them
 *   img/<hex>       image manifests, one JSON record each
 *   fat/<hex>       indexes, one JSON record each
 *   refs/<hex>      one JSON per reference; the name is the sha256 of its canonical spelling
 *   quarantine/     what was found damaged
 *
 * Names are made from parsed digests only. Everything else that lies there is left alone.
 */
import { createHash } from 'node:crypto'
import * as fs from 'node:fs'
import { access, chmod, constants, mkdir, readdir, readFile, rename, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { Limiter } from '../async/limiter.ts'
import type { Log } from '../observe/log.ts'
import { type Digest, digestAlgorithm, digestFileName, digestOf, digestOfFileName } from '../oci/digest.ts'
import { DirectorySync, writeFileAtomically } from './atomic-write.ts'
import { closeFile, errorCode, isMissing, openFile, removeFile, SharedFile, statFile, syncFile } from './file.ts'
import { decodeRecord, decodeRef, encodeRecord, encodeRef, RecordError, recordDirectory } from './record.ts'
import type { Available, ManifestRecord, ReadBuffers, RefRecord, Store, StoredBlob } from './store.ts'

const DIRECTORIES = ['blobs', 'img', 'fat', 'refs', 'pulls', 'quarantine'] as const
const RECORD_DIRECTORIES = ['fat', 'img'] as const
type RecordDirectory = (typeof RECORD_DIRECTORIES)[number]

const VERIFIED_MODE = 0o444
const ANY_WRITE = 0o222
/** More would keep libuv's threads from reading (design §5). */
const BIG_SYNCS_AT_ONCE = 2
/** Small files that are read before other work gets its turn. */
const FILES_PER_TURN = 64

export class DirectoryStore implements Store {
  readonly #syncs: Readonly<Record<'blobs' | 'refs' | RecordDirectory, DirectorySync>>
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
    for (const directory of [path, ...DIRECTORIES.map((name) => join(path, name))]) {
      try {
        await mkdir(directory, { recursive: true })
        await access(directory, constants.R_OK | constants.W_OK | constants.X_OK)
      } catch (cause) {
        throw new Error(`cannot use ${directory} as (part of) the store: ${describe(cause)}; choose another directory with --image-path`, {
          cause,
        })
      }
    }
    return new DirectoryStore(path, log)
  }

  async openBlob(digest: Digest): Promise<StoredBlob | undefined> {
    try {
      const fd = await openFile(this.#blobPath(digest), 'r')
      return await FileBlob.of(new SharedFile(fd))
    } catch (error) {
      if (isMissing(error)) return undefined
      throw error
    }
  }

  async commitBlob(digest: Digest, spoolPath: string): Promise<void> {
    const fd = await openFile(spoolPath, 'r')
    try {
      await chmod(spoolPath, VERIFIED_MODE)
      await this.#bigSyncs.run(() => syncFile(fd))
    } finally {
      await closeFile(fd)
    }
    await rename(spoolPath, this.#blobPath(digest))
    await this.#syncs.blobs.sync()
  }

  async markVerified(digest: Digest): Promise<void> {
    await chmod(this.#blobPath(digest), VERIFIED_MODE)
  }

  async quarantineBlob(digest: Digest, why: string): Promise<void> {
    await this.#quarantine(this.#blobPath(digest), why)
  }

  async deleteBlob(digest: Digest): Promise<void> {
    await removeFile(this.#blobPath(digest))
  }

  async *listBlobs(): AsyncGenerator<Digest> {
    for (const name of await readdir(join(this.path, 'blobs'))) {
      const digest = digestOfFileName(name)
      if (digest !== undefined) yield digest
    }
  }

  async putRecord(record: ManifestRecord): Promise<void> {
    await writeFileAtomically(this.#syncs[recordDirectory(record.mediaType)], digestFileName(record.digest), encodeRecord(record))
  }

  async getRecord(digest: Digest): Promise<ManifestRecord | undefined> {
    for (const directory of RECORD_DIRECTORIES) {
      const path = join(this.path, directory, digestFileName(digest))
      const record = await this.#decode(path, await readOrUndefined(path), (text, timeMs) =>
        checked(decodeRecord(digestFileName(digest), text, timeMs)),
      )
      if (record !== undefined) return record
    }
    return undefined
  }

  async deleteRecord(digest: Digest): Promise<void> {
    for (const directory of RECORD_DIRECTORIES) await removeFile(join(this.path, directory, digestFileName(digest)))
  }

  async *listRecords(): AsyncGenerator<ManifestRecord> {
    for (const directory of RECORD_DIRECTORIES) {
      yield* this.#listFiles(directory, (name, text, timeMs) => decodeRecord(name, text, timeMs))
    }
  }

  async putRef(ref: RefRecord): Promise<void> {
    await writeFileAtomically(this.#syncs.refs, refFileName(ref.reference), encodeRef(ref))
  }

  async getRef(reference: string): Promise<RefRecord | undefined> {
    const path = join(this.path, 'refs', refFileName(reference))
    return this.#decode(path, await readOrUndefined(path), (text, timeMs) => refNamed(refFileName(reference), decodeRef(text, timeMs)))
  }

  async deleteRef(reference: string): Promise<void> {
    await removeFile(join(this.path, 'refs', refFileName(reference)))
  }

  async *listRefs(): AsyncGenerator<RefRecord> {
    yield* this.#listFiles('refs', (name, text, timeMs) => refNamed(name, decodeRef(text, timeMs)))
  }

  /**
   * Reads small files one by one, synchronously: thirty thousand take a third of a second so, and several times as long through
   * the thread pool (design §10). Other work gets its turn in between.
   */
  async *#listFiles<T>(directory: string, decode: (name: string, text: string, timeMs: number) => T): AsyncGenerator<T> {
    let inTurn = 0
    for (const name of await readdir(join(this.path, directory))) {
      if (digestOfFileName(name) === undefined) continue
      if (++inTurn % FILES_PER_TURN === 0) await new Promise((resolve) => setImmediate(resolve))
      const path = join(this.path, directory, name)
      const value = await this.#decode(path, readSmallFile(path), (text, timeMs) => decode(name, text, timeMs))
      if (value !== undefined) yield value
    }
  }

  /** Undefined for a missing file and for a damaged one, which goes to quarantine. */
  async #decode<T>(path: string, file: SmallFile | undefined, decode: (text: string, timeMs: number) => T): Promise<T | undefined> {
    if (file === undefined) return undefined
    try {
      return decode(file.text, file.timeMs)
    } catch (error) {
      if (!(error instanceof RecordError)) throw error
      await this.#quarantine(path, error.message)
      return undefined
    }
  }

  async #quarantine(path: string, why: string): Promise<void> {
    const target = join(this.path, 'quarantine', `${path.slice(this.path.length + 1).replaceAll('/', '-')}-${Date.now()}`)
    try {
      await rename(path, target)
    } catch (error) {
      if (isMissing(error)) return
      throw error
    }
    this.log.warn('damaged file moved to quarantine', { file: path, quarantine: target, why })
  }

  #blobPath(digest: Digest): string {
    return join(this.path, 'blobs', digestFileName(digest))
  }
}

class FileBlob implements StoredBlob {
  private constructor(
    private readonly file: SharedFile,
    readonly sizeBytes: number,
    readonly verified: boolean,
  ) {}

  /** Undefined if it is no regular file. */
  static async of(file: SharedFile): Promise<FileBlob | undefined> {
    const stats = await statFile(file.fd)
    if (stats.isFile()) return new FileBlob(file, stats.size, (stats.mode & ANY_WRITE) === 0)
    await file.release()
    return undefined
  }

  read(start: number, end: number, buffers: ReadBuffers): AsyncIterable<Buffer> {
    return this.file.read(start, end, buffers)
  }

  readWhen(start: number, end: number, buffers: ReadBuffers, available: Available): AsyncIterable<Buffer> {
    return this.file.read(start, end, buffers, available)
  }

  close(): void {
    void this.file.release()
  }
}

type SmallFile = { readonly text: string; readonly timeMs: number }

function readSmallFile(path: string): SmallFile | undefined {
  try {
    return { text: fs.readFileSync(path, 'utf8'), timeMs: fs.statSync(path).mtimeMs }
  } catch (error) {
    if (isMissing(error)) return undefined
    throw error
  }
}

async function readOrUndefined(path: string): Promise<SmallFile | undefined> {
  try {
    const text = await readFile(path, 'utf8')
    return { text, timeMs: (await stat(path)).mtimeMs }
  } catch (error) {
    if (isMissing(error)) return undefined
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
