/** What lies in the spool, for those who only look: downloads that are under way, and what earlier ones left. */
import { join } from 'node:path'
import { type Digest, digestOfFileName } from '../oci/digest.ts'
import { isMissing, isUnreadable, namesIn } from './file.ts'
import { isSealed } from './file-blob.ts'
import { type FileSystem, systemFiles } from './file-system.ts'
import { RecordError } from './record.ts'
import { readSmallFile } from './small-file.ts'
import { MAX_NOTE_BYTES, noteName, parseSpoolNote, type SpoolNote, spoolNameOf } from './spool-note.ts'

export type ListedSpool = SpoolNote & {
  readonly digest: Digest
  /** How many bytes have come so far. */
  readonly bytes: number
}

/** By digest. A file whose note is missing or damaged is listed without what that would say. */
export async function listSpool(directory: string, files: FileSystem = systemFiles): Promise<ListedSpool[]> {
  const found: ListedSpool[] = []
  for (const name of new Set((await namesIn(directory, files)).map(spoolNameOf).sort())) {
    const digest = name === undefined ? undefined : digestOfFileName(name)
    const listed = name === undefined || digest === undefined ? undefined : await look(directory, name, digest, files)
    if (listed !== undefined) found.push(listed)
  }
  return found
}

/** Undefined for what is no regular file, or became a blob meanwhile. */
async function look(directory: string, name: string, digest: Digest, files: FileSystem): Promise<ListedSpool | undefined> {
  const stats = await unlessUnreadable(files.stat(join(directory, name)))
  if (stats?.isFile() !== true) return undefined
  const text = (await unlessUnreadable(readSmallFile(join(directory, noteName(name)), files, MAX_NOTE_BYTES)))?.text
  const note = text === undefined ? undefined : parseSpoolNote(text)
  const { sizeBytes, sources } = note?.digest === digest ? note : { sizeBytes: undefined, sources: [] }
  return { digest, bytes: stats.size, sizeBytes: sizeBytes ?? (isSealed(stats.mode) ? stats.size : undefined), sources }
}

async function unlessUnreadable<T>(reading: Promise<T>): Promise<T | undefined> {
  return reading.catch((error: unknown) => {
    if (!(error instanceof RecordError) && !isMissing(error) && !isUnreadable(error)) throw error
    return undefined
  })
}
