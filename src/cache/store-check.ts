/**
 * Checks a whole store, and changes nothing:
 *
 *   1. every reference and every record is read: what they say is gathered in a catalog of its own
 *   2. every blob is hashed
 *   3. what references point at is to be there
 *   4. what images need is to be there, as long as they say; a blob that was never pulled makes an image incomplete, not wrong
 *
 * A server may run on the store meanwhile: what seems wrong is looked at once more before it is said.
 */
import type { Digest } from '../oci/digest.ts'
import type { ManifestRecord, RefRecord } from '../store/store.ts'
import { type Amount, type FileKind, fileOfReference, filesOf, type StoreFile, type StoreFiles } from '../store/store-files.ts'
import { Catalog, type ManifestEntry } from './catalog.ts'
import type { Inspected, Inspector } from './inspector.ts'
import { judgeImage, type Needed, type RightRecord } from './judge.ts'
import { type Source, sourceName } from './sources.ts'
import { type Uses, usesOf } from './uses.ts'

/** `incomplete`: never pulled to its end. `unused`: right, but nothing that a client could be served. Only `wrong` is damage. */
export type Verdict = 'wrong' | 'incomplete' | 'unused'

export type Finding = {
  readonly verdict: Verdict
  readonly kind: 'blob' | 'record' | 'reference' | 'image'
  readonly digest: Digest
  /** Within the store; where something is missing, where it would lie. */
  readonly path: string
  readonly why: string
  /** What clients call it, or what needs it. */
  readonly references: readonly string[]
  /** Where it can be had again. */
  readonly sources: readonly Source[]
  /** The file that is wrong; undefined where it is missing. */
  readonly file?: { readonly file: StoreFile; readonly identity: string }
  /** What only a wrong record says: a reference that would be lost with it. */
  readonly onlyNameOf?: RefRecord
}

export type CheckReport = {
  readonly checked: Readonly<Record<'blobs' | 'records' | 'references', Amount>>
  readonly images: { readonly complete: number; readonly incomplete: number }
  /** Counted, not judged. */
  readonly spool: Amount
  readonly quarantine: Amount
  readonly findings: readonly Finding[]
}

type Wrong = Extract<Inspected, { verdict: 'wrong' }>
/** `claims`: what a wrong record says of itself, where it can still be read. */
type Found = Omit<Finding, 'references' | 'sources' | 'onlyNameOf'> & { readonly claims?: ManifestRecord }

const NOTHING: Amount = { files: 0, bytes: 0 }
const NOT_FETCHED_AGAIN = 'it is missing: it was found damaged, and has not been fetched again'

export class StoreCheck {
  readonly #files: StoreFiles
  readonly #inspector: Inspector
  readonly #catalog = new Catalog()
  readonly #found: Found[] = []
  /** Kind and digest of what is wrong, of what is right but unused, and of what lies in quarantine. */
  readonly #wrong = new Set<string>()
  readonly #unused = new Set<string>()
  readonly #quarantined = new Set<string>()
  /** Of blobs that are right. */
  readonly #sizes = new Map<Digest, number>()
  readonly #missing = new Set<Digest>()
  readonly #checked = { blob: NOTHING, record: NOTHING, reference: NOTHING }
  readonly #images = { complete: 0, incomplete: 0 }

  constructor(files: StoreFiles, inspector: Inspector) {
    this.#files = files
    this.#inspector = inspector
  }

  /** To be called once. @throws a system error that is not about one file */
  async run(): Promise<CheckReport> {
    for await (const file of this.#files.list()) await this.#check(file)
    for (const { kind, digest } of await this.#files.quarantined()) this.#quarantined.add(nameOf(kind, digest))
    for (const digest of this.#missingManifests()) await this.#lookForManifest(digest)
    for (const entry of this.#catalog.manifests()) if (entry.kind === 'image' && !entry.attestation) await this.#checkImage(entry)
    const { blob, record, reference } = this.#checked
    return {
      checked: { blobs: blob, records: record, references: reference },
      images: this.#images,
      spool: await this.#files.amount('pulls'),
      quarantine: await this.#files.amount('quarantine'),
      findings: this.#withUses(),
    }
  }

  async #check(file: StoreFile): Promise<void> {
    const inspected = await this.#inspector.inspect(file)
    if (inspected.verdict === 'gone') return
    const { files, bytes } = this.#checked[file.kind]
    this.#checked[file.kind] = { files: files + 1, bytes: bytes + inspected.sizeBytes }
    this.#note(file, inspected)
  }

  #note(file: StoreFile, inspected: Inspected): void {
    if (inspected.verdict === 'gone') return
    if (inspected.verdict === 'wrong') this.#noteWrong(file, inspected)
    else if ('blob' in inspected) this.#sizes.set(file.digest, inspected.sizeBytes)
    else if ('reference' in inspected) this.#catalog.setRef(inspected.reference, 0)
    else this.#noteRecord(file, inspected)
  }

  #noteWrong(file: StoreFile, { why, identity, claims }: Wrong): void {
    this.#wrong.add(nameOf(file.kind, file.digest))
    this.#found.push({ ...file, verdict: 'wrong', why, file: { file, identity }, ...(claims === undefined ? {} : { claims }) })
  }

  /** Older programs know no other references than those that records name. */
  #noteRecord(file: StoreFile, { record, manifest, unused }: RightRecord): void {
    const reference = namedBy(record)
    if (this.#catalog.ref(reference.reference) === undefined) this.#catalog.setRef(reference, 0)
    if (manifest !== undefined) this.#catalog.addManifest(record, manifest)
    else {
      this.#unused.add(nameOf(file.kind, file.digest))
      this.#found.push({ ...file, verdict: 'unused', why: unused ?? '' })
    }
  }

  /** What references point at, and what indexes list that was found damaged before. */
  #missingManifests(): readonly Digest[] {
    const wanted = new Set(Array.from(this.#catalog.refs(), ({ digest }) => digest))
    for (const { manifests } of this.#catalog.manifests()) {
      for (const digest of manifests) if (this.#quarantined.has(nameOf('record', digest))) wanted.add(digest)
    }
    return [...wanted].filter((digest) => !this.#hasManifest(digest))
  }

  /** Right, wrong or unused: there is nothing more to be said of it. */
  #hasManifest(digest: Digest): boolean {
    const name = nameOf('record', digest)
    return this.#catalog.manifest(digest) !== undefined || this.#wrong.has(name) || this.#unused.has(name)
  }

  /** It may have come since records were read, and references may have moved. */
  async #lookForManifest(digest: Digest): Promise<void> {
    for (const file of filesOf('record', digest)) await this.#check(file)
    if (this.#hasManifest(digest)) return
    for (const { reference } of [...this.#catalog.refsOf(digest)]) {
      this.#catalog.removeRef(reference)
      const file = fileOfReference(reference)
      this.#note(file, await this.#inspector.inspect(file))
    }
    const isReferred = [...this.#catalog.refsOf(digest)].length > 0
    const isDamaged = this.#quarantined.has(nameOf('record', digest))
    if (!isReferred && !isDamaged) return
    const [file] = filesOf('record', digest)
    if (file !== undefined)
      this.#found.push({ ...file, verdict: 'wrong', why: isDamaged ? NOT_FETCHED_AGAIN : 'it is missing, but a reference points at it' })
  }

  async #checkImage(entry: ManifestEntry): Promise<void> {
    const needed = entry.blobs.filter(({ foreign }) => !foreign)
    for (const { digest } of needed) await this.#lookForBlob(digest)
    const { missing, ofAnotherSize } = judgeImage(needed, (digest) => this.#sizes.get(digest))
    const neverPulled = missing.filter(({ digest }) => !this.#wrong.has(nameOf('blob', digest)))
    if (neverPulled.length === 0 && ofAnotherSize.length === 0) {
      if (missing.length === 0) this.#images.complete++
      else this.#images.incomplete++
      return
    }
    const [record] = await this.#present(filesOf('record', entry.digest))
    if (record === undefined) return // somebody removed it meanwhile
    this.#images.incomplete++
    const why = whyIncomplete(neverPulled, ofAnotherSize, needed.length)
    this.#found.push({ verdict: 'incomplete', kind: 'image', digest: entry.digest, path: record.path, why })
  }

  /** Once for each blob: it may have come since blobs were listed. What is missing, and was damaged once, is wrong. */
  async #lookForBlob(digest: Digest): Promise<void> {
    const name = nameOf('blob', digest)
    if (this.#sizes.has(digest) || this.#wrong.has(name) || this.#missing.has(digest)) return
    const [file] = filesOf('blob', digest)
    if (file === undefined) return
    await this.#check(file)
    if (this.#sizes.has(digest) || this.#wrong.has(name)) return
    this.#missing.add(digest)
    if (!this.#quarantined.has(name)) return
    this.#wrong.add(name)
    this.#found.push({ ...file, verdict: 'wrong', why: NOT_FETCHED_AGAIN })
  }

  async #present(files: readonly StoreFile[]): Promise<readonly StoreFile[]> {
    const present: StoreFile[] = []
    for (const file of files) if ((await this.#files.identity(file)) !== undefined) present.push(file)
    return present
  }

  #withUses(): Finding[] {
    const digests = this.#found.filter(({ kind }) => kind !== 'reference').map(({ digest }) => digest)
    const uses = usesOf(this.#catalog, digests)
    return this.#found.map(({ claims, ...found }) => {
      const known = (found.kind === 'reference' ? undefined : uses.get(found.digest)) ?? { references: [], sources: [] }
      if (claims === undefined) return { ...found, ...known }
      const isOnlyName = this.#catalog.ref(claims.imageUrl) === undefined
      return { ...found, ...withClaims(known, claims), ...(isOnlyName && { onlyNameOf: namedBy(claims) }) }
    })
  }
}

function namedBy({ imageUrl: reference, digest, createdMs, pulledMs }: ManifestRecord): RefRecord {
  return { reference, digest, createdMs, pulledMs, checkedMs: createdMs }
}

function nameOf(kind: FileKind, digest: Digest): string {
  return `${kind} ${digest}`
}

function whyIncomplete(missing: readonly Needed[], ofAnotherSize: readonly Needed[], needed: number): string {
  const bytes = missing.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  const parts = [
    missing.length === 0 ? [] : `${missing.length} of its ${needed} blobs (${bytes} bytes) are not in the store`,
    ...ofAnotherSize.map(({ digest, sizeBytes }) => `${digest} is right, but not ${sizeBytes} bytes long, as its manifest says`),
  ]
  return parts.flat().join('; ')
}

function withClaims({ references, sources }: Uses, { imageUrl, registry, repository }: ManifestRecord): Uses {
  const claimed = { registry, repository }
  return {
    references: references.includes(imageUrl) ? references : [...references, imageUrl],
    sources: sources.some((source) => sourceName(source) === sourceName(claimed)) ? sources : [...sources, claimed],
  }
}
