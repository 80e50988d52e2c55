/** Fills the catalog from the store at start: records first, then references, then the references that older records name themselves. */
import type { Clock } from '../observe/clock.ts'
import type { Log } from '../observe/log.ts'
import { ManifestError, parseManifest } from '../oci/manifest.ts'
import { formatReference, parseReference } from '../oci/reference.ts'
import type { ManifestRecord, RefRecord, Store } from '../store/store.ts'
import type { Catalog } from './catalog.ts'

/** What a reference says when no answer of an upstream has been seen in this run: anything that began later overwrites it. */
const BEFORE_ALL = 0

/** @returns how many manifests were loaded. Damaged records are logged and left out; the rest loads all the same. */
export async function loadCatalog(catalog: Catalog, store: Store, clock: Clock, log: Log): Promise<number> {
  const began = clock.monotonic()
  const named = new Map<string, RefRecord>()
  for await (const record of store.listRecords()) {
    if (!addRecord(catalog, record, log)) continue
    const ref = refOf(record)
    const known = named.get(ref.reference)
    if (known === undefined || known.createdMs <= ref.createdMs) named.set(ref.reference, ref)
  }
  for await (const ref of store.listRefs()) {
    if (catalog.manifest(ref.digest) === undefined)
      log.warn('reference points at a manifest that is not in the store', { reference: ref.reference, digest: ref.digest })
    else catalog.setRef(ref, BEFORE_ALL)
    named.delete(ref.reference)
  }
  for (const ref of named.values()) catalog.setRef(ref, BEFORE_ALL)
  log.info(`loaded ${catalog.manifestCount} manifest(s) in ${Math.round(clock.monotonic() - began)} ms`)
  return catalog.manifestCount
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

/** The reference that a record names itself. Older programs have no other. */
function refOf(record: ManifestRecord): RefRecord {
  const { digest, createdMs, pulledMs } = record
  return { reference: formatReference(parseReference(record.imageUrl)), digest, createdMs, pulledMs, checkedMs: createdMs }
}
