/** The file beside a spool file that holds its note: read once, written as things become known, removed before the spool file may be another one. */
import { dirname, join } from 'node:path'
import type { Log } from '../observe/log.ts'
import type { Digest } from '../oci/digest.ts'
import { type DirectorySync, replaceFile, writeFileAtomically } from './atomic-write.ts'
import { isMissing, isUnreadable } from './file.ts'
import { makeWay } from './quarantine.ts'
import { RecordError } from './record.ts'
import { readSmallFile } from './small-file.ts'
import { encodeSpoolNote, type FullSpoolNote, MAX_NOTE_BYTES, parseSpoolNote, type SpoolNote } from './spool-note.ts'

export type NoteFileDeps = {
  readonly directory: DirectorySync
  readonly name: string
  readonly digest: Digest
  readonly boot: string
  readonly about: () => SpoolNote
  readonly log: Log
}

const NOTE_MODE = 0o644

export class NoteFile {
  readonly #deps: NoteFileDeps
  /** Whether there may be one on the disk, good or not. */
  #mayBeThere = false
  #isGood = false
  #written: SpoolNote | undefined

  constructor(deps: NoteFileDeps) {
    this.#deps = deps
  }

  /** Whether there is something on the disk to be removed. */
  get mayBeThere(): boolean {
    return this.#mayBeThere
  }

  /** Whether the one on the disk says what is so. */
  get isGood(): boolean {
    return this.#isGood
  }

  /** Whether it was written, or could not be, since the spool file was opened. */
  get wasTried(): boolean {
    return this.#written !== undefined
  }

  /** Whether more is known by now than it says. */
  get isOutdated(): boolean {
    const { sizeBytes, sources } = this.#deps.about()
    return this.#written !== undefined && (this.#written.sizeBytes !== sizeBytes || this.#written.sources.length !== sources.length)
  }

  /** What an earlier fill of the same digest noted; undefined if none did, or nothing that could be believed: the log says so. */
  async read(): Promise<FullSpoolNote | undefined> {
    const { digest, log } = this.#deps
    let text: string | undefined
    try {
      text = (await readSmallFile(this.#path, this.#deps.directory.files, MAX_NOTE_BYTES))?.text
    } catch (error) {
      if (isMissing(error)) return undefined
      if (!(error instanceof RecordError) && !isUnreadable(error)) throw error
    }
    this.#mayBeThere = true
    const note = text === undefined ? undefined : parseSpoolNote(text)
    this.#isGood = note?.digest === digest
    if (this.#isGood) return note
    log.warn('the note of an earlier download is damaged; beginning again', { file: this.#path })
    return undefined
  }

  /**
   * @param syncedBytes how many bytes of the spool file are durable. With none, the note has nothing to say after a power loss, and need not be durable
   * itself: then it costs no sync
   */
  async write(syncedBytes: number): Promise<void> {
    const { directory, name, digest, boot, about } = this.#deps
    const { sizeBytes, sources } = about()
    const text = Buffer.from(encodeSpoolNote({ digest, sizeBytes, sources, boot, syncedBytes }))
    this.#written = { sizeBytes, sources: [...sources] }
    this.#mayBeThere = true
    await (syncedBytes === 0 ? replaceFile : writeFileAtomically)(directory, name, text, NOTE_MODE)
    this.#isGood = true
  }

  /** Durably: a note that came back after a power loss could speak for another spool file. */
  async remove(): Promise<void> {
    if (!this.#mayBeThere) return
    const { directory, log } = this.#deps
    await makeWay(dirname(directory.path), this.#path, log, directory.files)
    await directory.sync().catch((error: unknown) => {
      if (!isMissing(error)) throw error // somebody removed the directory with it
    })
    this.#mayBeThere = false
  }

  get #path(): string {
    return join(this.#deps.directory.path, this.#deps.name)
  }
}
