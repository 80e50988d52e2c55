/** Where damaged files go: moved, never deleted, under a name that says what they were. */
import { randomBytes } from 'node:crypto'
import { dirname, join, relative } from 'node:path'
import type { Log } from '../observe/log.ts'
import { errorCode, isMissing, makeDirectory, namesIn, removeFile, syncDirectory } from './file.ts'
import { systemFiles } from './file-system.ts'

const QUARANTINE = 'quarantine'

/**
 * Moves a file of the store at `root` out of the way, with a line in the log; durably, since what is damaged may be marked as verified and must not
 * come back.
 * @returns false if it was gone already. @throws the system's error
 */
export async function moveToQuarantine(root: string, path: string, why: string, log: Log, files = systemFiles): Promise<boolean> {
  const directory = join(root, QUARANTINE)
  const target = join(directory, `${relative(root, path).replaceAll('/', '-')}-${Date.now()}-${randomBytes(4).toString('hex')}`)
  await makeDirectory(directory, files)
  try {
    await files.rename(path, target)
  } catch (error) {
    if (isMissing(error)) return false
    throw error
  }
  log.error('damaged file moved to quarantine', { file: path, quarantine: target, why })
  for (const moved of [directory, dirname(path)]) await syncDirectory(moved, files)
  return true
}

/** How many files lie there. @throws the system's error */
export async function countQuarantined(root: string, files = systemFiles): Promise<number> {
  return (await namesIn(join(root, QUARANTINE), files)).length
}

/** Removes what lies in the place of a file; a directory, which may hold anything, is moved out of the way. @throws the system's error */
export async function makeWay(root: string, path: string, log: Log, files = systemFiles): Promise<void> {
  try {
    await removeFile(path, files)
  } catch (error) {
    if (!isOfDirectory(error) || !(await files.stat(path)).isDirectory()) throw error
    await moveToQuarantine(root, path, 'it is a directory', log, files)
  }
}

/** Does `work`, which puts a file in place by renaming; makes way and tries again where there is a directory. */
export async function inPlaceOf<T>(root: string, path: string, work: () => Promise<T>, log: Log, files = systemFiles): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (errorCode(error) !== 'EISDIR') throw error
    await makeWay(root, path, log, files)
    return work()
  }
}

/** What Linux and what POSIX say of a directory that is to be removed as a file. */
function isOfDirectory(error: unknown): boolean {
  return ['EISDIR', 'EPERM'].includes(errorCode(error) ?? '')
}

/** What a file in quarantine was; undefined for a foreign one. */
export function quarantinedFile(entry: string): { readonly directory: string; readonly name: string } | undefined {
  const [, directory, name] = /^([a-z]+)-((?:sha512-)?[0-9a-f]+)-\d+-[0-9a-f]{8}$/.exec(entry) ?? []
  return directory === undefined || name === undefined ? undefined : { directory, name }
}
