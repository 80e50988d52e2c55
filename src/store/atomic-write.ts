/** Replaces small files so that a crash at any instant leaves the old one or the new one, whole. */
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { closeFile, inDirectory, openFile, removeFile, renameFile, syncFile, writeAll } from './file.ts'

/** Temporary files start so; whoever lists a directory leaves them out. */
export const TEMPORARY_PREFIX = '.tmp-'

/** Makes renames in one directory durable; callers that come while a sync is on its way share the next one. */
export class DirectorySync {
  /** Settles when the last sync that began has ended; never rejects. */
  #last: Promise<unknown> = Promise.resolve()
  #next: Promise<void> | undefined

  constructor(readonly path: string) {}

  /** Resolves when everything renamed into the directory before the call is durable. */
  sync(): Promise<void> {
    this.#next ??= this.#last.then(() => {
      this.#next = undefined // who comes from now on may have renamed too late for this one
      const now = this.#syncNow()
      this.#last = now.catch(() => {})
      return now
    })
    return this.#next
  }

  async #syncNow(): Promise<void> {
    const fd = await openFile(this.path, 'r')
    try {
      await syncFile(fd)
    } finally {
      await closeFile(fd)
    }
  }
}

/** Temporary file, fsync, rename, fsync of the directory. */
export async function writeFileAtomically(directory: DirectorySync, name: string, content: Uint8Array, mode: number): Promise<void> {
  const temporary = join(directory.path, `${TEMPORARY_PREFIX}${randomBytes(8).toString('hex')}`)
  const fd = await inDirectory(directory.path, () => openFile(temporary, 'wx', mode))
  try {
    try {
      await writeAll(fd, [content], 0)
      await syncFile(fd)
    } finally {
      await closeFile(fd)
    }
    await renameFile(temporary, join(directory.path, name))
  } catch (error) {
    await removeFile(temporary).catch(() => {}) // the error that counts is the first one
    throw error
  }
  await directory.sync()
}
