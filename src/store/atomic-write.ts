/** Replaces small files so that a crash at any instant leaves the old one or the new one, whole. */
import { randomUUID } from 'node:crypto'
import { closeSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { closeFile, inDirectory, openFile, removeFile, renameFile, syncFile, writeAll } from './file.ts'

/** Temporary files start so; whoever lists a directory leaves them out. */
export const TEMPORARY_PREFIX = '.tmp-'

/** Who asks within this time shares one sync: a pulled image ends in some dozens of files, and nobody waits for them to be durable. */
const GATHER_MS = 5

/** Makes renames in one directory durable; callers that come while a sync is on its way share the next one. */
export class DirectorySync {
  /** Settles when the last sync that began has ended; never rejects. */
  #last: Promise<unknown> = Promise.resolve()
  #next: Promise<void> | undefined

  constructor(readonly path: string) {}

  /** Resolves when everything renamed into the directory before the call is durable. */
  sync(): Promise<void> {
    this.#next ??= this.#last.then(async () => {
      await delay(GATHER_MS)
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
  const temporary = join(directory.path, `${TEMPORARY_PREFIX}${randomUUID()}`)
  const fd = await inDirectory(directory.path, () => openFile(temporary, 'wx', mode))
  try {
    try {
      await writeAll(fd, [content], 0)
      await syncFile(fd)
    } finally {
      closeSync(fd) // nothing is left to be written: not worth a trip to the thread pool
    }
    await renameFile(temporary, join(directory.path, name))
  } catch (error) {
    await removeFile(temporary).catch(() => {}) // the error that counts is the first one
    throw error
  }
  await directory.sync()
}
