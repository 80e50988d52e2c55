/** A file system that takes no writes while the store is not ours to write: whatever is on its way there, nothing changes on the disk. */
import { constants } from 'node:fs'
import { constants as system } from 'node:os'
import type { FileSystem } from './file-system.ts'

const WRITING = constants.O_WRONLY | constants.O_RDWR | constants.O_CREAT | constants.O_TRUNC | constants.O_APPEND

export type WriteGuard = {
  /** Why nothing may be written now; undefined where it may. A promise where that has to be looked up. */
  readonly refusal: () => string | undefined | Promise<string | undefined>
  /** Another one whenever somebody else may have held the store since. */
  readonly term: () => number
}

/**
 * Calls that may not be made fail as on a read-only file system, with the reason in the message. A file that was opened for writing in an earlier term
 * may be another process's by now: to write to it fails as if it were gone.
 */
export function guardedFiles(files: FileSystem, { refusal, term }: WriteGuard): FileSystem {
  /** When each file that is open for writing was opened. */
  const terms = new Map<number, number>()
  const guarded = <T>(syscall: string, path: string, call: () => Promise<T>): Promise<T> => {
    const guard = (why: string | undefined) => (why === undefined ? call() : Promise.reject(readOnly(syscall, path, why)))
    const why = refusal()
    return typeof why === 'object' ? why.then(guard) : guard(why)
  }
  const guardedBy = <T>(syscall: string, fd: number, call: () => Promise<T>): Promise<T> =>
    guarded(syscall, `descriptor ${fd}`, () => ((terms.get(fd) ?? term()) === term() ? call() : Promise.reject(gone(syscall, fd))))
  const openToWrite: FileSystem['open'] = async (path, flags, mode) => {
    const openedIn = term()
    const fd = await files.open(path, flags, mode)
    terms.set(fd, openedIn)
    return fd
  }
  return {
    ...files,
    open: (path, flags, mode) =>
      isForReading(flags) ? files.open(path, flags, mode) : guarded('open', path, () => openToWrite(path, flags, mode)),
    writev: (fd, chunks, position) => guardedBy('writev', fd, () => files.writev(fd, chunks, position)),
    fchmod: (fd, mode) => guardedBy('fchmod', fd, () => files.fchmod(fd, mode)),
    fchown: (fd, uid, gid) => guardedBy('fchown', fd, () => files.fchown(fd, uid, gid)),
    ftruncate: (fd, sizeBytes) => guardedBy('ftruncate', fd, () => files.ftruncate(fd, sizeBytes)),
    close: (fd) => {
      terms.delete(fd)
      return files.close(fd)
    },
    closeSync: (fd) => {
      terms.delete(fd)
      files.closeSync(fd)
    },
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

function gone(syscall: string, fd: number): NodeJS.ErrnoException {
  const message = `ENOENT: the file was opened before the lock of the store was lost, ${syscall} 'descriptor ${fd}'`
  return Object.assign(new Error(message), { code: 'ENOENT', errno: -system.errno.ENOENT, syscall })
}
