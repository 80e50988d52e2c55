/** Removes files and directories of a store while a server uses it. */
import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Random } from '../support/property.ts'

const DIRECTORIES = ['blobs', 'img', 'fat', 'refs', 'pulls'] as const

export class Vandal {
  removedFiles = 0
  removedDirectories = 0
  readonly #imagePath: string
  readonly #random: Random

  constructor(imagePath: string, random: Random) {
    this.#imagePath = imagePath
    this.#random = random
  }

  /** Mostly a file, sometimes a directory with all that lies in it. */
  async strike(): Promise<void> {
    const directory = join(this.#imagePath, this.#random.pick(DIRECTORIES))
    if (this.#random.below(8) === 0) {
      // the server may put something there meanwhile
      await rm(directory, { recursive: true, force: true, maxRetries: 5 })
      this.removedDirectories++
      return
    }
    const names = await readdir(directory).catch(() => [])
    if (names.length === 0) return
    await rm(join(directory, this.#random.pick(names)), { force: true })
    this.removedFiles++
  }
}
