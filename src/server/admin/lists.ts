/** The lists of the admin API: what is asked for, and the columns of the answer. Columns stand one blank apart; there are two before CREATED, as ever. */
import type { ManifestEntry } from '../../cache/catalog.ts'
import { type Digest, digestFileName } from '../../oci/digest.ts'
import { formatLocalTime } from '../../store/record.ts'
import { type AdminAnswer, textOfLines } from './answer.ts'
import { type BlobRow, blobRows, type ManifestRow, manifestRows } from './inventory.ts'
import { mistake, type Parameters } from './parameters.ts'
import type { AdminParts } from './parts.ts'

const DEFAULT_COUNT = 50
const MANIFEST_HEADER = 'URL DIGEST CREATED PULLED'
const BLOB_HEADER = 'URL REFCNT'
/** Of blobs, too: scripts know it. */
const NOTHING = 'no manifests found\n'

export async function listManifests(parameters: Parameters, parts: AdminParts): Promise<AdminAnswer> {
  const limit = limitOf(parameters)
  const matches = await patternOf(parameters, parts)
  const { rows, more } = await manifestRows(parts.cache.catalog, ({ reference }) => matches?.(reference) ?? true, limit)
  return { json: { manifests: rows.map(manifestJson), more }, text: () => table(MANIFEST_HEADER, rows.map(manifestLine)) }
}

export async function listImages(parameters: Parameters, parts: AdminParts): Promise<AdminAnswer> {
  const limit = limitOf(parameters)
  const matches = await patternOf(parameters, parts)
  const part = parameters.filter('digest') ?? ''
  const isWanted = ({ reference, entry }: ManifestRow) =>
    entry.kind !== 'index' && (matches?.(reference) ?? (part === '' || entry.blobs.some(({ digest }) => digest.includes(part))))
  const { rows, more } = await manifestRows(parts.cache.catalog, isWanted, limit)
  return {
    json: { images: rows.map((row) => ({ ...manifestJson(row), blobs: blobsOf(row.entry) })), more },
    text: () =>
      table(
        MANIFEST_HEADER,
        rows.flatMap((row) => [manifestLine(row), ...blobsOf(row.entry).map((digest) => `- ${digest}`)]),
      ),
  }
}

export async function listBlobs(parameters: Parameters, { cache }: AdminParts): Promise<AdminAnswer> {
  const { rows, more } = await blobRows(cache.catalog, parameters.filter('substr') ?? '', limitOf(parameters))
  return { json: { blobs: rows, more }, text: () => table(BLOB_HEADER, rows.map(blobLine)) }
}

/** -1 is all; 0 and other negative numbers are none, as ever. */
function limitOf(parameters: Parameters): number {
  const count = parameters.integer('count', 'a whole number, or -1 for all') ?? DEFAULT_COUNT
  return count === -1 ? Number.POSITIVE_INFINITY : Math.max(count, 0)
}

async function patternOf(parameters: Parameters, { read }: AdminParts): Promise<((reference: string) => boolean) | undefined> {
  const source = parameters.filter('pattern')
  return source === undefined ? undefined : patterns('pattern', source, read)
}

/** @param name of the parameter. @throws OciError 400 */
export async function patterns(name: string, source: string, read: AdminParts['read']): Promise<(reference: string) => boolean> {
  try {
    const { matches } = await read.patterns(source)
    return matches
  } catch (error) {
    throw mistake(name, source, `Go's regular expressions, separated by commas: ${(error as Error).message}`)
  }
}

function table(header: string, lines: readonly string[]): string {
  return lines.length === 0 ? NOTHING : textOfLines([header, ...lines])
}

function manifestLine({ reference, entry, createdMs, pulledMs }: ManifestRow): string {
  return `${shortened(reference)} ${digestFileName(entry.digest)}  ${formatLocalTime(createdMs)} ${formatLocalTime(pulledMs)}`
}

function manifestJson({ reference, entry, createdMs, pulledMs }: ManifestRow) {
  const { digest, kind, mediaType } = entry
  return { reference, digest, kind, mediaType, created: new Date(createdMs).toISOString(), pulled: new Date(pulledMs).toISOString() }
}

function blobLine({ digest, uses }: BlobRow): string {
  return `${digestFileName(digest)} ${uses}`
}

/** Layers, then the config, which manifests name first. */
function blobsOf({ kind, blobs }: ManifestEntry): Digest[] {
  const digests = blobs.map(({ digest }) => digest)
  return kind === 'image' ? [...digests.slice(1), ...digests.slice(0, 1)] : digests
}

/** A digest in a reference, cut to ten digits. */
export function shortened(reference: string): string {
  return reference.replace(/[0-9a-f]{64,128}/g, (hex) => hex.slice(0, 10))
}
