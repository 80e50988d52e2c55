/** The spool: unverified bytes of running fills, one file each under `pulls/`, always on a local disk. */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { type Digest, digestFileName } from '../oci/digest.ts'
import { openFile, removeFile, SharedFile, writeAll } from './file.ts'

export class SpoolDirectory {
  constructor(readonly path: string) {}

  /** A fresh spool file for `digest`; what an earlier fill left there is dropped. One fill at a time may hold it. */
  async create(digest: Digest): Promise<Spool> {
    await mkdir(this.path, { recursive: true })
    const path = join(this.path, digestFileName(digest))
    await removeFile(path)
    return new Spool(path, await openFile(path, 'wx+', 0o644))
  }
}

/** One spool file. It stays open until its last holder lets go, whatever became of its name meanwhile. */
export class Spool {
  readonly file: SharedFile

  constructor(
    readonly path: string,
    fd: number,
  ) {
    this.file = new SharedFile(fd)
  }

  write(chunks: readonly Uint8Array[], position: number): Promise<void> {
    return writeAll(this.file.fd, chunks, position)
  }

  /** Removes the file; holders may go on reading. */
  drop(): Promise<void> {
    return removeFile(this.path)
  }
}
