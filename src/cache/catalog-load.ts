/** Fills the catalog from the store, at start and when another process has written to it: records first, then references, then the references that older records name themselves. */
import type { Clock } from '../observe/clock.ts'
import type { Log } from '../observe/log.ts'
import { ManifestError, parseManifest } from '../oci/manifest.ts'
import type { ListedRecord, ManifestRecord, RefRecord, Store } from '../store/store.ts'
import type { Catalog } from './catalog.ts'

/** What a reference says when no answer of an upstream has been seen in this run: anything that began later overwrites it. */
const BEFORE_ALL = 0

/** @returns how many manifests were loaded. Damaged records are logged and left out; the rest loads all the same. */
export async function loadCatalog(catalog: Catalog, store: Store, clock: Clock, log: Log): Promise<number> {
  const began = clock.monotonic()
  const named = new Map<string, NamedByRecord>()
  for await (const record of store.listRecords()) {
    if (!addRecord(catalog, record, log)) continue
    const naming = namedBy(record)
    const known = named.get(naming.reference)
    if (known === undefined || !isLater(known, naming)) named.set(naming.reference, naming)
  }
  for await (const ref of store.listRefs()) {
    const isThere = catalog.manifest(ref.digest) !== undefined
    if (isThere) learn(catalog, ref)
    else {
      catalog.noteLost(ref)
      log.warn('reference points at a manifest that is not in the store', { reference: ref.reference, digest: ref.digest })
    }
    if (isThere || !isYounger(named.get(ref.reference), ref)) named.delete(ref.reference)
  }
  for (const ref of named.values()) learn(catalog, ref)
  log.info(`loaded ${catalog.manifestCount} manifest(s) in ${Math.round(clock.monotonic() - began)} ms`)
  return catalog.manifestCount
}

/** What an upstream has said in this run stays, unless another process has asked one later. */
function learn(catalog: Catalog, ref: RefRecord): void {
  const known = catalog.ref(ref.reference)
  const isLaterAnswer = known !== undefined && ref.checkedMs > known.checkedMs
  const pulledMs = Math.max(ref.pulledMs, known?.pulledMs ?? 0)
  catalog.setRef({ ...ref, pulledMs }, isLaterAnswer ? known.began : BEFORE_ALL)
}

/** Adds one record; false, with a line in the log, if its bytes are no manifest. */
export function addRecord(catalog: Catalog, record: ManifestRecord, log: Log): boolean {
  try {
    catalog.addManifest(record, parseManifest(record.bytes, record.mediaType))
    return true
  } catch (error) {
    if (!(error instanceof ManifestError)) throw error
    log.warn('stored manifest left out', { digest: record.digest, reference: record.imageUrl, why: error.message })
    return false
  }
}

/** The reference that a record names itself: older programs have no other. */
type NamedByRecord = RefRecord & Pick<ListedRecord, 'writtenMs'>

function namedBy(record: ListedRecord): NamedByRecord {
  const { imageUrl, digest, createdMs, pulledMs, writtenMs } = record
  return { reference: imageUrl, digest, createdMs, pulledMs, checkedMs: createdMs, writtenMs }
}

/** Of two records with one reference, an older program used the one that it wrote last. */
function isLater(one: NamedByRecord, other: NamedByRecord): boolean {
  const [oneMs, otherMs] = [one.writtenMs(), other.writtenMs()]
  return oneMs === otherMs ? one.createdMs > other.createdMs : oneMs > otherMs
}

/** Whether an older program, which knows no references, wrote the record after the reference was last used: it moved the tag. */
function isYounger(record: NamedByRecord | undefined, ref: RefRecord): boolean {
  return record !== undefined && record.writtenMs() > Math.max(ref.createdMs, ref.pulledMs, ref.checkedMs)
}
