/** A blob in a file: open for reading, with what its mode and times say of it. */
import { isMissing, SharedFile } from './file.ts'
import { type FileStats, systemFiles, TO_READ } from './file-system.ts'
import type { Available, ReadBuffers, StoredBlob } from './store.ts'

/** Of a blob that this program has verified, like a git object. */
export const VERIFIED_MODE = 0o444
const ANY_WRITE = 0o222

/** Whether nobody may write to a file any more: all of it is durable, and was verified. */
export function isSealed(mode: number): boolean {
  return (mode & ANY_WRITE) === 0
}

export class FileBlob implements StoredBlob {
  private constructor(
    private readonly file: SharedFile,
    private readonly stats: FileStats,
  ) {}

  get sizeBytes(): number {
    return this.stats.size
  }

  get verified(): boolean {
    return isSealed(this.stats.mode)
  }

  get identity(): string {
    return identityOf(this.stats)
  }

  /** Undefined if it is no regular file. @throws the system's error */
  static async open(path: string, files = systemFiles): Promise<FileBlob | undefined> {
    const fd = await files.open(path, TO_READ)
    let blob: FileBlob | undefined
    try {
      const stats = await files.fstat(fd)
      if (stats.isFile()) blob = new FileBlob(new SharedFile(fd, files), stats)
    } finally {
      if (blob === undefined) await files.close(fd)
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
export function identityOf({ dev, ino, size, mtimeMs }: FileStats): string {
  return `${dev}:${ino}:${size}:${mtimeMs}`
}

/** Undefined for a file that is missing. */
export async function identityOfFile(path: string, files = systemFiles): Promise<string | undefined> {
  try {
    return identityOf(await files.stat(path))
  } catch (error) {
    if (isMissing(error)) return undefined
    throw error
  }
}
