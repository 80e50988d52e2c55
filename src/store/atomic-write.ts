/** Replaces small files so that a crash at any instant leaves the old one or the new one, whole. */
import { randomBytes } from 'node:crypto'
import { mkdir, open, rename, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { closeFile, openFile, syncFile } from './file.ts'

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
export async function writeFileAtomically(directory: DirectorySync, name: string, content: string | Uint8Array): Promise<void> {
  const temporary = join(directory.path, `${TEMPORARY_PREFIX}${randomBytes(8).toString('hex')}`)
  await mkdir(directory.path, { recursive: true }) // somebody may empty a cache while it runs
  try {
    const file = await open(temporary, 'wx', 0o644)
    try {
      await file.writeFile(content)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(temporary, join(directory.path, name))
  } catch (error) {
    await unlink(temporary).catch(() => {}) // the error that counts is the first one
    throw error
  }
  await directory.sync()
}
