/** What `list` prints: the columns of the program before this one, one reference a line, or one JSON document. Values in, text out. */
import { blobsOf, type InventoryRow, type Stored, type Totals } from '../cache/inventory.ts'
import type { Overview } from '../cache/survey.ts'
import { printable } from '../observe/printable.ts'
import { type Digest, digestAlgorithm, digestHex } from '../oci/digest.ts'
import { parseReference } from '../oci/reference.ts'
import { formatLocalTime } from '../store/record.ts'
import { sizeText } from '../store/size-text.ts'
import type { ListedSpool } from '../store/spool-list.ts'
import { alignedTo, plainLine, widthsOf } from './columns.ts'

export type TableStyle = {
  readonly header: boolean
  readonly shortDigest: boolean
  /** For people: columns one below the other. */
  readonly aligned: boolean
}

const IMAGE_HEADER = ['IMAGE', 'TAG/DIGEST', 'TYPE', 'CREATED', 'PULLED', 'SIZE(MB)', 'PLATFORMS']
/** Behind the columns, of what is not complete only: all other lines are as programs know them. */
const INCOMPLETE = 'incomplete'
const PULL_HEADER = ['DIGEST', 'BYTES', 'SIZE', 'SOURCES']
const SHORT_DIGITS = 10
const ROWS_AT_ONCE = 500
/** Sizes in the table are those of the program before this one, whose megabyte is no mebibyte. */
const MEGABYTE = 1_000_000

/**
 * In pieces, one after the other.
 * @param blobsIn of this store, the blobs of each image are listed below it
 */
export function imageTable(rows: readonly InventoryRow[], style: TableStyle, blobsIn?: Stored): Iterable<string> {
  const below = (row: InventoryRow) => (blobsIn === undefined ? [] : blobsOf(row, blobsIn).map((use) => blobLine(use, style)))
  return table(IMAGE_HEADER, rows, (row) => imageCells(row, style), style, below)
}

/** As `load` reads them. */
export function referenceLines(rows: readonly InventoryRow[]): string {
  return text(rows.map(({ reference }) => reference))
}

export function imageDocument(store: string, rows: readonly InventoryRow[], stored: Overview, totals: Totals): string {
  return document({
    store,
    images: rows.map((row) => imageFields(row, stored)),
    totals,
    unneededBlobs: stored.unneededBlobs,
  })
}

/** For a person, below the table. */
export function totalsLines(totals: Totals): string {
  const { references, manifests, blobs, bytes, incomplete } = totals
  const counted = [count(references, 'reference'), count(manifests, 'manifest'), `${count(blobs, 'blob')} of ${sizeText(bytes)}`].join(', ')
  const lacking = `${count(incomplete, 'image')} ${incomplete === 1 ? 'is' : 'are'} incomplete`
  const lines = [
    `${counted}; layers that images share are counted once`,
    ...(incomplete === 0 ? [] : [`${lacking}: a pull or load brings what is missing, and --blobs shows it`]),
  ]
  return `${text(lines)}${lostLine(totals)}`
}

/** Empty where there are none. */
export function lostLine({ lostReferences }: Pick<Totals, 'lostReferences'>): string {
  if (lostReferences === 0) return ''
  const [point, manifests] = lostReferences === 1 ? ['points', 'a manifest that is'] : ['point', 'manifests that are']
  return text([`${count(lostReferences, 'reference')} ${point} at ${manifests} not there: see ociregistry verify`])
}

export function pullTable(pulls: readonly ListedSpool[], style: TableStyle): Iterable<string> {
  return table(
    PULL_HEADER,
    pulls,
    (pull) => pullCells(pull, style),
    style,
    () => [],
  )
}

export function pullDocument(store: string, pulls: readonly ListedSpool[]): string {
  const fields = pulls.map(({ digest, bytes, sizeBytes = null, sources }) => ({ digest, bytes, size: sizeBytes, sources }))
  return document({ store, pulls: fields, totals: { downloads: pulls.length, bytes: bytesOf(pulls) } })
}

export function pullTotalsLine(pulls: readonly ListedSpool[]): string {
  return `${count(pulls.length, 'unfinished download')}, ${sizeText(bytesOf(pulls))} so far\n`
}

function imageCells(row: InventoryRow, style: TableStyle): string[] {
  const { reference, manifest, createdMs, pulledMs, holding } = row
  const { registry, repository, tag } = parseReference(reference)
  return [
    `${registry}/${repository}`,
    tag ?? digestCell(manifest.digest, style),
    holding.type,
    formatLocalTime(createdMs),
    pulledMs === undefined ? '-' : formatLocalTime(pulledMs),
    holding.type === 'list' ? 'n/a' : (holding.sizeBytes / MEGABYTE).toFixed(1),
    holding.platforms.map(asWord).join(',') || '-',
    ...(holding.complete ? [] : [INCOMPLETE]),
  ]
}

function pullCells({ digest, bytes, sizeBytes, sources }: ListedSpool, style: TableStyle): string[] {
  const names = sources.map(({ registry, repository }) => `${registry}/${repository}`)
  return [digestCell(digest, style), String(bytes), sizeBytes === undefined ? '-' : String(sizeBytes), names.join(',') || '-']
}

/** sha256 goes without its name, as it always has. */
function digestCell(digest: Digest, { shortDigest }: TableStyle): string {
  const hex = shortDigest ? digestHex(digest).slice(0, SHORT_DIGITS) : digestHex(digest)
  return digestAlgorithm(digest) === 'sha256' ? hex : `${digestAlgorithm(digest)}:${hex}`
}

function blobLine({ digest, sizeBytes, foreign, stored }: ReturnType<typeof blobsOf>[number], { shortDigest }: TableStyle): string {
  const name = shortDigest ? `${digestAlgorithm(digest)}:${digestHex(digest).slice(0, SHORT_DIGITS)}` : digest
  return `- ${name} ${sizeBytes} ${stateOf({ foreign, stored })}`
}

/** Foreign layers are not to be had from registries, so that none is missing. */
function stateOf({ foreign, stored }: { readonly foreign: boolean; readonly stored: boolean }): 'stored' | 'foreign' | 'missing' {
  if (stored) return 'stored'
  return foreign ? 'foreign' : 'missing'
}

function imageFields(row: InventoryRow, stored: Stored): object {
  const { reference, manifest, pulledMs, holding } = row
  const { registry, repository, tag = null } = parseReference(reference)
  return {
    reference,
    named: row.isNamed,
    registry,
    repository,
    tag,
    digest: manifest.digest,
    type: holding.type,
    mediaType: manifest.mediaType,
    created: new Date(row.createdMs).toISOString(),
    pulled: pulledMs === undefined ? null : new Date(pulledMs).toISOString(),
    size: holding.sizeBytes,
    complete: holding.complete,
    platforms: holding.platforms,
    images: holding.images,
    blobs: blobsOf(row, stored).map((use) => ({ digest: use.digest, size: use.sizeBytes, state: stateOf(use) })),
  }
}

/** What an index says of platforms is anybody's text: no blank or comma of it may look like the end of a column or of a platform. */
function asWord(platform: string): string {
  return platform.replace(/[\s,]/g, '_')
}

/** A long table as one text would take several times its length of memory; line by line, it would take longer to print than to make. */
function* table<T>(
  header: readonly string[],
  rows: readonly T[],
  cellsOf: (row: T) => readonly string[],
  style: TableStyle,
  below: (row: T) => readonly string[],
): Generator<string> {
  if (rows.length === 0) return
  const above = style.header ? [header] : []
  const layout = style.aligned ? alignedTo(widthsOf([...above, ...rows.map(cellsOf)])) : plainLine
  if (style.header) yield text([layout(header)])
  for (let from = 0; from < rows.length; from += ROWS_AT_ONCE)
    yield text(rows.slice(from, from + ROWS_AT_ONCE).flatMap((row) => [layout(cellsOf(row)), ...below(row)]))
}

function text(lines: readonly string[]): string {
  return lines.map((line) => `${printable(line)}\n`).join('')
}

function document(value: object): string {
  return `${printable(JSON.stringify(value))}\n`
}

function bytesOf(pulls: readonly ListedSpool[]): number {
  return pulls.reduce((sum, { bytes }) => sum + bytes, 0)
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? '' : 's'}`
}
