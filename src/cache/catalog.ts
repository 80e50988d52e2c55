/**
 * The catalog: what the cache knows, in memory. References, digests, types, sizes, times, who needs which blob; never manifest bytes.
 * It decides nothing and touches no disk.
 */
import type { Digest } from '../oci/digest.ts'
import { isAttestation, type Manifest } from '../oci/manifest.ts'
import type { ManifestKind } from '../oci/media-type.ts'
import type { Registry, Repository } from '../oci/name.ts'
import { formatPlatform } from '../oci/platform.ts'
import type { ManifestRecord, RefRecord } from '../store/store.ts'
import { MultiMap } from './multi-map.ts'

export type BlobUse = { readonly digest: Digest; readonly sizeBytes: number; readonly foreign: boolean }

export type ManifestEntry = {
  readonly digest: Digest
  readonly mediaType: string
  readonly kind: ManifestKind
  readonly sizeBytes: number
  /** Who supplied it. */
  readonly registry: Registry
  readonly repository: Repository
  /** The reference that its record names: without a file for that reference it counts after a restart. Changed by `nameRecord` only. */
  namedBy: string
  readonly createdMs: number
  readonly blobs: readonly BlobUse[]
  /** What an index lists; empty otherwise. */
  readonly manifests: readonly Digest[]
  /** What each of these is for, `linux/arm64`; empty where the index does not say. */
  readonly platforms: readonly string[]
  /** An attestation's blobs are nobody's business until somebody asks for them. */
  readonly attestation: boolean
  readonly subject?: Digest
  readonly artifactType?: string
  /** Kept for referrers only, unless they are too big: a list of referrers that is made from the catalog lacks them then. */
  readonly annotations?: Readonly<Record<string, string>>
}

/** What the manifests of one registry say of a blob, once for all that say the same, and how many these are. */
type BlobClaim = BlobUse & { readonly registry: Registry; uses: number }

export type RefEntry = { reference: string; digest: Digest; createdMs: number; pulledMs: number; checkedMs: number; began: number }

/** As JSON, in bytes. A manifest may have 4 MiB of them, and the catalog is in memory for good. */
const MOST_ANNOTATIONS = 8 * 1024

/** One for all that list none. */
const NONE: readonly never[] = []

export class Catalog {
  readonly #manifests = new Map<Digest, ManifestEntry>()
  readonly #refs = new Map<string, RefEntry>()
  readonly #refsOf = new MultiMap<Digest, RefEntry>()
  /** What manifests say of a blob's size, and how many say so; normally all say the same. */
  readonly #claims = new MultiMap<Digest, BlobClaim>()
  readonly #lost = new Map<string, Pick<RefRecord, 'reference' | 'digest'>>()
  readonly #referrers = new MultiMap<Digest, ManifestEntry>()
  /** The indexes that list a manifest, cached or not. */
  readonly #listedBy = new MultiMap<Digest, ManifestEntry>()
  /** One copy of each text that many manifests share: media types, names, platforms. */
  readonly #texts = new Map<string, string>()

  get manifestCount(): number {
    return this.#manifests.size
  }

  /** References that the store has, and whose manifests it has not: what these need is not known. */
  get lostReferences(): readonly string[] {
    return [...this.#lost.values()].filter(({ digest }) => !this.#manifests.has(digest)).map(({ reference }) => reference)
  }

  /** A reference points at a manifest that is not there. */
  noteLost(ref: Pick<RefRecord, 'reference' | 'digest'>): void {
    this.#lost.set(ref.reference, ref)
  }

  get referenceCount(): number {
    return this.#refs.size
  }

  /** How many blobs cached manifests need, whether these are stored or not. */
  get blobCount(): number {
    return this.#claims.size
  }

  manifest(digest: Digest): ManifestEntry | undefined {
    return this.#manifests.get(digest)
  }

  manifests(): Iterable<ManifestEntry> {
    return this.#manifests.values()
  }

  /** Harmless when it is there already. */
  addManifest(record: ManifestRecord, manifest: Manifest): ManifestEntry {
    const known = this.#manifests.get(record.digest)
    if (known !== undefined) return known
    const entry = this.#newEntry(record, manifest)
    this.#manifests.set(entry.digest, entry)
    for (const listed of entry.manifests) this.#listedBy.add(listed, entry)
    if (entry.subject !== undefined) this.#referrers.add(entry.subject, entry)
    return entry
  }

  removeManifest(digest: Digest): void {
    const entry = this.#manifests.get(digest)
    if (entry === undefined) return
    this.#manifests.delete(digest)
    for (const blob of entry.blobs) this.#unuseBlob(blob, entry.registry)
    for (const listed of entry.manifests) this.#listedBy.remove(listed, entry)
    if (entry.subject !== undefined) this.#referrers.remove(entry.subject, entry)
  }

  /** Removes a manifest with all that points at it. */
  forget(digest: Digest): void {
    for (const ref of [...this.refsOf(digest)]) this.removeRef(ref.reference)
    this.removeManifest(digest)
  }

  /** Its record was written, and names that reference. */
  nameRecord(digest: Digest, reference: string): void {
    const entry = this.#manifests.get(digest)
    if (entry !== undefined) entry.namedBy = this.#refs.get(reference)?.reference ?? reference
  }

  /** @param reference in canonical spelling */
  ref(reference: string): RefEntry | undefined {
    return this.#refs.get(reference)
  }

  refs(): Iterable<RefEntry> {
    return this.#refs.values()
  }

  refsOf(digest: Digest): Iterable<RefEntry> {
    return this.#refsOf.get(digest)
  }

  /**
   * Points a reference at a digest.
   * @param began orders answers: one that began earlier never overwrites one that began later
   * @returns whether the reference now says so
   */
  setRef(ref: RefRecord, began: number): boolean {
    this.#lost.delete(ref.reference)
    const known = this.#refs.get(ref.reference)
    if (known !== undefined && known.began > began) return known.digest === ref.digest
    if (known !== undefined) this.#refsOf.remove(known.digest, known)
    const { pulledMs, checkedMs } = ref
    const manifest = this.#manifests.get(ref.digest)
    const digest = manifest?.digest ?? ref.digest
    const reference = manifest?.namedBy === ref.reference ? manifest.namedBy : ref.reference // one text for both
    const entry = { reference, digest, createdMs: known?.createdMs ?? ref.createdMs, pulledMs, checkedMs, began }
    this.#refs.set(reference, entry)
    this.#refsOf.add(digest, entry)
    return true
  }

  removeRef(reference: string): void {
    const entry = this.#refs.get(reference)
    if (entry === undefined) return
    this.#refs.delete(reference)
    this.#refsOf.remove(entry.digest, entry)
  }

  /**
   * What the cached manifests of a registry say of a blob's size; undefined where none lists it, or where they disagree: a manifest with a wrong
   * size, of another registry above all, must not keep others from their layer.
   */
  blobSize(digest: Digest, registry: Registry): number | undefined {
    const sizes = new Set<number>()
    for (const claim of this.#claims.get(digest)) if (claim.registry === registry) sizes.add(claim.sizeBytes)
    return sizes.size === 1 ? first(sizes) : undefined
  }

  /** What all cached manifests say of a blob's size, whatever their registries; undefined where none lists it, or where they disagree. */
  undisputedSize(digest: Digest): number | undefined {
    let found: number | undefined
    for (const { sizeBytes } of this.#claims.get(digest)) {
      if (found !== undefined && found !== sizeBytes) return undefined
      found = sizeBytes
    }
    return found
  }

  /** Whether a cached manifest needs a blob. */
  needsBlob(digest: Digest): boolean {
    return this.#claims.has(digest)
  }

  /** Each blob that a cached manifest needs, once. */
  neededBlobs(): Iterable<Digest> {
    return this.#claims.keys()
  }

  /** The blobs that cached manifests need, and how many need each. */
  *blobUses(): Iterable<readonly [digest: Digest, uses: number]> {
    for (const digest of this.#claims.keys()) {
      let all = 0
      for (const { uses } of this.#claims.get(digest)) all += uses
      yield [digest, all]
    }
  }

  /** The cached indexes that list a manifest. */
  indexesOf(digest: Digest): readonly ManifestEntry[] {
    return [...this.#listedBy.get(digest)]
  }

  referrersOf(digest: Digest): Iterable<ManifestEntry> {
    return this.#referrers.get(digest)
  }

  /** The cached tags of a repository, unordered. */
  tagsOf(registry: Registry, repository: Repository): string[] {
    const prefix = `${registry}/${repository}:`
    return [...this.#refs.keys()].filter((reference) => reference.startsWith(prefix)).map((reference) => reference.slice(prefix.length))
  }

  /** Its blobs are in use from now on. */
  #newEntry(record: ManifestRecord, manifest: Manifest): ManifestEntry {
    const { subject, artifactType, annotations } = manifest
    const registry = this.#intern(record.registry)
    return {
      digest: record.digest,
      mediaType: this.#intern(manifest.mediaType),
      kind: manifest.kind,
      sizeBytes: record.bytes.byteLength,
      registry,
      repository: this.#intern(record.repository),
      namedBy: this.#refs.get(record.imageUrl)?.reference ?? record.imageUrl,
      createdMs: record.createdMs,
      blobs: manifest.blobs.length === 0 ? NONE : manifest.blobs.map((blob) => this.#useBlob(blob, registry)),
      manifests:
        manifest.manifests.length === 0 ? NONE : manifest.manifests.map(({ digest }) => this.#manifests.get(digest)?.digest ?? digest),
      platforms:
        manifest.manifests.length === 0
          ? NONE
          : manifest.manifests.map(({ platform }) => (platform === undefined ? '' : this.#intern(formatPlatform(platform)))),
      attestation: isAttestation(manifest),
      ...(subject === undefined ? {} : { subject }),
      ...(artifactType === undefined ? {} : { artifactType: this.#intern(artifactType) }),
      ...(subject === undefined || annotations === undefined || isTooBig(annotations) ? {} : { annotations }),
    }
  }

  #useBlob({ digest, sizeBytes, foreign }: BlobUse, registry: Registry): BlobUse {
    const claims = this.#claims.get(digest)
    const claim = claimLike(claims, { sizeBytes, foreign, registry })
    if (claim !== undefined) claim.uses++
    return claim ?? this.#newClaim({ digest: first(claims)?.digest ?? digest, sizeBytes, foreign, registry, uses: 1 })
  }

  #newClaim(claim: BlobClaim): BlobClaim {
    this.#claims.add(claim.digest, claim)
    return claim
  }

  #unuseBlob({ digest, sizeBytes, foreign }: BlobUse, registry: Registry): void {
    const claim = claimLike(this.#claims.get(digest), { sizeBytes, foreign, registry })
    if (claim !== undefined && --claim.uses === 0) this.#claims.remove(digest, claim)
  }

  #intern<T extends string>(text: T): T {
    const known = this.#texts.get(text)
    if (known !== undefined) return known as T
    this.#texts.set(text, text)
    return text
  }
}

function claimLike(
  claims: Iterable<BlobClaim>,
  { sizeBytes, foreign, registry }: Pick<BlobClaim, 'sizeBytes' | 'foreign' | 'registry'>,
): BlobClaim | undefined {
  for (const claim of claims) if (claim.sizeBytes === sizeBytes && claim.foreign === foreign && claim.registry === registry) return claim
  return undefined
}

function isTooBig(annotations: Readonly<Record<string, string>>): boolean {
  return Buffer.byteLength(JSON.stringify(annotations)) > MOST_ANNOTATIONS
}

function first<T>(values: Iterable<T>): T | undefined {
  for (const value of values) return value
  return undefined
}
