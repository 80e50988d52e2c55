/** The note beside a spool file, which says what the file is to a fill that comes later: text in, values out. What it says is believed only once it is parsed. */
import { type Digest, digestOfFileName, isDigest } from '../oci/digest.ts'
import { OciError } from '../oci/error.ts'
import { parseRegistry, parseRepository, type Registry, type Repository } from '../oci/name.ts'

/** What a fill knows of the blob that it downloads. */
export type SpoolNote = {
  readonly sizeBytes: number | undefined
  readonly sources: readonly SpoolSource[]
}

export type SpoolSource = { readonly registry: Registry; readonly repository: Repository }

/** All that the note of a spool file says. */
export type FullSpoolNote = SpoolNote & {
  readonly digest: Digest
  /** Which boot of which machine wrote it: under another one, only what is durable counts. */
  readonly boot: string
  /** How many bytes of the file are durable at least. */
  readonly syncedBytes: number
}

/** More than any note has. */
export const MAX_NOTE_BYTES = 64 * 1024
/** A note is to stay small, whoever names how many repositories for a blob. */
const MAX_SOURCES = 32

/** The name of the note of a spool file. */
export function noteName(name: string): string {
  return `${name}.json`
}

/** The spool file that a name in the directory belongs to, its own or its note's; undefined for a foreign one. */
export function spoolNameOf(name: string): string | undefined {
  const spool = name.endsWith('.json') ? name.slice(0, -'.json'.length) : name
  return digestOfFileName(spool) === undefined ? undefined : spool
}

export function encodeSpoolNote({ digest, sizeBytes, sources, boot, syncedBytes }: FullSpoolNote): string {
  const named = sources.slice(0, MAX_SOURCES).map(({ registry, repository }) => ({ registry, repository }))
  return JSON.stringify({ digest, size: sizeBytes, sources: named, boot, synced: syncedBytes })
}

/** Undefined for what is no note: cut short, damaged, or foreign. */
export function parseSpoolNote(text: string): FullSpoolNote | undefined {
  try {
    const { digest, size, sources, boot, synced } = (JSON.parse(text) ?? {}) as Readonly<Record<string, unknown>>
    if (typeof digest !== 'string' || !isDigest(digest) || typeof boot !== 'string' || boot === '') return undefined
    if (!isByteCount(synced) || (size !== undefined && !isByteCount(size)) || !Array.isArray(sources)) return undefined
    return { digest, sizeBytes: size, sources: sources.slice(0, MAX_SOURCES).map(parseSource), boot, syncedBytes: synced }
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof OciError) return undefined
    throw error
  }
}

/** @throws OciError 400 NAME_INVALID */
function parseSource(source: unknown): SpoolSource {
  const { registry, repository } = (source ?? {}) as Readonly<Record<string, unknown>>
  return { registry: parseRegistry(textOf(registry)), repository: parseRepository(textOf(repository)) }
}

/** Nothing is called ''. */
function textOf(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

function isByteCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}
