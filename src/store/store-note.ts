/** A small file of the store in which a part of the program notes how far it has come, so that a restart goes on from there. */
import { join } from 'node:path'
import type { Log } from '../observe/log.ts'
import { DirectorySync, TEMPORARY_PREFIX, writeFileAtomically } from './atomic-write.ts'
import { isMissing, namesIn, removeFile } from './file.ts'
import { type FileSystem, systemFiles } from './file-system.ts'
import { RecordError } from './record.ts'
import { readSmallFile } from './small-file.ts'

export type NoteFormat<Note> = {
  /** Of the file. */
  readonly name: string
  /** What cannot be told without it, and what happens then: for the log. */
  readonly lost: string
  readonly encode: (note: Note) => string
  /** @throws RecordError */
  readonly decode: (text: string) => Note
}

const MODE = 0o644
const LEFTOVER = new RegExp(`^${TEMPORARY_PREFIX.replace('.', '\\.')}[0-9a-f]{8}-[0-9a-f-]{27}$`)

export class StoreNote<Note> {
  readonly #directory: DirectorySync
  readonly #format: NoteFormat<Note>

  /** @param path of the store */
  constructor(
    path: string,
    format: NoteFormat<Note>,
    private readonly log: Log,
    files: FileSystem = systemFiles,
  ) {
    this.#directory = new DirectorySync(path, files)
    this.#format = format
  }

  /** Undefined where there is none, or one that cannot be used. */
  async read(): Promise<Note | undefined> {
    const { path, files } = this.#directory
    const file = join(path, this.#format.name)
    try {
      const content = await readSmallFile(file, files)
      return content === undefined ? undefined : this.#format.decode(content.text)
    } catch (error) {
      if (!isMissing(error)) this.log.warn(this.#format.lost, { file, error })
      return undefined
    }
  }

  /** @throws the system's error */
  async write(note: Note): Promise<void> {
    await writeFileAtomically(this.#directory, this.#format.name, Buffer.from(this.#format.encode(note)), MODE)
  }

  /** Clears away what a crash left of a write. Only for the holder of the store. */
  async removeLeftovers(): Promise<void> {
    const { path, files } = this.#directory
    for (const name of await namesIn(path, files)) if (LEFTOVER.test(name)) await removeFile(join(path, name), files)
  }
}

/** @throws RecordError */
export function parseNote(text: string): Readonly<Record<string, unknown>> {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch (cause) {
    throw new RecordError('it is not JSON', { cause })
  }
  return typeof json === 'object' && json !== null ? (json as Readonly<Record<string, unknown>>) : {}
}
