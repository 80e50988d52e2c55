/** Reads the files of records and references whole: regular ones only, and none that is too large to be one of ours. */
import * as fs from 'node:fs'
import { readFile, stat } from 'node:fs/promises'
import { RecordError } from './record.ts'

/** More than any record has: a manifest of 4 MiB in base64, and its parsed copy. */
const MAX_RECORD_BYTES = 64 * 1024 * 1024

export type SmallFile = { readonly text: string; readonly timeMs: number }

export type ReadSmallFile = (path: string) => SmallFile | undefined | Promise<SmallFile | undefined>

/** @param buffer larger than most of them: one descriptor and one read are two thirds of the cost of two look-ups of the path */
export function readSmallFileSync(path: string, buffer: Buffer): SmallFile | undefined {
  const fd = fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK) // which a named pipe does not hold up
  try {
    const stats = fs.fstatSync(fd)
    if (!isSmallFile(stats)) return undefined
    const length = stats.size < buffer.byteLength ? fs.readSync(fd, buffer, 0, buffer.byteLength, 0) : buffer.byteLength
    const text = length < buffer.byteLength ? buffer.toString('utf8', 0, length) : fs.readFileSync(fd, 'utf8')
    return { text, timeMs: stats.mtimeMs }
  } finally {
    fs.closeSync(fd)
  }
}

export async function readSmallFile(path: string): Promise<SmallFile | undefined> {
  const stats = await stat(path)
  return isSmallFile(stats) ? { text: await readFile(path, 'utf8'), timeMs: stats.mtimeMs } : undefined
}

/** @throws RecordError for a file that is too large to be one of ours */
function isSmallFile(stats: fs.Stats): boolean {
  if (stats.isFile() && stats.size > MAX_RECORD_BYTES) throw new RecordError(`it has ${stats.size} bytes, more than any record`)
  return stats.isFile()
}
