/** The disk that a directory lies on: how much room there is, and whether it takes a write. */
import { constants } from 'node:fs'
import { join } from 'node:path'
import { removeFile } from './file.ts'
import type { FileSystem } from './file-system.ts'

export interface Disk {
  /** What this user may still write, and how large the disk is. @throws the system's error, also where nothing may be written */
  room(): Promise<DiskRoom>
  /** Writes a little, durably, and removes it. @throws the system's error */
  tryToWrite(): Promise<void>
}

/** A total of 0: the file system does not know, as some on the network. */
export type DiskRoom = { readonly availableBytes: number; readonly totalBytes: number }

/** Always the same, so that no more than one is ever left behind. */
const PROBE = '.tmp-probe'
/** More than a file system keeps beside a file's metadata: it has to find room for it. */
const PROBE_BYTES = 4096

export function diskOf(directory: string, files: FileSystem): Disk {
  return {
    async room() {
      await files.access(directory, constants.W_OK)
      const { bsize, blocks, bavail } = await files.statfs(directory)
      return { availableBytes: bavail * bsize, totalBytes: blocks * bsize }
    },
    async tryToWrite() {
      const path = join(directory, PROBE)
      await removeFile(path, files) // what a process that was killed left, or a link, which is not to be followed
      const fd = await files.open(path, 'wx', 0o600)
      try {
        const bytes = Buffer.alloc(PROBE_BYTES)
        for (let at = 0; at < PROBE_BYTES; ) at += await files.writev(fd, [bytes.subarray(at)], at)
        await files.fsync(fd)
      } finally {
        await files.close(fd)
        await files.unlink(path)
      }
    },
  }
}
