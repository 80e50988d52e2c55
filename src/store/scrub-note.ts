/** How far the scrub has come. */
import type { Log } from '../observe/log.ts'
import type { FileSystem } from './file-system.ts'
import { parseTime, RecordError } from './record.ts'
import { parseNote, StoreNote } from './store-note.ts'

export type ScrubNote = {
  /** When the pass began, in ms since 1970. */
  readonly beganMs: number
  /** The path within the store that was looked at last, empty before the first; undefined once everything was. */
  readonly at: string | undefined
}

const PATH = /^(?:[a-z]{3,5}\/(?:sha512-)?[0-9a-f]{64,128})?$/

/** @param path of the store */
export function scrubNote(path: string, log: Log, files?: FileSystem): StoreNote<ScrubNote> {
  const lost = 'cannot tell how far the scrub has come: it begins again'
  return new StoreNote(path, { name: 'scrub.json', lost, encode: encodeScrubNote, decode: decodeScrubNote }, log, files)
}

export function encodeScrubNote({ beganMs, at }: ScrubNote): string {
  return JSON.stringify({ began: new Date(beganMs).toISOString(), at: at ?? null })
}

/** @throws RecordError */
export function decodeScrubNote(text: string): ScrubNote {
  const { began, at } = parseNote(text)
  const beganMs = parseTime(began)
  if (beganMs === undefined) throw new RecordError(`'began' is missing or no time`)
  if (at === null) return { beganMs, at: undefined }
  if (typeof at !== 'string' || !PATH.test(at)) throw new RecordError(`'at' is missing or no file of the store`)
  return { beganMs, at }
}
