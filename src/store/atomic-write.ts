/** Replaces small files so that a crash at any instant leaves the old one or the new one, whole (design §5). */
import { randomBytes } from 'node:crypto'
import { open, rename, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { closeFile, openFile, syncFile } from './file.ts'

/** Temporary files start so; whoever lists a directory leaves them out. */
export const TEMPORARY_PREFIX = '.tmp-'

/** Makes renames in one directory durable; callers that come while a sync is on its way share the next one. */
export class DirectorySync {
  #running: Promise<void> | undefined
  #next: Promise<void> | undefined

  constructor(readonly path: string) {}

  /** Resolves when everything renamed into the directory before the call is durable. */
  sync(): Promise<void> {
    if (this.#running === undefined) return this.#start()
    this.#next ??= this.#running.catch(() => {}).then(() => this.#start())
    return this.#next
  }

  #start(): Promise<void> {
    this.#next = undefined
    this.#running = this.#syncNow().finally(() => {
      this.#running = undefined
    })
    return this.#running
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
