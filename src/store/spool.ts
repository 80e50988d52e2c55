/**
 * The spool: unverified bytes of running fills, one file each under `pulls/`, always on a local disk; the smallest ones stay in memory. What a fill
 * leaves there is taken up by the next one of the same digest, also by another process, and after a power loss.
 */
import { randomUUID } from 'node:crypto'
import { dirname, join } from 'node:path'
import { Limiter } from '../async/limiter.ts'
import type { Clock } from '../observe/clock.ts'
import type { Log } from '../observe/log.ts'
import { type Digest, digestFileName, digestOfFileName } from '../oci/digest.ts'
import { BIG_SYNCS_AT_ONCE, DirectorySync } from './atomic-write.ts'
import { errorCode, inDirectory, isMissing, isUnreadable, namesIn, removeFile } from './file.ts'
import { isSealed } from './file-blob.ts'
import { FileSpool, SPOOL_PACE, type SpoolPace } from './file-spool.ts'
import { type FileStats, type FileSystem, OWN_TO_READ, OWN_TO_WRITE, systemFiles } from './file-system.ts'
import { NoteFile } from './note-file.ts'
import { makeWay } from './quarantine.ts'
import { type FullSpoolNote, noteName, type SpoolNote, spoolNameOf } from './spool-note.ts'
import type { Available, BlobStore, ReadBuffers } from './store.ts'

export type { FileSpool } from './file-spool.ts'
export type { SpoolNote } from './spool-note.ts'

/** The bytes of one fill. They stay readable until the last holder lets go, whatever became of their name meanwhile. */
export interface Spool {
  /** What was written, where that is in memory. */
  readonly whole?: Buffer
  /** How many bytes an earlier fill left, from the first one on. Nobody has hashed them since. */
  readonly leftBytes: number
  /** Whoever made it holds it. @throws Error if all have let go */
  hold(): void
  /** Each holder calls it once. */
  release(): Promise<void>
  /** One call at a time, each where the last one ended. */
  write(chunks: readonly Uint8Array[], position: number): Promise<void>
  /** See `readChunks`. */
  read(start: number, end: number, buffers: ReadBuffers, available?: Available): AsyncIterable<Buffer>
  /** Makes it a blob of the store, durably. Its bytes are verified. */
  commit(store: BlobStore, digest: Digest): Promise<void>
  /** Leaves it for a later fill, durably; holders may go on reading. */
  keep(): Promise<void>
  /** Forgets it; holders may go on reading. */
  drop(): Promise<void>
}

export type SpoolDeps = {
  readonly clock: Pick<Clock, 'now' | 'monotonic'>
  readonly log: Log
  readonly files?: FileSystem
  /** Shared by all that sync big files. */
  readonly bigSyncs?: Limiter
  /** Another one after each start of the machine; default: the system's. */
  readonly boot?: string
  readonly pace?: Partial<SpoolPace>
  /** See `DirectorySync`. */
  readonly gatherMs?: number
}

/** What was cleared away. */
export type Removed = { readonly files: number; readonly bytes: number }

const SPOOL_MODE = 0o644
const BOOT_ID = '/proc/sys/kernel/random/boot_id'

export class SpoolDirectory {
  readonly #deps: SpoolDeps
  readonly #files: FileSystem
  readonly #bigSyncs: Limiter
  readonly #sync: DirectorySync
  /** Names of files that fills have. */
  readonly #open = new Set<string>()
  /** Names of files that earlier fills left, as far as they have been seen. */
  readonly #left = new Set<string>()
  /** What is being cleared away right now. */
  readonly #removing = new Map<string, Promise<unknown>>()
  #boot: Promise<string> | undefined

  constructor(
    readonly path: string,
    deps: SpoolDeps,
  ) {
    const { files = systemFiles, bigSyncs = new Limiter(BIG_SYNCS_AT_ONCE), boot } = deps
    this.#deps = deps
    this.#files = files
    this.#bigSyncs = bigSyncs
    this.#sync = new DirectorySync(path, files, deps.gatherMs)
    if (boot !== undefined) this.#boot = Promise.resolve(boot)
  }

  /**
   * The spool file of `digest`, with what an earlier fill left there as far as that can be trusted. One fill at a time may have it.
   * @param about what the fill knows of the blob; asked whenever the note beside the file is written
   */
  async open(digest: Digest, about: () => SpoolNote): Promise<FileSpool> {
    const name = digestFileName(digest)
    this.#open.add(name)
    this.#left.delete(name)
    try {
      await this.#removing.get(name)
      this.#boot ??= readBootId(this.#files)
      const boot = await this.#boot
      const note = new NoteFile({ directory: this.#sync, name: noteName(name), digest, boot, about, log: this.#deps.log })
      const left = await this.#takeUp(name, note, boot)
      const fd = left?.fd ?? (await this.#create(name, note))
      return new FileSpool({
        path: join(this.path, name),
        fd,
        note,
        left: { bytes: 0, syncedBytes: 0, isNamed: false, note: undefined, ...left },
        directory: this.#sync,
        bigSyncs: this.#bigSyncs,
        pace: { ...SPOOL_PACE, ...this.#deps.pace },
        clock: this.#deps.clock,
        log: this.#deps.log,
        onEnd: (isKept) => {
          this.#open.delete(name)
          if (isKept) this.#left.add(name)
        },
      })
    } catch (error) {
      this.#open.delete(name)
      throw error
    }
  }

  /** Whether an earlier fill is known to have left something of a blob. */
  hasLeft(digest: Digest): boolean {
    return this.#left.has(digestFileName(digest))
  }

  /**
   * Clears away what no fill has come back for, what none could go on from, and what is left of blobs that are stored; foreign files stay.
   * @param olderThanMs since neither the file nor its note was written
   */
  async removeStale(olderThanMs: number, isStored: (digest: Digest) => Promise<boolean>): Promise<Removed> {
    const removed = { files: 0, bytes: 0 }
    for (const name of new Set((await namesIn(this.path, this.#files)).map(spoolNameOf))) {
      if (name === undefined || this.#open.has(name)) continue
      const removing = this.#removeIfUseless(name, olderThanMs, isStored).catch((error: unknown) => {
        this.#deps.log.warn('what an earlier download left cannot be cleared away', { file: join(this.path, name), error })
      })
      this.#removing.set(name, removing)
      const bytes = await removing.finally(() => this.#removing.delete(name))
      if (bytes === undefined) continue
      removed.files++
      removed.bytes += bytes
    }
    return removed
  }

  /** What earlier fills left, in bytes. */
  async leftBytes(): Promise<number> {
    let bytes = 0
    for (const name of await namesIn(this.path, this.#files)) {
      const spoolName = spoolNameOf(name)
      if (spoolName !== undefined && !this.#open.has(spoolName)) bytes += (await this.#stats(name))?.size ?? 0
    }
    return bytes
  }

  /**
   * What nobody came back for, and at once what no fill could go on from: a note without its file, and a file that is not sealed without a note; and
   * what a crash left of a blob that another fill has stored since.
   * @returns how many bytes of a download went; undefined if it stays
   */
  async #removeIfUseless(name: string, olderThanMs: number, isStored: (digest: Digest) => Promise<boolean>): Promise<number | undefined> {
    const [file, note] = [await this.#stats(name), await this.#stats(noteName(name))]
    if (file === undefined && note === undefined) return undefined
    const isUseful = file !== undefined && (note !== undefined || isSealed(file.mode))
    const writtenMs = Math.max(file?.mtimeMs ?? 0, note?.mtimeMs ?? 0)
    const digest = digestOfFileName(name)
    const isWanted = isUseful && this.#deps.clock.now() - writtenMs < olderThanMs && digest !== undefined && !(await isStored(digest))
    if (isWanted) this.#left.add(name)
    if (isWanted || this.#open.has(name)) return undefined
    this.#left.delete(name)
    if (note !== undefined) await removeFile(join(this.path, noteName(name)), this.#files)
    if (file !== undefined) await removeFile(join(this.path, name), this.#files)
    return file?.size ?? 0
  }

  /** What an earlier fill left, open; undefined where there is nothing that could be continued. */
  async #takeUp(name: string, note: NoteFile, boot: string): Promise<Left | undefined> {
    const path = join(this.path, name)
    const noted = await note.read()
    try {
      return (await this.#sealed(path, noted)) ?? (noted === undefined ? undefined : await this.#unfinished(path, noted, boot))
    } catch (error) {
      if (isMissing(error)) return undefined
      if (!(error instanceof CannotContinue) && !isUnreadable(error)) throw error
      this.#deps.log.warn('what an earlier download left cannot be continued; beginning again', { file: path, error })
      return undefined
    }
  }

  /** A file that was about to become a blob: whole and durable, whatever else is known of it, and maybe a blob already. It is not to be changed. */
  async #sealed(path: string, noted: FullSpoolNote | undefined): Promise<Left | undefined> {
    return this.#opened(path, OWN_TO_READ, async (fd, { size, mode }) =>
      isSealed(mode)
        ? { fd, bytes: size, syncedBytes: size, isNamed: true, note: { sizeBytes: size, sources: noted?.sources ?? [] } }
        : undefined,
    )
  }

  async #unfinished(path: string, noted: FullSpoolNote, boot: string): Promise<Left | undefined> {
    return this.#opened(path, OWN_TO_WRITE, (fd, { size }) => this.#asFarAsDurable(fd, size, noted, boot))
  }

  /** Closes the file again unless there is something left of it. */
  async #opened(path: string, flags: number, look: (fd: number, stats: FileStats) => Promise<Left | undefined>): Promise<Left | undefined> {
    const fd = await this.#files.open(path, flags)
    let left: Left | undefined
    try {
      const stats = await this.#files.fstat(fd)
      if (stats.isFile()) left = await look(fd, stats)
    } finally {
      if (left === undefined) await this.#files.close(fd)
    }
    return left
  }

  /** What was written under another boot and was not synced may be anything. @throws CannotContinue */
  async #asFarAsDurable(fd: number, size: number, found: FullSpoolNote, boot: string): Promise<Left> {
    const { sizeBytes, boot: notedBoot } = found
    if (sizeBytes !== undefined && size > sizeBytes) throw new CannotContinue(`it has ${size} bytes, and its blob ${sizeBytes}`)
    const syncedBytes = Math.min(size, found.syncedBytes)
    const note = { sizeBytes, sources: found.sources }
    if (notedBoot === boot) return { fd, bytes: size, syncedBytes, isNamed: syncedBytes > 0, note }
    if (size > syncedBytes) await this.#files.ftruncate(fd, syncedBytes)
    return { fd, bytes: syncedBytes, syncedBytes, isNamed: true, note }
  }

  /** A fresh file, once no note can speak for it any more. */
  async #create(name: string, note: NoteFile): Promise<number> {
    const path = join(this.path, name)
    await note.remove()
    const create = () => this.#files.open(path, 'wx+', SPOOL_MODE)
    return inDirectory(this.path, create, this.#files).catch(async (error: unknown) => {
      if (errorCode(error) !== 'EEXIST') throw error
      await makeWay(dirname(this.path), path, this.#deps.log, this.#files)
      return create()
    })
  }

  /** Undefined for what is no regular file, or gone. */
  async #stats(name: string): Promise<FileStats | undefined> {
    const stats = await this.#files.stat(join(this.path, name)).catch((error: unknown) => {
      if (!isMissing(error)) throw error
    })
    return stats?.isFile() === true ? stats : undefined
  }
}

type Left = {
  readonly fd: number
  readonly bytes: number
  readonly syncedBytes: number
  readonly isNamed: boolean
  readonly note: SpoolNote
}

class CannotContinue extends Error {}

/** Where the system does not tell starts apart, one that is like no other. */
async function readBootId(files: FileSystem): Promise<string> {
  try {
    const fd = await files.open(BOOT_ID, 'r')
    try {
      const buffer = Buffer.alloc(64)
      const length = await files.read(fd, buffer, buffer.byteLength, 0)
      const id = buffer.toString('utf8', 0, length).trim()
      return id === '' ? randomUUID() : id
    } finally {
      await files.close(fd)
    }
  } catch {
    return randomUUID()
  }
}

/** For a blob whose length is known and small, none of which is read before all of it is verified: nine trips to the disk less than with a file. */
export class MemorySpool implements Spool {
  readonly whole: Buffer
  readonly leftBytes = 0

  constructor(sizeBytes: number) {
    this.whole = Buffer.alloc(sizeBytes)
  }

  hold(): void {}

  async release(): Promise<void> {}

  async write(chunks: readonly Uint8Array[], position: number): Promise<void> {
    let at = position
    for (const chunk of chunks) {
      this.whole.set(chunk, at)
      at += chunk.byteLength
    }
  }

  async *read(start: number, end: number, _: ReadBuffers, available: Available = () => end): AsyncGenerator<Buffer, void, void> {
    for (let at = start; at < end; ) {
      const limit = Math.min(end, await available(at))
      yield this.whole.subarray(at, limit)
      at = limit
    }
  }

  commit(store: BlobStore, digest: Digest): Promise<void> {
    return store.putBlob(digest, this.whole)
  }

  async keep(): Promise<void> {}

  async drop(): Promise<void> {}
}
