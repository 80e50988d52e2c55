/** Which failures of the system are trouble of the whole store, and how they are told to people. */
import type { StorageTrouble } from './space.ts'

const KINDS: Readonly<Record<string, Pick<StorageTrouble, 'kind' | 'why'>>> = {
  ENOSPC: { kind: 'full', why: 'the disk of the store is full: make room on it' },
  EDQUOT: { kind: 'full', why: 'the disk quota of the store is used up: make room, or raise it' },
  EROFS: { kind: 'readOnly', why: 'the file system of the store is read-only: mount it for writing' },
  EACCES: { kind: 'readOnly', why: 'this user may not write to the store: give it the permission' },
  EPERM: { kind: 'readOnly', why: 'this user may not write to the store: give it the permission' },
  EMFILE: { kind: 'failing', why: 'the process has too many files open: raise its limit' },
  ENFILE: { kind: 'failing', why: 'the machine has too many files open' },
}
/** Something was removed while it was in use, or is no file: trouble of that one thing, and none of the disk's. */
const OF_ONE_FILE: ReadonlySet<string> = new Set(['ENOENT', 'ENOTDIR', 'EISDIR', 'ELOOP', 'ENXIO'])

/**
 * What an error, or what caused it, says of the whole store.
 * @returns undefined for what is no failure of the system, or concerns one file only
 */
export function storageTroubleOf(error: unknown): StorageTrouble | undefined {
  if (!(error instanceof Error)) return undefined
  const { code, syscall } = error as NodeJS.ErrnoException
  const known = code === undefined ? undefined : KINDS[code]
  if (known !== undefined) return known
  if (code !== undefined && syscall !== undefined)
    return OF_ONE_FILE.has(code) ? undefined : { kind: 'failing', why: `the disk of the store fails (${code}): look at the system's log` }
  return storageTroubleOf(error.cause)
}
