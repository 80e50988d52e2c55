/** Replaces small files so that a crash at any instant leaves the old one or the new one, whole. */
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { setTimeout as delay, setImmediate as turn } from 'node:timers/promises'
import { inDirectory, removeFile, syncDirectory, writeAll } from './file.ts'
import { type FileSystem, systemFiles } from './file-system.ts'

/** Temporary files start so; whoever lists a directory leaves them out. */
export const TEMPORARY_PREFIX = '.tmp-'

/** Of big files: more would keep libuv's threads from reading. */
export const BIG_SYNCS_AT_ONCE = 2

/** Who asks within this time shares one sync: a pulled image ends in some dozens of files, and nobody waits for them to be durable. */
export const GATHER_MS = 5

/** Makes renames in one directory durable; callers that come while a sync is on its way share the next one. */
export class DirectorySync {
  /** Settles when the last sync that began has ended; never rejects. */
  #last: Promise<unknown> = Promise.resolve()
  #next: Promise<void> | undefined

  constructor(
    readonly path: string,
    readonly files: FileSystem = systemFiles,
    private readonly gatherMs = GATHER_MS,
  ) {}

  /** Resolves when everything renamed into the directory before the call is durable. */
  sync(): Promise<void> {
    this.#next ??= this.#last.then(async () => {
      await (this.gatherMs === 0 ? turn() : delay(this.gatherMs))
      this.#next = undefined // who comes from now on may have renamed too late for this one
      const now = syncDirectory(this.path, this.files)
      this.#last = now.catch(() => {})
      return now
    })
    return this.#next
  }
}

/** Temporary file, fsync, rename, fsync of the directory; which is made again where somebody removed it meanwhile. */
export function writeFileAtomically(directory: DirectorySync, name: string, content: Uint8Array, mode: number): Promise<void> {
  const write = async () => {
    await replace(directory, name, content, mode, true)
    await directory.sync()
  }
  return inDirectory(directory.path, write, directory.files)
}

/** Temporary file, rename: whole at any instant for everybody, and whenever this process is killed, but not after a power loss. */
export function replaceFile(directory: DirectorySync, name: string, content: Uint8Array, mode: number): Promise<void> {
  return inDirectory(directory.path, () => replace(directory, name, content, mode, false), directory.files)
}

async function replace({ path, files }: DirectorySync, name: string, content: Uint8Array, mode: number, durably: boolean): Promise<void> {
  const temporary = join(path, `${TEMPORARY_PREFIX}${randomUUID()}`)
  const fd = await files.open(temporary, 'wx', mode)
  try {
    try {
      await writeAll(fd, [content], 0, files)
      if (durably) await files.fsync(fd)
    } finally {
      files.closeSync(fd) // nothing is left to be written: not worth a trip to the thread pool
    }
    await files.rename(temporary, join(path, name))
  } catch (error) {
    await removeFile(temporary, files).catch(() => {}) // the error that counts is the first one
    throw error
  }
}
