/** When images were last removed by the schedule. */
import type { Log } from '../observe/log.ts'
import type { FileSystem } from './file-system.ts'
import { parseTime, RecordError } from './record.ts'
import { parseNote, StoreNote } from './store-note.ts'

export type PruneNote = {
  /** In ms since 1970. */
  readonly lastMs: number
}

/** @param path of the store */
export function pruneNote(path: string, log: Log, files?: FileSystem): StoreNote<PruneNote> {
  const lost = 'cannot tell when the last prune was: the next one comes after its whole interval'
  return new StoreNote(path, { name: 'prune.json', lost, encode: encodePruneNote, decode: decodePruneNote }, log, files)
}

export function encodePruneNote({ lastMs }: PruneNote): string {
  return JSON.stringify({ last: new Date(lastMs).toISOString() })
}

/** @throws RecordError */
export function decodePruneNote(text: string): PruneNote {
  const lastMs = parseTime(parseNote(text).last)
  if (lastMs === undefined) throw new RecordError(`'last' is missing or no time`)
  return { lastMs }
}
