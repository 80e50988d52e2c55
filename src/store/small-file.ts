/** Reads the files of records and references whole: regular ones only, and none that is too large to be one of ours. */
import { type FileStats, systemFiles, TO_READ } from './file-system.ts'
import { RecordError } from './record.ts'

/** More than any record has: a manifest of 4 MiB in base64, and its parsed copy. */
export const MAX_RECORD_BYTES = 64 * 1024 * 1024

export type SmallFile = { readonly text: string; readonly timeMs: number }

/** @param buffer larger than most of them: one descriptor and one read are two thirds of the cost of two look-ups of the path */
export function readSmallFileSync(path: string, buffer: Buffer, files = systemFiles): SmallFile | undefined {
  const fd = files.openSync(path, TO_READ)
  try {
    const stats = files.fstatSync(fd)
    if (!isSmallFile(stats)) return undefined
    const space = stats.size < buffer.byteLength ? buffer : Buffer.allocUnsafe(stats.size)
    let length = 0
    for (let count = -1; count !== 0 && length < stats.size; length += count)
      count = files.readSync(fd, space.subarray(length), stats.size - length, length)
    return { text: space.toString('utf8', 0, length), timeMs: stats.mtimeMs }
  } finally {
    files.closeSync(fd)
  }
}

/** @param maxBytes a longer one is a RecordError */
export async function readSmallFile(path: string, files = systemFiles, maxBytes = MAX_RECORD_BYTES): Promise<SmallFile | undefined> {
  const fd = await files.open(path, TO_READ)
  try {
    const stats = await files.fstat(fd)
    if (!isSmallFile(stats, maxBytes)) return undefined
    const space = Buffer.allocUnsafe(stats.size)
    let length = 0
    for (let count = -1; count !== 0 && length < stats.size; length += count)
      count = await files.read(fd, space.subarray(length), stats.size - length, length)
    return { text: space.toString('utf8', 0, length), timeMs: stats.mtimeMs }
  } finally {
    files.closeSync(fd) // nothing was written: not worth a trip to the thread pool
  }
}

/** @throws RecordError for a file that is too large to be one of ours */
function isSmallFile(stats: FileStats, maxBytes = MAX_RECORD_BYTES): boolean {
  if (stats.isFile() && stats.size > maxBytes) throw new RecordError(`it has ${stats.size} bytes, more than any record`)
  return stats.isFile()
}
