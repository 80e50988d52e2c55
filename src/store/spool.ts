/** The spool: unverified bytes of running fills. One file each under `pulls/`, always on a local disk; the smallest ones stay in memory. */
import { join } from 'node:path'
import { type Digest, digestFileName } from '../oci/digest.ts'
import { errorCode, inDirectory, openFile, removeFile, SharedFile, writeAll } from './file.ts'
import type { Available, BlobStore, ReadBuffers } from './store.ts'

/** The bytes of one fill. They stay readable until the last holder lets go, whatever became of their name meanwhile. */
export interface Spool {
  /** What was written, where that is in memory. */
  readonly whole?: Buffer
  /** Whoever made it holds it. @throws Error if all have let go */
  hold(): void
  /** Each holder calls it once. */
  release(): Promise<void>
  write(chunks: readonly Uint8Array[], position: number): Promise<void>
  /** See `readChunks`. */
  read(start: number, end: number, buffers: ReadBuffers, available?: Available): AsyncIterable<Buffer>
  /** Makes it a blob of the store, durably. Its bytes are verified. */
  commit(store: BlobStore, digest: Digest): Promise<void>
  /** Forgets it; holders may go on reading. */
  drop(): Promise<void>
}

export class SpoolDirectory {
  constructor(readonly path: string) {}

  /** A fresh spool file for `digest`; what an earlier fill left there is dropped. One fill at a time may hold it. */
  async create(digest: Digest): Promise<FileSpool> {
    const path = join(this.path, digestFileName(digest))
    const create = () => openFile(path, 'wx+', 0o644)
    const fd = await inDirectory(this.path, create).catch(async (error: unknown) => {
      if (errorCode(error) !== 'EEXIST') throw error
      await removeFile(path)
      return create()
    })
    return new FileSpool(path, fd)
  }
}

export class FileSpool implements Spool {
  readonly #file: SharedFile

  constructor(
    readonly path: string,
    fd: number,
  ) {
    this.#file = new SharedFile(fd)
  }

  hold(): void {
    this.#file.hold()
  }

  release(): Promise<void> {
    return this.#file.release()
  }

  write(chunks: readonly Uint8Array[], position: number): Promise<void> {
    return writeAll(this.#file.fd, chunks, position)
  }

  read(start: number, end: number, buffers: ReadBuffers, available?: Available): AsyncGenerator<Buffer, void, void> {
    return this.#file.read(start, end, buffers, available)
  }

  commit(store: BlobStore, digest: Digest): Promise<void> {
    return store.commitBlob(digest, this.path)
  }

  drop(): Promise<void> {
    return removeFile(this.path)
  }
}

/** For a blob whose length is known and small, none of which is read before all of it is verified: nine trips to the disk less than with a file. */
export class MemorySpool implements Spool {
  readonly whole: Buffer

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

  async drop(): Promise<void> {}
}
