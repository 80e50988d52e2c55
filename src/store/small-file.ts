/** Reads the files of records and references whole: regular ones only, and none that is too large to be one of ours. */

import { errorCode } from './file.ts'
import { type FileStats, type FileSystem, systemFiles, TO_READ } from './file-system.ts'
import { RecordError } from './record.ts'

/** More than any record has: a manifest of 4 MiB in base64, and its parsed copy. */
export const MAX_RECORD_BYTES = 64 * 1024 * 1024

export type SmallFile = { readonly text: string; readonly timeMs: number }

/** What reading a directory says, and a named pipe. */
const NO_FILE: ReadonlySet<string> = new Set(['EISDIR', 'ESPIPE'])

/** How a JSON object ends. */
const BRACE = '}'.charCodeAt(0)

/** @param buffer larger than most of them: what fits into it is read without a look at what it is, which would cost more than reading it */
export function readSmallTextSync(path: string, buffer: Buffer, files = systemFiles): string | undefined {
  const fd = files.openSync(path, TO_READ)
  try {
    let length = files.readSync(fd, buffer, buffer.byteLength, 0)
    // one that ends as it should is not asked for more, which would cost as much as closing it
    if (buffer[length - 1] !== BRACE) length += readUpTo(buffer.byteLength - length, fd, buffer.subarray(length), files, length)
    if (length > 0 && length < buffer.byteLength) return buffer.toString('utf8', 0, length)
    const stats = files.fstatSync(fd)
    if (!isSmallFile(stats)) return undefined
    const space = Buffer.allocUnsafe(stats.size)
    return space.toString('utf8', 0, readUpTo(stats.size, fd, space, files))
  } catch (error) {
    if (NO_FILE.has(errorCode(error) ?? '')) return undefined
    throw error
  } finally {
    files.closeSync(fd)
  }
}

/** @param from where in the file. @returns how many bytes came: fewer than wanted at the end of the file */
function readUpTo(wanted: number, fd: number, space: Buffer, files: FileSystem, from = 0): number {
  let length = 0
  for (let count = -1; count !== 0 && length < wanted; length += count)
    count = files.readSync(fd, length === 0 ? space : space.subarray(length), wanted - length, from + length)
  return length
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
