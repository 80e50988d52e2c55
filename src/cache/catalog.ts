/**
 * The catalog: what the cache knows, in memory. References, digests, types, sizes, times, who needs which blob; never manifest bytes.
 * It decides nothing and touches no disk.
 */
import type { Digest } from '../oci/digest.ts'
import { isAttestation, type Manifest } from '../oci/manifest.ts'
import type { ManifestKind } from '../oci/media-type.ts'
import type { Registry, Repository } from '../oci/name.ts'
import type { ManifestRecord, RefRecord } from '../store/store.ts'

export type BlobUse = { readonly digest: Digest; readonly sizeBytes: number; readonly foreign: boolean }

export type ManifestEntry = {
  readonly digest: Digest
  readonly mediaType: string
  readonly kind: ManifestKind
  readonly sizeBytes: number
  /** Who supplied it. */
  readonly registry: Registry
  readonly repository: Repository
  readonly createdMs: number
  readonly blobs: readonly BlobUse[]
  /** What an index lists; empty otherwise. */
  readonly manifests: readonly Digest[]
  /** An attestation's blobs are nobody's business until somebody asks for them. */
  readonly attestation: boolean
  readonly subject?: Digest
  readonly artifactType?: string
  /** Kept for referrers only, unless they are too big: a list of referrers that is made from the catalog lacks them then. */
  readonly annotations?: Readonly<Record<string, string>>
}

/** How long the manifests of one registry say that a blob is, and how many of them. */
type SizeClaim = { readonly sizeBytes: number; readonly registry: Registry; uses: number }

export type RefEntry = { reference: string; digest: Digest; createdMs: number; pulledMs: number; checkedMs: number; began: number }

/** As JSON, in bytes. A manifest may have 4 MiB of them, and the catalog is in memory for good. */
const MOST_ANNOTATIONS = 8 * 1024

/** One for all that list none. */
const NONE: readonly Digest[] = []

export class Catalog {
  readonly #manifests = new Map<Digest, ManifestEntry>()
  readonly #refs = new Map<string, RefEntry>()
  readonly #refsOf = new Map<Digest, Set<RefEntry>>()
  /** What manifests say of a blob's size, and how many say so; normally all say the same. */
  readonly #blobSizes = new Map<Digest, SizeClaim[]>()
  readonly #referrers = new Map<Digest, Set<ManifestEntry>>()
  /** One copy of each text that many manifests share: layer digests, media types, names. */
  readonly #texts = new Map<string, string>()

  get manifestCount(): number {
    return this.#manifests.size
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
    const entry = this.#entryOf(record, manifest)
    this.#manifests.set(entry.digest, entry)
    for (const blob of entry.blobs) this.#useBlob(blob, entry.registry)
    if (entry.subject !== undefined) addTo(this.#referrers, entry.subject, entry)
    return entry
  }

  removeManifest(digest: Digest): void {
    const entry = this.#manifests.get(digest)
    if (entry === undefined) return
    this.#manifests.delete(digest)
    for (const blob of entry.blobs) this.#unuseBlob(blob, entry.registry)
    if (entry.subject !== undefined) removeFrom(this.#referrers, entry.subject, entry)
  }

  /** Removes a manifest with all that points at it. */
  forget(digest: Digest): void {
    for (const ref of [...this.refsOf(digest)]) this.removeRef(ref.reference)
    this.removeManifest(digest)
  }

  /** @param reference in canonical spelling */
  ref(reference: string): RefEntry | undefined {
    return this.#refs.get(reference)
  }

  refs(): Iterable<RefEntry> {
    return this.#refs.values()
  }

  refsOf(digest: Digest): Iterable<RefEntry> {
    return this.#refsOf.get(digest) ?? []
  }

  /**
   * Points a reference at a digest.
   * @param began orders answers: one that began earlier never overwrites one that began later
   * @returns whether the reference now says so
   */
  setRef(ref: RefRecord, began: number): boolean {
    const known = this.#refs.get(ref.reference)
    if (known !== undefined && known.began > began) return known.digest === ref.digest
    if (known !== undefined) removeFrom(this.#refsOf, known.digest, known)
    const entry = { ...ref, digest: this.#intern(ref.digest), createdMs: known?.createdMs ?? ref.createdMs, began }
    this.#refs.set(ref.reference, entry)
    addTo(this.#refsOf, entry.digest, entry)
    return true
  }

  removeRef(reference: string): void {
    const entry = this.#refs.get(reference)
    if (entry === undefined) return
    this.#refs.delete(reference)
    removeFrom(this.#refsOf, entry.digest, entry)
  }

  /**
   * What the cached manifests of a registry say of a blob's size; undefined where none lists it, or where they disagree: a manifest with a wrong
   * size, of another registry above all, must not keep others from their layer.
   */
  blobSize(digest: Digest, registry: Registry): number | undefined {
    const claims = this.#blobSizes.get(digest)?.filter((claim) => claim.registry === registry)
    return claims?.length === 1 ? claims[0]?.sizeBytes : undefined
  }

  referrersOf(digest: Digest): Iterable<ManifestEntry> {
    return this.#referrers.get(digest) ?? []
  }

  /** The cached tags of a repository, unordered. */
  tagsOf(registry: Registry, repository: Repository): string[] {
    const prefix = `${registry}/${repository}:`
    return [...this.#refs.keys()].filter((reference) => reference.startsWith(prefix)).map((reference) => reference.slice(prefix.length))
  }

  #entryOf(record: ManifestRecord, manifest: Manifest): ManifestEntry {
    const { subject, artifactType, annotations } = manifest
    return {
      digest: this.#intern(record.digest),
      mediaType: this.#intern(manifest.mediaType),
      kind: manifest.kind,
      sizeBytes: record.bytes.byteLength,
      registry: this.#intern(record.registry),
      repository: this.#intern(record.repository),
      createdMs: record.createdMs,
      blobs: manifest.blobs.map(({ digest, sizeBytes, foreign }) => ({ digest: this.#intern(digest), sizeBytes, foreign })),
      manifests: manifest.manifests.length === 0 ? NONE : manifest.manifests.map(({ digest }) => this.#intern(digest)),
      attestation: isAttestation(manifest),
      ...(subject === undefined ? {} : { subject: this.#intern(subject) }),
      ...(artifactType === undefined ? {} : { artifactType: this.#intern(artifactType) }),
      ...(subject === undefined || annotations === undefined || isTooBig(annotations) ? {} : { annotations }),
    }
  }

  #useBlob({ digest, sizeBytes }: BlobUse, registry: Registry): void {
    const claims = this.#blobSizes.get(digest)
    const claim = claims?.find((known) => known.sizeBytes === sizeBytes && known.registry === registry)
    if (claims === undefined) this.#blobSizes.set(digest, [{ sizeBytes, registry, uses: 1 }])
    else if (claim === undefined) claims.push({ sizeBytes, registry, uses: 1 })
    else claim.uses++
  }

  #unuseBlob({ digest, sizeBytes }: BlobUse, registry: Registry): void {
    const claims = this.#blobSizes.get(digest) ?? []
    const claim = claims.find((known) => known.sizeBytes === sizeBytes && known.registry === registry)
    if (claim === undefined || --claim.uses > 0) return
    if (claims.length === 1) this.#blobSizes.delete(digest)
    else claims.splice(claims.indexOf(claim), 1)
  }

  #intern<T extends string>(text: T): T {
    const known = this.#texts.get(text)
    if (known !== undefined) return known as T
    this.#texts.set(text, text)
    return text
  }
}

function isTooBig(annotations: Readonly<Record<string, string>>): boolean {
  return Buffer.byteLength(JSON.stringify(annotations)) > MOST_ANNOTATIONS
}

function addTo<K, V>(map: Map<K, Set<V>>, key: K, value: V): void {
  const set = map.get(key)
  if (set === undefined) map.set(key, new Set([value]))
  else set.add(value)
}

function removeFrom<K, V>(map: Map<K, Set<V>>, key: K, value: V): void {
  const set = map.get(key)
  if (set === undefined) return
  set.delete(value)
  if (set.size === 0) map.delete(key)
}
