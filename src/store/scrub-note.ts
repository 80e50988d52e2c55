/** How far the scrub has come, in a small file of the store: a restart goes on from there. */
import { join } from 'node:path'
import type { Log } from '../observe/log.ts'
import { DirectorySync, TEMPORARY_PREFIX, writeFileAtomically } from './atomic-write.ts'
import { isMissing, namesIn, removeFile } from './file.ts'
import { type FileSystem, systemFiles } from './file-system.ts'
import { parseTime, RecordError } from './record.ts'
import { readSmallFile } from './small-file.ts'

export type ScrubNote = {
  /** When the pass began, in ms since 1970. */
  readonly beganMs: number
  /** The path within the store that was looked at last, empty before the first; undefined once everything was. */
  readonly at: string | undefined
}

const NAME = 'scrub.json'
const MODE = 0o644
const PATH = /^(?:[a-z]{3,5}\/(?:sha512-)?[0-9a-f]{64,128})?$/

export class ScrubNotes {
  readonly #directory: DirectorySync

  /** @param path of the store */
  constructor(
    path: string,
    private readonly log: Log,
    files: FileSystem = systemFiles,
  ) {
    this.#directory = new DirectorySync(path, files)
  }

  /** Undefined where there is none, or one that cannot be used: then it begins again. */
  async read(): Promise<ScrubNote | undefined> {
    const { path, files } = this.#directory
    const file = join(path, NAME)
    try {
      const content = await readSmallFile(file, files)
      return content === undefined ? undefined : decodeScrubNote(content.text)
    } catch (error) {
      if (!isMissing(error)) this.log.warn('cannot tell how far the scrub has come: it begins again', { file, error })
      return undefined
    }
  }

  /** @throws the system's error */
  async write(note: ScrubNote): Promise<void> {
    await writeFileAtomically(this.#directory, NAME, Buffer.from(encodeScrubNote(note)), MODE)
  }

  /** Clears away what a crash left of a write. Only for the holder of the store. */
  async removeLeftovers(): Promise<void> {
    const { path, files } = this.#directory
    for (const name of await namesIn(path, files)) if (LEFTOVER.test(name)) await removeFile(join(path, name), files)
  }
}

const LEFTOVER = new RegExp(`^${TEMPORARY_PREFIX.replace('.', '\\.')}[0-9a-f]{8}-[0-9a-f-]{27}$`)

export function encodeScrubNote({ beganMs, at }: ScrubNote): string {
  return JSON.stringify({ began: new Date(beganMs).toISOString(), at: at ?? null })
}

/** @throws RecordError */
export function decodeScrubNote(text: string): ScrubNote {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch (cause) {
    throw new RecordError('it is not JSON', { cause })
  }
  const { began, at } = (typeof json === 'object' && json !== null ? json : {}) as Readonly<Record<string, unknown>>
  const beganMs = parseTime(began)
  if (beganMs === undefined) throw new RecordError(`'began' is missing or no time`)
  if (at === null) return { beganMs, at: undefined }
  if (typeof at !== 'string' || !PATH.test(at)) throw new RecordError(`'at' is missing or no file of the store`)
  return { beganMs, at }
}
