/** A file system that takes no writes while the store is not ours to write: whatever is on its way there, nothing changes on the disk. */
import { constants } from 'node:fs'
import { constants as system } from 'node:os'
import type { FileSystem } from './file-system.ts'

const WRITING = constants.O_WRONLY | constants.O_RDWR | constants.O_CREAT | constants.O_TRUNC | constants.O_APPEND

/** @param refusal why nothing may be written now; undefined where it may. Then calls fail as on a read-only file system, with it in the message */
export function guardedFiles(files: FileSystem, refusal: () => string | undefined): FileSystem {
  const guarded = <T>(syscall: string, path: string, call: () => Promise<T>): Promise<T> => {
    const why = refusal()
    return why === undefined ? call() : Promise.reject(readOnly(syscall, path, why))
  }
  return {
    ...files,
    open: (path, flags, mode) =>
      isForReading(flags) ? files.open(path, flags, mode) : guarded('open', path, () => files.open(path, flags, mode)),
    fchmod: (fd, mode) => guarded('fchmod', `descriptor ${fd}`, () => files.fchmod(fd, mode)),
    ftruncate: (fd, sizeBytes) => guarded('ftruncate', `descriptor ${fd}`, () => files.ftruncate(fd, sizeBytes)),
    rename: (from, to) => guarded('rename', from, () => files.rename(from, to)),
    unlink: (path) => guarded('unlink', path, () => files.unlink(path)),
    mkdir: (path) => guarded('mkdir', path, () => files.mkdir(path)),
  }
}

function isForReading(flags: string | number): boolean {
  return typeof flags === 'number' ? (flags & WRITING) === 0 : flags === 'r'
}

function readOnly(syscall: string, path: string, why: string): NodeJS.ErrnoException {
  const message = `EROFS: nothing may be written now, ${syscall} '${path}': ${why}`
  return Object.assign(new Error(message), { code: 'EROFS', errno: -system.errno.EROFS, syscall, path })
}
