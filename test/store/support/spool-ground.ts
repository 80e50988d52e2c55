/** A spool in a temporary directory, with a clock, a log and a disk that tests have in their hands. */
import { mkdir, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { digestOf } from '../../../src/oci/digest.ts'
import { parseRegistry, parseRepository } from '../../../src/oci/name.ts'
import { type FileSpool, SpoolDirectory, type SpoolNote } from '../../../src/store/spool.ts'
import { ManualClock } from '../../support/clock.ts'
import { FaultyDisk } from '../../support/faulty-disk.ts'
import { temporaryDirectory } from '../../support/files.ts'
import { MemoryLog } from '../../support/log.ts'
import { content } from '../contract.ts'

export const DIGEST = digestOf(content(100))
/** What a fill knows before anybody has answered. */
export const UNKNOWN: SpoolNote = {
  sizeBytes: undefined,
  sources: [{ registry: parseRegistry('docker.io'), repository: parseRepository('library/alpine') }],
}

export class SpoolGround {
  readonly clock = new ManualClock()
  readonly log = new MemoryLog()
  readonly disk = new FaultyDisk()
  directory: SpoolDirectory

  private constructor(readonly path: string) {
    this.directory = this.#newDirectory('this boot')
  }

  static async make(t: TestContext): Promise<SpoolGround> {
    const path = join(await temporaryDirectory(t), 'pulls')
    await mkdir(path)
    return new SpoolGround(path)
  }

  /** As a process that comes later sees it; another boot is one after a power loss. */
  restart(boot = 'this boot'): void {
    this.directory = this.#newDirectory(boot)
  }

  open(about: SpoolNote | (() => SpoolNote) = UNKNOWN): Promise<FileSpool> {
    return this.directory.open(DIGEST, typeof about === 'function' ? about : () => about)
  }

  /** A file of 100 bytes, a note, or both, that were written some time ago. */
  async plant(name: string, ages: { readonly fileAgeMs?: number; readonly noteAgeMs?: number }): Promise<void> {
    const files: readonly (readonly [string, number | undefined])[] = [
      [name, ages.fileAgeMs],
      [`${name}.json`, ages.noteAgeMs],
    ]
    for (const [file, ageMs] of files) {
      if (ageMs === undefined) continue
      await writeFile(join(this.path, file), content(100))
      await this.setAge(join(this.path, file), ageMs)
    }
  }

  async setAge(path: string, ageMs: number): Promise<void> {
    const time = new Date(this.clock.now() - ageMs)
    await utimes(path, time, time)
  }

  #newDirectory(boot: string): SpoolDirectory {
    return new SpoolDirectory(this.path, { clock: this.clock, log: this.log, files: this.disk.files, boot })
  }
}
