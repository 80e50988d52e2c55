/**
 * What root makes in somebody else's directory becomes theirs: a command that root runs on the store of a service leaves it as if the service had run
 * it. Without this the service could neither write on nor mark what lies there.
 */
import { constants } from 'node:fs'
import { dirname } from 'node:path'
import { type FileSystem, systemFiles } from './file-system.ts'

const { O_CREAT, O_DIRECTORY, O_NOFOLLOW, O_RDONLY } = constants
/** The directory that was just made, and not what its owner may have put in its place meanwhile. */
const THIS_DIRECTORY = O_RDONLY | O_DIRECTORY | O_NOFOLLOW

export type Owner = { readonly uid: number; readonly gid: number }

/** Whose what this process makes in a directory should be; undefined where it is theirs anyway. */
export async function heirOf(directory: string, files: Pick<FileSystem, 'stat'> = systemFiles): Promise<Owner | undefined> {
  if (process.geteuid?.() !== 0) return undefined
  const { uid, gid } = await files.stat(directory)
  return uid === 0 ? undefined : { uid, gid }
}

/** The same files, for whoever may be root. */
export function ownedFiles(files: FileSystem): FileSystem {
  if (process.geteuid?.() !== 0) return files
  const give = async (fd: number, path: string) => {
    // a file system without owners, or with a root that may not give anything away, is used all the same
    const heir = await heirOf(dirname(path), files).catch(() => undefined)
    if (heir !== undefined) await files.fchown(fd, heir.uid, heir.gid).catch(() => {})
  }
  return {
    ...files,
    async open(path, flags, mode) {
      const fd = await files.open(path, flags, mode)
      if (makesFile(flags)) await give(fd, path)
      return fd
    },
    async mkdir(path) {
      await files.mkdir(path)
      const fd = await files.open(path, THIS_DIRECTORY).catch(() => undefined)
      if (fd === undefined) return
      await give(fd, path)
      await files.close(fd)
    },
  }
}

function makesFile(flags: string | number): boolean {
  return typeof flags === 'number' ? (flags & O_CREAT) !== 0 : !flags.startsWith('r')
}
