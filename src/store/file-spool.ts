/**
 * The bytes of one fill in a file, with a note beside it that says what they are to a fill that comes later. Writes wait for no sync: the file is synced
 * in the background, from time to time, and the note never says more than is durable by then.
 */
import type { Limiter } from '../async/limiter.ts'
import type { Clock } from '../observe/clock.ts'
import type { Log } from '../observe/log.ts'
import type { Digest } from '../oci/digest.ts'
import type { DirectorySync } from './atomic-write.ts'
import { removeFile, SharedFile, writeAll } from './file.ts'
import { VERIFIED_MODE } from './file-blob.ts'
import type { NoteFile } from './note-file.ts'
import type { Spool } from './spool.ts'
import type { SpoolNote } from './spool-note.ts'
import type { Available, BlobStore, ReadBuffers } from './store.ts'

/** How often a spool file and its note are brought up to date. */
export type SpoolPace = {
  /** So much may be lost with the power, and is left to be synced when a blob is committed. */
  readonly syncEveryBytes: number
  /** A blob that is there within so many bytes and so much time has no note. */
  readonly noteAfterBytes: number
  readonly noteAfterMs: number
}

export const SPOOL_PACE: SpoolPace = { syncEveryBytes: 64 * 1024 * 1024, noteAfterBytes: 1024 * 1024, noteAfterMs: 1_000 }

export type FileSpoolDeps = {
  readonly path: string
  readonly fd: number
  readonly note: NoteFile
  readonly left: {
    readonly bytes: number
    /** Of them are durable. */
    readonly syncedBytes: number
    /** Whether the file's name is durable, too. */
    readonly isNamed: boolean
    readonly note: SpoolNote | undefined
  }
  readonly directory: DirectorySync
  readonly bigSyncs: Limiter
  readonly pace: SpoolPace
  readonly clock: Pick<Clock, 'monotonic'>
  readonly log: Log
  /** Called when its name is another's, or nobody's. */
  readonly onEnd: (isKept: boolean) => void
}

export class FileSpool implements Spool {
  readonly #deps: FileSpoolDeps
  readonly #file: SharedFile
  readonly #openedMs: number
  #writtenBytes: number
  #syncedBytes: number
  /** When the last sync began, so much was written. */
  #syncBeganBytes: number
  #isNamed: boolean
  /** What runs in the background; never rejects. */
  #job: Promise<void> | undefined
  #isEnding = false
  #hasEnded = false
  /** A sync failed: what was written may be lost, though it can be read. */
  #failure: Error | undefined

  constructor(deps: FileSpoolDeps) {
    const { fd, left, directory, clock } = deps
    this.#deps = deps
    this.#file = new SharedFile(fd, directory.files)
    this.#openedMs = clock.monotonic()
    this.#writtenBytes = left.bytes
    this.#syncedBytes = left.syncedBytes
    this.#syncBeganBytes = left.syncedBytes
    this.#isNamed = left.isNamed
  }

  get path(): string {
    return this.#deps.path
  }

  get leftBytes(): number {
    return this.#deps.left.bytes
  }

  /** What the earlier fill knew of the blob. */
  get leftNote(): SpoolNote | undefined {
    return this.#deps.left.note
  }

  hold(): void {
    this.#file.hold()
  }

  release(): Promise<void> {
    return this.#file.release()
  }

  async write(chunks: readonly Uint8Array[], position: number): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure
    await writeAll(this.#file.fd, chunks, position, this.#deps.directory.files)
    this.#writtenBytes = chunks.reduce((end, chunk) => end + chunk.byteLength, position)
    if (this.#job !== undefined || this.#isEnding) return
    if (this.#isNoteDue) await this.#writeNote()
    else if (this.#writtenBytes - this.#syncBeganBytes >= this.#deps.pace.syncEveryBytes) this.#inBackground(() => this.#sync())
    else if (this.#deps.note.isOutdated) this.#inBackground(() => this.#writeNote())
  }

  read(start: number, end: number, buffers: ReadBuffers, available?: Available): AsyncGenerator<Buffer, void, void> {
    return this.#file.read(start, end, buffers, available)
  }

  async commit(store: BlobStore, digest: Digest): Promise<void> {
    await this.#settle()
    if (this.#failure !== undefined) throw this.#failure
    if (this.#deps.note.mayBeThere) await this.#sealWithoutNote()
    await store.commitBlob(digest, this.path)
    this.#end()
  }

  async keep(): Promise<void> {
    await this.#settle()
    if (this.#hasEnded) return
    if (this.#writtenBytes > 0) await this.#sync()
    if (this.#failure !== undefined || !this.#deps.note.isGood) await this.drop()
    else this.#end(true)
  }

  async drop(): Promise<void> {
    await this.#settle()
    if (this.#hasEnded) return
    this.#end()
    const { note, directory } = this.#deps
    await Promise.all([note.remove(), removeFile(this.path, directory.files)])
  }

  /**
   * The file has to lose its note before it becomes a blob: where a rename can be half done by a power loss, both names are there, and nobody may go
   * on writing to the one in the spool. From the seal on it needs no note to be taken up.
   */
  async #sealWithoutNote(): Promise<void> {
    const { bigSyncs, directory, note } = this.#deps
    await bigSyncs.run(() => directory.files.fsync(this.#file.fd))
    await directory.files.fchmod(this.#file.fd, VERIFIED_MODE)
    await note.remove()
  }

  /** Before the first sync a note says what a killed process leaves: whatever was written is in the hands of the system then. */
  get #isNoteDue(): boolean {
    const { note, pace, clock } = this.#deps
    if (note.wasTried) return false
    return this.#writtenBytes - this.leftBytes >= pace.noteAfterBytes || clock.monotonic() - this.#openedMs >= pace.noteAfterMs
  }

  /** Durable first, then noted; the name of the file, too. Never rejects. */
  async #sync(): Promise<void> {
    const { bigSyncs, directory } = this.#deps
    const bytes = this.#writtenBytes
    this.#syncBeganBytes = bytes
    try {
      await bigSyncs.run(() => directory.files.fdatasync(this.#file.fd))
    } catch (error) {
      this.#failure = error as Error
      return
    }
    try {
      if (!this.#isNamed) await directory.sync()
      this.#isNamed = true
      this.#syncedBytes = bytes
      await this.#writeNote()
    } catch (error) {
      this.#cannotNote(error)
    }
  }

  /** A download goes on without a note: a later one has to begin again then. Never rejects. */
  async #writeNote(): Promise<void> {
    await this.#deps.note.write(this.#syncedBytes).catch((error: unknown) => this.#cannotNote(error))
  }

  #cannotNote(error: unknown): void {
    this.#deps.log.warn('a download cannot be made ready to be continued later', { file: this.path, error })
  }

  #inBackground(work: () => Promise<void>): void {
    this.hold()
    this.#job = work().finally(async () => {
      this.#job = undefined
      await this.release()
    })
  }

  /** Waits for what runs in the background; nothing is begun there from now on. */
  async #settle(): Promise<void> {
    this.#isEnding = true
    await this.#job
  }

  #end(isKept = false): void {
    this.#hasEnded = true
    this.#deps.onEnd(isKept)
  }
}
