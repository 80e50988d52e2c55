/** A blob in a file: open for reading, with what its mode and times say of it. */
import type { Stats } from 'node:fs'
import { stat } from 'node:fs/promises'
import { isMissing, type SharedFile, statFile } from './file.ts'
import type { Available, ReadBuffers, StoredBlob } from './store.ts'

/** Of a blob that this program has verified, like a git object. */
export const VERIFIED_MODE = 0o444
const ANY_WRITE = 0o222

export class FileBlob implements StoredBlob {
  private constructor(
    private readonly file: SharedFile,
    private readonly stats: Stats,
  ) {}

  get sizeBytes(): number {
    return this.stats.size
  }

  get verified(): boolean {
    return (this.stats.mode & ANY_WRITE) === 0
  }

  get identity(): string {
    return identityOf(this.stats)
  }

  /** Undefined if it is no regular file. */
  static async of(file: SharedFile): Promise<FileBlob | undefined> {
    let blob: FileBlob | undefined
    try {
      const stats = await statFile(file.fd)
      if (stats.isFile()) blob = new FileBlob(file, stats)
    } finally {
      if (blob === undefined) await file.release()
    }
    return blob
  }

  read(start: number, end: number, buffers: ReadBuffers): AsyncIterable<Buffer> {
    return this.file.read(start, end, buffers)
  }

  readWhen(start: number, end: number, buffers: ReadBuffers, available: Available): AsyncIterable<Buffer> {
    return this.file.read(start, end, buffers, available)
  }

  close(): void {
    this.file.release().catch(() => {}) // nothing was written: there is nothing to lose
  }
}

/** Not the time of the last change of any kind: marking a file as verified is such a change. */
export function identityOf({ dev, ino, size, mtimeMs }: Stats): string {
  return `${dev}:${ino}:${size}:${mtimeMs}`
}

/** Undefined for a file that is missing. */
export async function identityOfFile(path: string): Promise<string | undefined> {
  try {
    return identityOf(await stat(path))
  } catch (error) {
    if (isMissing(error)) return undefined
    throw error
  }
}
