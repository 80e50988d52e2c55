/** What the running server knows of manifests, images and blobs, as rows. Sorted, then cut; with many thousand images others have their turn in between. */
import { Turns } from '../../async/turns.ts'
import type { Catalog, ManifestEntry } from '../../cache/catalog.ts'
import { type Digest, digestFileName } from '../../oci/digest.ts'

export type ManifestRow = {
  /** As `docker.io/library/alpine:3`. */
  readonly reference: string
  readonly entry: ManifestEntry
  readonly createdMs: number
  readonly pulledMs: number
}

export type BlobRow = { readonly digest: Digest; readonly uses: number }

export type Rows<Row> = {
  readonly rows: readonly Row[]
  /** Whether there are more that match. */
  readonly more: boolean
}

/** @param limit how many rows, at most */
export async function manifestRows(catalog: Catalog, matches: (row: ManifestRow) => boolean, limit: number): Promise<Rows<ManifestRow>> {
  const turns = new Turns()
  const references: string[] = []
  for (const { reference, digest } of catalog.refs()) {
    await turns.pause()
    if (catalog.manifest(digest) !== undefined && !hasTag(catalog, reference, digest)) references.push(reference)
  }
  const nameless = new Map<string, ManifestEntry>()
  for (const entry of catalog.manifests()) {
    await turns.pause()
    if (!hasReference(catalog, entry.digest)) nameless.set(`${entry.registry}/${entry.repository}@${entry.digest}`, entry)
  }
  references.push(...nameless.keys())
  return firstOf(references.sort(), (reference) => rowOf(catalog, reference, nameless.get(reference)), matches, limit, turns)
}

/** @param limit how many rows, at most */
export async function blobRows(catalog: Catalog, part: string, limit: number): Promise<Rows<BlobRow>> {
  const turns = new Turns()
  const uses = new Map<Digest, number>()
  for (const [digest, count] of catalog.blobUses()) {
    await turns.pause()
    if (digest.includes(part)) uses.set(digest, count)
  }
  const sorted = [...uses.keys()].sort((a, b) => (digestFileName(a) < digestFileName(b) ? -1 : 1))
  return firstOf(
    sorted,
    (digest) => ({ digest, uses: uses.get(digest) ?? 0 }),
    () => true,
    limit,
    turns,
  )
}

async function firstOf<Key, Row>(
  keys: readonly Key[],
  row: (key: Key) => Row | undefined,
  matches: (row: Row) => boolean,
  limit: number,
  turns: Turns,
): Promise<Rows<Row>> {
  const rows: Row[] = []
  for (const key of limit > 0 ? keys : []) {
    await turns.pause()
    const found = row(key)
    if (found === undefined || !matches(found)) continue
    if (rows.length === limit) return { rows, more: true }
    rows.push(found)
  }
  return { rows, more: false }
}

/** Undefined for what has gone meanwhile. */
function rowOf(catalog: Catalog, reference: string, nameless: ManifestEntry | undefined): ManifestRow | undefined {
  if (nameless !== undefined) return { reference, entry: nameless, createdMs: nameless.createdMs, pulledMs: nameless.createdMs }
  const ref = catalog.ref(reference)
  const entry = ref && catalog.manifest(ref.digest)
  return entry && { reference, entry, createdMs: ref.createdMs, pulledMs: ref.pulledMs }
}

/** Clients that pull a tag ask for its digest next: a row for each would say everything twice. */
function hasTag(catalog: Catalog, reference: string, digest: Digest): boolean {
  if (!reference.endsWith(`@${digest}`)) return false
  const asTag = `${reference.slice(0, -digest.length - 1)}:`
  for (const other of catalog.refsOf(digest)) if (other.reference.startsWith(asTag)) return true
  return false
}

function hasReference(catalog: Catalog, digest: Digest): boolean {
  for (const _ of catalog.refsOf(digest)) return true
  return false
}
