/** What a store holds, read once: for commands that look at it, beside a server or in its absence, and for whoever decides what may go. */
import type { Clock } from '../observe/clock.ts'
import type { Log } from '../observe/log.ts'
import type { Digest } from '../oci/digest.ts'
import type { ListedBlob, Store } from '../store/store.ts'
import { Catalog } from './catalog.ts'
import { loadCatalog } from './catalog-load.ts'
import type { BlobInStore, PruneRules, StoreContent } from './retention.ts'

export type Survey = {
  readonly catalog: Catalog
  /** See `whyUnsure`. */
  readonly unsure: string | undefined
  /** What lies there, needed or not. */
  readonly blobs: ReadonlyMap<Digest, BlobInStore>
}

/** @param rules that are to be planned by. @throws a system error that is not about one file */
export async function surveyStore(store: Store, rules: Pick<PruneRules, 'maxBytes'>, clock: Clock, log: Log): Promise<Survey> {
  const catalog = new Catalog()
  const listed = store.blobDigests() // while the catalog is loaded
  await Promise.all([listed, loadCatalog(catalog, store, clock, log)])
  return { catalog, blobs: await blobsFor(rules, store, catalog, listed), unsure: whyUnsure(store, catalog) }
}

/**
 * All that lie in a store that nobody serves from, as far as such rules look at them: only where sizes decide what goes, each file is looked at, which
 * in a large store takes as long as to plan.
 */
export async function blobsFor(
  { maxBytes }: Pick<PruneRules, 'maxBytes'>,
  store: BlobLists,
  catalog: Catalog,
  digests = store.blobDigests(),
): Promise<StoreContent['blobs']> {
  return maxBytes === undefined ? blobsAsClaimed(await digests, store, catalog) : listedBlobs(store)
}

type BlobLists = Pick<Store, 'listBlobs' | 'blobDigests'>

/** What a store holds, in a fraction of the time: of blobs only which are there. */
export type Overview = {
  readonly catalog: Catalog
  /** Whether it lies there, of a blob that a manifest needs. */
  hasBlob(digest: Digest): boolean
  /** How many lie there that no manifest needs. */
  readonly unneededBlobs: number
}

/** @throws a system error that is not about one file */
export async function overlookStore(store: Store, clock: Clock, log: Log): Promise<Overview> {
  const catalog = new Catalog()
  const [digests] = await Promise.all([store.blobDigests(), loadCatalog(catalog, store, clock, log)])
  const missing = new Set(catalog.neededBlobs())
  let unneededBlobs = 0
  for (const digest of digests) if (!missing.delete(digest)) unneededBlobs++
  return { catalog, hasBlob: (digest) => !missing.has(digest), unneededBlobs }
}

/** Why nobody can tell what is needed: what may need it could not be read. Undefined where all could. */
export function whyUnsure({ leftOut }: Pick<Store, 'leftOut'>, { lostReferences }: Catalog): string | undefined {
  const [lost] = lostReferences
  const advice = 'ociregistry verify says more, and with --repair mends it'
  if (leftOut > 0) return `${leftOut} record(s) or reference(s) could not be read: ${advice}`
  return lost === undefined ? undefined : `the manifest of ${lost} is not there: ${advice}`
}

/** All that lie there, of which those that manifests need are taken to be as large as these say. They may lie: nothing is to be decided by that. */
async function blobsAsClaimed(
  digests: Iterable<Digest>,
  store: Pick<Store, 'listBlobs'>,
  catalog: Catalog,
): Promise<ReadonlyMap<Digest, BlobInStore>> {
  const blobs = new Map<Digest, BlobInStore>()
  const unclear: Digest[] = []
  for (const digest of digests) {
    const sizeBytes = catalog.undisputedSize(digest)
    if (sizeBytes === undefined) unclear.push(digest)
    else blobs.set(digest, { digest, sizeBytes })
  }
  for await (const blob of store.listBlobs(unclear)) blobs.set(blob.digest, blob)
  return blobs
}

/** All that lie in a store, as they are. */
export async function listedBlobs(store: Pick<Store, 'listBlobs'>): Promise<ReadonlyMap<Digest, ListedBlob>> {
  const blobs = new Map<Digest, ListedBlob>()
  for await (const blob of store.listBlobs()) blobs.set(blob.digest, blob)
  return blobs
}
