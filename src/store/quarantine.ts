/** Where damaged files go: moved, never deleted, under a name that says what they were. */
import { randomBytes } from 'node:crypto'
import { dirname, join, relative } from 'node:path'
import type { Log } from '../observe/log.ts'
import { isMissing, makeDirectory, syncDirectory } from './file.ts'
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

/** What a file in quarantine was; undefined for a foreign one. */
export function quarantinedFile(entry: string): { readonly directory: string; readonly name: string } | undefined {
  const [, directory, name] = /^([a-z]+)-((?:sha512-)?[0-9a-f]+)-\d+-[0-9a-f]{8}$/.exec(entry) ?? []
  return directory === undefined || name === undefined ? undefined : { directory, name }
}
