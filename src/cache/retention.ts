/**
 * What may go, and what stays: decided from what the store holds, and from nothing else. The command `prune`, the admin API, the background and the
 * byte budget all go by this one.
 *
 *   1. every reference is a *root*, but one that belongs to something else: the digest of a manifest that a cached index of the same repository lists,
 *      of a signature whose subject is cached, or the tag that tools keep signatures under
 *   2. rules pick roots; what was picked goes but for what is to be kept, is in use, or was served a moment ago
 *   3. what the remaining roots need is marked: an index needs its images, an image its blobs, and each brings its signatures along
 *   4. what belonged to something that goes, goes along, unless somebody wants it for itself
 *   5. what is not marked goes: manifests and blobs that nothing needed before, the orphans, among them
 */
import { type Digest, isDigest } from '../oci/digest.ts'
import { isMachineryTag, type Tag } from '../oci/name.ts'
import type { Catalog, ManifestEntry, RefEntry } from './catalog.ts'

export type PruneRules = {
  /** Only references that match. */
  readonly matches?: (reference: string) => boolean
  /** Only what was last pulled, or first recorded, longer ago than this. */
  readonly olderThan?: { readonly by: 'accessed' | 'created'; readonly ageMs: number }
  /** Only so much that no more bytes than this remain; what was not pulled for longest goes first. */
  readonly maxBytes?: number
  /** No reference goes: only what none needs. */
  readonly orphansOnly?: boolean
  /** At most so many roots go, the oldest first; what goes along does not count. */
  readonly count?: number
  /** What matches stays, with all that it needs. */
  readonly keep?: (reference: string) => boolean
}

/** What a running server does not let go of, whatever the rules say. */
export type Guards = {
  /** What was pulled since then stays (ms since 1970). */
  readonly servedSinceMs: number
  /** Whether a manifest or blob was served a moment ago, or somebody reads it. */
  readonly isInUse: (digest: Digest) => boolean
  /** Blobs that are being downloaded: they stay, and so do the images that need them. */
  readonly filled: ReadonlySet<Digest>
  /** Orphans that came since then stay (ms since 1970): they may be on their way to somebody. */
  readonly orphansSinceMs: number
}

export type BlobInStore = {
  readonly digest: Digest
  readonly sizeBytes: number
  /** When it was stored, in ms since 1970; undefined where nobody has looked, nor needs to. */
  readonly writtenMs?: number
}

export type StoreContent = {
  readonly catalog: Catalog
  readonly blobs: ReadonlyMap<Digest, BlobInStore>
  /** Why nobody can tell what is an orphan: what may need it cannot be read. No orphan goes then. */
  readonly unsure?: string | undefined
}

/** Why a reference that the rules picked does not go. */
export type Stay = {
  readonly reference: string
  readonly why: 'kept' | 'served lately' | 'being downloaded' | 'needed'
  /** What needs it. */
  readonly by?: string
}

export type GoingManifest = { readonly entry: ManifestEntry; readonly isOrphan: boolean }
export type GoingBlob = { readonly digest: Digest; readonly sizeBytes: number; readonly isOrphan: boolean }

export type PrunePlan = {
  readonly references: readonly RefEntry[]
  /** What lists others, before these. */
  readonly manifests: readonly GoingManifest[]
  readonly blobs: readonly GoingBlob[]
  readonly stays: readonly Stay[]
  /** Of references that go without their content, what needs that. */
  readonly neededBy: ReadonlyMap<RefEntry, string>
  /** Why no orphan goes. */
  readonly unsure: string | undefined
  /** Bytes on the disk that come free, and that remain. */
  readonly freedBytes: number
  readonly keptBytes: number
}

type Going = {
  readonly references: PrunePlan['references']
  readonly manifests: readonly Pick<GoingManifest, 'entry'>[]
  readonly blobs: readonly Pick<GoingBlob, 'sizeBytes'>[]
}

const BLOCK_BYTES = 4096
/** A record holds the bytes of its manifest in base64, and a parsed copy. */
const RECORD_BYTES_PER_BYTE = 2.5
/** What was pulled so long after what it belongs to, was pulled for itself. */
const ONE_PULL_MS = 10 * 60_000

/** What the file of a reference takes of the disk. */
export const REF_BYTES = BLOCK_BYTES

/** About what the record of a manifest takes of the disk. */
export function recordBytes({ sizeBytes }: Pick<ManifestEntry, 'sizeBytes'>): number {
  return Math.ceil((sizeBytes * RECORD_BYTES_PER_BYTE) / BLOCK_BYTES) * BLOCK_BYTES
}

/** About what comes free of the disk. */
export function freedBytesOf({ references, manifests, blobs }: Going): number {
  return (
    references.length * REF_BYTES +
    manifests.reduce((sum, { entry }) => sum + recordBytes(entry), 0) +
    blobs.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  )
}

/** About what all of it takes of the disk. */
export function storedBytes({ catalog, blobs }: StoreContent): number {
  let bytes = catalog.referenceCount * REF_BYTES
  for (const entry of catalog.manifests()) bytes += recordBytes(entry)
  for (const { sizeBytes } of blobs.values()) bytes += sizeBytes
  return bytes
}

/** @param nowMs since 1970: what ages are counted from. @param guards undefined where nobody is served */
export function planPrune(content: StoreContent, rules: PruneRules, nowMs: number, guards?: Guards): PrunePlan {
  return new Planner(content, rules, nowMs, guards).plan()
}

/** Why ages cannot be told; undefined where they can, or need not be. A machine that does not know the time takes everything for too old, or nothing. */
export function refusalFor(content: Pick<StoreContent, 'catalog'>, { olderThan }: PruneRules, nowMs: number): string | undefined {
  const newest = newestMoment(content)
  if (olderThan === undefined || nowMs >= newest.ms) return undefined
  const [now, recorded] = [nowMs, newest.ms].map((ms) => new Date(ms).toISOString())
  return `cannot tell ages: the clock says ${now}, but the store has seen ${recorded} (${newest.reference}); set the clock, or remove that by --pattern`
}

/**
 * The latest moment that any reference was recorded at, in ms since 1970: a clock that is behind it cannot tell ages. The times of records do not count:
 * older programs write them without a zone, and stores are carried from one to another.
 */
export function newestMoment({ catalog }: Pick<StoreContent, 'catalog'>): { readonly ms: number; readonly reference: string } {
  let newest = { ms: 0, reference: '' }
  for (const { reference, createdMs, pulledMs, checkedMs } of catalog.refs()) {
    const ms = Math.max(createdMs, pulledMs, checkedMs)
    if (ms > newest.ms) newest = { ms, reference }
  }
  return newest
}

/** Manifests and blobs that stay. */
class Marks {
  readonly manifests = new Set<Digest>()
  readonly blobs = new Set<Digest>()
  /** What they take, if anybody wants to know: looking up the size of each blob is a sixth of the planning. */
  bytes = 0

  constructor(
    private readonly content: StoreContent,
    private readonly belongings: Belongings,
    private readonly areCounted: boolean,
  ) {}

  /**
   * Marks a manifest with all that it needs and brings. Not recursive: whoever makes indexes decides how deep they are nested.
   * @returns takes that back, as long as nothing was marked since
   */
  mark(digest: Digest): () => void {
    const { catalog } = this.content
    const [manifests, blobs, bytes]: [Digest[], Digest[], number] = [[], [], this.bytes]
    const todo = [digest]
    for (let next = todo.pop(); next !== undefined; next = todo.pop()) {
      const entry = this.manifests.has(next) ? undefined : catalog.manifest(next)
      if (entry === undefined) continue
      this.manifests.add(next)
      manifests.push(next)
      this.bytes += recordBytes(entry)
      for (const blob of entry.blobs) if (this.#markBlob(blob.digest)) blobs.push(blob.digest)
      todo.push(...entry.manifests, ...this.belongings.broughtBy(next))
    }
    return () => {
      for (const each of manifests) this.manifests.delete(each)
      for (const each of blobs) this.blobs.delete(each)
      this.bytes = bytes
    }
  }

  #markBlob(digest: Digest): boolean {
    if (this.blobs.has(digest)) return false
    this.blobs.add(digest)
    if (this.areCounted) this.bytes += this.content.blobs.get(digest)?.sizeBytes ?? 0
    return true
  }
}

/** What belongs to what: which manifests own a reference, and which signatures a manifest brings. */
class Belongings {
  /** Tags that tools keep signatures under, by what they sign. */
  readonly #signatures = new Map<Digest, RefEntry[]>()

  constructor(private readonly catalog: Catalog) {
    for (const ref of catalog.refs()) {
      const subject = signedBy(ref.reference)
      if (subject === undefined || subject === ref.digest || !this.#isNamed(subject)) continue
      if (!this.#isOf(repositoryOf(ref.reference), subject)) continue
      this.#signatures.set(subject, [...(this.#signatures.get(subject) ?? []), ref])
    }
  }

  /** Of the repositories that have the manifest itself: whoever else claims to sign it keeps nothing by that. */
  *broughtBy(digest: Digest): Generator<Digest> {
    for (const { digest: referrer, registry, repository } of this.catalog.referrersOf(digest))
      if (this.#isOf(`${registry}/${repository}`, digest)) yield referrer
    for (const tag of this.#signatures.get(digest) ?? []) yield tag.digest
  }

  /** None for a root. What no reference names owns nothing: it is about to go itself, and what clients asked for by digest is not to go with it. */
  ownersOf({ reference, digest }: RefEntry): readonly Digest[] {
    const subject = signedBy(reference)
    if (subject !== undefined) return this.#signatures.get(subject)?.some((ref) => ref.reference === reference) === true ? [subject] : []
    if (!reference.endsWith(`@${digest}`)) return []
    const repository = repositoryOf(reference)
    const owners = this.catalog.indexesOf(digest).filter((index) => this.#isNamedIn(repository, index))
    const signed = this.catalog.manifest(digest)?.subject
    const isSignature =
      signed !== undefined && this.#isNamed(signed) && this.#isOf(repository, signed) && this.#isSuppliedBy(repository, digest)
    return [...owners.map((index) => index.digest), ...(isSignature ? [signed] : [])]
  }

  /** Whether a manifest came from that repository, or a reference names it there. */
  #isOf(repository: string, digest: Digest): boolean {
    const entry = this.catalog.manifest(digest)
    return entry !== undefined && (this.#isSuppliedBy(repository, digest) || this.#isNamedIn(repository, entry))
  }

  #isSuppliedBy(repository: string, digest: Digest): boolean {
    const entry = this.catalog.manifest(digest)
    return entry !== undefined && `${entry.registry}/${entry.repository}` === repository
  }

  /** Whether it is cached, and has a reference, or an index that lists it has one. */
  #isNamed(digest: Digest): boolean {
    const hasReference = (of: Digest) => this.catalog.refsOf(of)[Symbol.iterator]().next().done === false
    if (this.catalog.manifest(digest) === undefined) return false
    return hasReference(digest) || this.catalog.indexesOf(digest).some((index) => hasReference(index.digest))
  }

  #isNamedIn(repository: string, { digest }: ManifestEntry): boolean {
    for (const { reference } of this.catalog.refsOf(digest)) if (repositoryOf(reference) === repository) return true
    return false
  }
}

type Candidate = {
  readonly ref: RefEntry
  /** What it belongs to; empty for a root. */
  owners: readonly Digest[]
  /** Its content's last pull, or that of an index that lists it, whichever was later. */
  readonly accessedMs: number
  /** Whether it was pulled by itself, long after what it belongs to. */
  readonly isOwnPull: boolean
}

class Planner {
  readonly #content: StoreContent
  readonly #rules: PruneRules
  /** What is older than this moment is old. */
  readonly #oldMs: number
  readonly #nowMs: number
  readonly #guards: Guards | undefined
  readonly #belongings: Belongings
  /** In the order in which they are to go. */
  readonly #candidates: readonly Candidate[]
  readonly #going = new Set<RefEntry>()
  /** What belongs to something, and stays whatever becomes of that. */
  readonly #wanted = new Set<RefEntry>()
  /** What is being downloaded, and what lists it. */
  readonly #filled = new Set<Digest>()
  readonly #stays: Stay[] = []

  constructor(content: StoreContent, rules: PruneRules, nowMs: number, guards: Guards | undefined) {
    this.#content = content
    this.#rules = rules
    this.#oldMs = rules.olderThan === undefined ? Number.POSITIVE_INFINITY : nowMs - rules.olderThan.ageMs
    this.#nowMs = nowMs
    this.#guards = guards
    this.#belongings = new Belongings(content.catalog)
    this.#candidates = this.#inOrder()
  }

  plan(): PrunePlan {
    const needed = this.#newMarks()
    for (const { ref, owners } of this.#candidates) if (owners.length === 0) needed.mark(ref.digest)
    for (const candidate of this.#candidates) if (!needed.manifests.has(candidate.ref.digest)) this.#makeRoot(candidate, needed)
    const kept = this.#newMarks()
    this.#keepWhatIsUnderWay(needed, kept)
    if (this.#content.unsure !== undefined) this.#keepOrphans(needed, kept)
    if (this.#rules.maxBytes === undefined) this.#pick(kept)
    else this.#pickDownTo(this.#rules.maxBytes, kept)
    return this.#concluded(needed, kept)
  }

  /** What is owned by nothing that a root leads to, such as things that claim each other in a circle, is on its own. */
  #makeRoot(candidate: Candidate, needed: Marks): void {
    candidate.owners = []
    needed.mark(candidate.ref.digest)
  }

  #keepOrphans(needed: Marks, kept: Marks): void {
    for (const { digest } of this.#content.catalog.manifests()) if (!needed.manifests.has(digest)) kept.mark(digest)
  }

  #newMarks(): Marks {
    return new Marks(this.#content, this.#belongings, this.#rules.maxBytes !== undefined)
  }

  #inOrder(): readonly Candidate[] {
    const { catalog } = this.#content
    const accessed = accessTimes(catalog)
    const candidates = Array.from(catalog.refs(), (ref): Candidate => {
      const owners = this.#belongings.ownersOf(ref)
      const accessedMs = Math.max(ref.pulledMs, accessed.get(ref.digest) ?? 0)
      const ownersMs = Math.max(...owners.map((owner) => accessed.get(owner) ?? 0))
      return { ref, owners, accessedMs, isOwnPull: owners.length > 0 && ref.pulledMs > ownersMs + ONE_PULL_MS }
    })
    const moment = (candidate: Candidate) => this.#momentOf(candidate)
    return candidates.sort((a, b) => moment(a) - moment(b) || (a.ref.reference < b.ref.reference ? -1 : 1))
  }

  /** What its age is counted from. */
  #momentOf({ ref, accessedMs }: Candidate): number {
    return this.#rules.olderThan?.by === 'created' ? ref.createdMs : accessedMs
  }

  #keepWhatIsUnderWay(needed: Marks, kept: Marks): void {
    if (this.#guards === undefined) return
    const { filled, isInUse, orphansSinceMs } = this.#guards
    for (const { digest, blobs, createdMs } of this.#content.catalog.manifests()) {
      if (filled.size > 0 && blobs.some((blob) => filled.has(blob.digest))) this.#noteFilled(digest)
      const isYoungOrphan = createdMs >= orphansSinceMs && !needed.manifests.has(digest)
      if (isYoungOrphan || isInUse(digest)) kept.mark(digest)
    }
    for (const digest of this.#filled) kept.mark(digest)
  }

  #noteFilled(digest: Digest): void {
    const todo = [digest]
    for (let next = todo.pop(); next !== undefined; next = todo.pop()) {
      if (this.#filled.has(next)) continue
      this.#filled.add(next)
      for (const index of this.#content.catalog.indexesOf(next)) todo.push(index.digest)
    }
  }

  /** All that the rules pick. */
  #pick(kept: Marks): void {
    const { count = Number.POSITIVE_INFINITY, orphansOnly } = this.#rules
    let left = orphansOnly === true ? 0 : count
    for (const candidate of this.#candidates) {
      const { ref, owners } = candidate
      const goes = owners.length === 0 && left > 0 && this.#isPicked(candidate) && !this.#hasToStay(candidate)
      if (goes) {
        left--
        this.#going.add(ref)
      } else if (owners.length === 0 || this.#isWantedForItself(candidate)) this.#keep(candidate, kept)
    }
    this.#letBelongingsGo(kept)
  }

  /**
   * As many of the youngest stay as there is room for, behind what has to stay. The first that does not fit ends it: nothing older is to stay in its
   * place.
   */
  #pickDownTo(maxBytes: number, kept: Marks): void {
    const free: Candidate[] = []
    for (const candidate of this.#candidates) {
      const isByItself = candidate.owners.length === 0 || candidate.isOwnPull
      if (!this.#isPicked(candidate) || this.#hasToStay(candidate)) {
        if (isByItself || this.#isWantedForItself(candidate)) this.#keep(candidate, kept)
      } else if (isByItself) free.push(candidate)
    }
    let going = free.length
    for (; going > 0; going--) {
      const takeBack = kept.mark((free[going - 1] as Candidate).ref.digest)
      const refBytes = (this.#candidates.length - going + 1) * REF_BYTES
      if (kept.bytes + refBytes <= maxBytes) continue
      takeBack()
      break
    }
    const { count = going } = this.#rules
    for (const [i, candidate] of free.entries()) {
      if (i >= Math.min(going, count)) this.#keep(candidate, kept)
      else if (candidate.owners.length === 0) this.#going.add(candidate.ref)
    }
    this.#letBelongingsGo(kept)
  }

  #keep({ ref, owners }: Candidate, kept: Marks): void {
    kept.mark(ref.digest)
    if (owners.length > 0) this.#wanted.add(ref)
  }

  /** What belongs to something that goes, goes along, unless it is wanted for itself. */
  #letBelongingsGo(kept: Marks): void {
    for (const { ref, owners } of this.#candidates) {
      if (owners.length === 0 || this.#wanted.has(ref)) continue
      if (!owners.some((owner) => kept.manifests.has(owner))) this.#going.add(ref)
    }
  }

  #isPicked(candidate: Candidate): boolean {
    const { matches, orphansOnly } = this.#rules
    if (orphansOnly === true || matches?.(candidate.ref.reference) === false) return false
    return this.#momentOf(candidate) < this.#oldMs
  }

  /** Whatever the rules pick; of those that they do, it is said why. */
  #hasToStay({ ref, owners }: Candidate): boolean {
    const why = this.#whyItStays(ref)
    if (why !== undefined && owners.length === 0) this.#stays.push({ reference: ref.reference, why })
    return why !== undefined
  }

  #whyItStays({ reference, digest, pulledMs }: RefEntry): Stay['why'] | undefined {
    if (this.#rules.keep?.(reference) === true) return 'kept'
    if (this.#guards === undefined) return undefined
    const { servedSinceMs, isInUse } = this.#guards
    const isServedLately = pulledMs >= servedSinceMs && pulledMs <= this.#nowMs // what lies in the future was noted by a clock that was wrong
    if (isServedLately || isInUse(digest)) return 'served lately'
    return this.#filled.has(digest) ? 'being downloaded' : undefined
  }

  /** Whether something that belongs to what goes stays all the same. */
  #isWantedForItself(candidate: Candidate): boolean {
    if (this.#whyItStays(candidate.ref) !== undefined) return true
    const { olderThan } = this.#rules
    return olderThan?.by === 'accessed' && candidate.isOwnPull && candidate.accessedMs >= this.#oldMs
  }

  #concluded(needed: Marks, kept: Marks): PrunePlan {
    const { catalog, blobs } = this.#content
    const manifests = Array.from(catalog.manifests())
      .filter(({ digest }) => !kept.manifests.has(digest))
      .map((entry) => ({ entry, isOrphan: !needed.manifests.has(entry.digest) }))
    const goingBlobs = [...blobs.values()].filter((blob) => !kept.blobs.has(blob.digest) && this.#mayGo(blob, needed))
    const references = this.#candidates.map(({ ref }) => ref).filter((ref) => this.#going.has(ref))
    const freedBytes = freedBytesOf({ references, manifests, blobs: goingBlobs })
    return {
      references,
      manifests: manifests.sort((a, b) => Number(b.entry.kind === 'index') - Number(a.entry.kind === 'index')),
      blobs: goingBlobs.map(({ digest, sizeBytes }) => ({ digest, sizeBytes, isOrphan: !needed.blobs.has(digest) })),
      stays: [...this.#stays, ...this.#stayingBelongings(kept)],
      neededBy: this.#neededBy(kept),
      unsure: this.#content.unsure,
      freedBytes,
      keptBytes: storedBytes(this.#content) - freedBytes,
    }
  }

  #mayGo({ digest, writtenMs = this.#nowMs }: BlobInStore, needed: Marks): boolean {
    if (this.#content.unsure !== undefined && !needed.blobs.has(digest)) return false
    if (this.#guards === undefined) return true
    const { isInUse, filled, orphansSinceMs } = this.#guards
    return !isInUse(digest) && !filled.has(digest) && (needed.blobs.has(digest) || writtenMs < orphansSinceMs)
  }

  /** References that were picked by name, but belong to something that stays. */
  #stayingBelongings(kept: Marks): Stay[] {
    const { matches } = this.#rules
    return this.#candidates.flatMap(({ ref, owners }): Stay[] => {
      if (owners.length === 0 || this.#going.has(ref) || matches?.(ref.reference) !== true) return []
      const by = this.#whatNeeds(ref, kept)
      return by === undefined ? [] : [{ reference: ref.reference, why: 'needed', by }]
    })
  }

  #neededBy(kept: Marks): ReadonlyMap<RefEntry, string> {
    const found = new Map<RefEntry, string>()
    for (const ref of this.#going) {
      const by = this.#whatNeeds(ref, kept)
      if (by !== undefined) found.set(ref, by)
    }
    return found
  }

  /** Undefined where its content goes. */
  #whatNeeds(self: RefEntry, kept: Marks): string | undefined {
    const { catalog } = this.#content
    const { digest } = self
    if (!kept.manifests.has(digest)) return undefined
    const nameOf = (of: Digest) => [...catalog.refsOf(of)].find((ref) => ref !== self && !this.#going.has(ref))?.reference
    const above = catalog.indexesOf(digest).find((index) => kept.manifests.has(index.digest))
    const subject = catalog.manifest(digest)?.subject ?? signedBy(self.reference)
    const owner = above?.digest ?? (subject !== undefined && kept.manifests.has(subject) ? subject : undefined)
    return (owner === undefined ? undefined : (nameOf(owner) ?? owner)) ?? nameOf(digest)
  }
}

/** A manifest's own last pull, or that of an index that lists it, whichever was later. */
function accessTimes(catalog: Catalog): ReadonlyMap<Digest, number> {
  const times = new Map<Digest, number>()
  for (const { digest, pulledMs } of [...catalog.refs()].sort((a, b) => b.pulledMs - a.pulledMs)) {
    const todo = [digest]
    for (let next = todo.pop(); next !== undefined; next = todo.pop()) {
      if (times.has(next)) continue // by a later pull
      times.set(next, pulledMs)
      todo.push(...(catalog.manifest(next)?.manifests ?? []))
    }
  }
  return times
}

/** What a tag such as `sha256-<hex>.sig` is about; undefined for all others. */
function signedBy(reference: string): Digest | undefined {
  const tag = reference.slice(reference.lastIndexOf(':') + 1)
  if (!tag.startsWith('sha') || !isMachineryTag(tag as Tag)) return undefined
  const [, algorithm, hex] = /^(sha256|sha512)-([0-9a-f]{64,128})/.exec(tag) ?? []
  const digest = `${algorithm}:${hex}`
  return isDigest(digest) ? digest : undefined
}

/** `registry/repository` of a canonical reference. */
function repositoryOf(reference: string): string {
  const at = reference.indexOf('@')
  return reference.slice(0, at < 0 ? reference.lastIndexOf(':') : at)
}
