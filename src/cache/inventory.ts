/**
 * What a store holds, as people and programs list it: every reference with what it stands for, and every manifest that no reference names. A stored
 * in, values out; how they are printed is others' business.
 */
import type { Digest } from '../oci/digest.ts'
import { NO_PLATFORM } from '../oci/platform.ts'
import { formatReference, makeReference } from '../oci/reference.ts'
import type { BlobUse, Catalog, ManifestEntry, RefEntry } from './catalog.ts'

/** What it is made from: an `Overview` is such a thing. */
export type Stored = {
  readonly catalog: Catalog
  hasBlob(digest: Digest): boolean
}

/** A manifest that an index lists, and how much of it there is. */
export type ListedImage = {
  readonly digest: Digest
  /** What the index says that it is for: `linux/arm64`; empty where it does not say. */
  readonly platform: string
  readonly state: 'complete' | 'incomplete' | 'absent'
}

export type InventoryRow = {
  /** In canonical spelling. Of a manifest that no reference names: its repository and digest, by which it can be pulled. */
  readonly reference: string
  readonly isNamed: boolean
  readonly manifest: ManifestEntry
  readonly createdMs: number
  /** Undefined where no client has asked for it by this reference. */
  readonly pulledMs: number | undefined
  readonly holding: Holding
}

/** What is known of a manifest, whatever it is called. */
export type Holding = {
  readonly type: 'list' | 'image'
  /** Of an image: config and layers, as its manifest says. Of an index: those of its cached images, each once. */
  readonly sizeBytes: number
  /** Every blob is there that is to be had from a registry. Of an index: of each cached image, and there is one. */
  readonly complete: boolean
  /** Of an index: those of its complete images. Of an image: what the indexes that list it say. */
  readonly platforms: readonly string[]
  /** What an index lists, those of the indexes in it among them; empty otherwise. */
  readonly images: readonly ListedImage[]
}

export type ListedUse = BlobUse & { readonly stored: boolean }

export type Totals = {
  readonly references: number
  readonly manifests: number
  /** Stored ones, however many images share them, and their bytes, as manifests say. */
  readonly blobs: number
  readonly bytes: number
  /** Rows whose image is not complete. */
  readonly incomplete: number
  /** References that point at manifests that are not there: they have no row. */
  readonly lostReferences: number
}

/** One for all that have none. */
const NONE: readonly never[] = []

/** Sorted by reference. */
export function takeInventory({ catalog, hasBlob }: Stored): readonly InventoryRow[] {
  const holdings = new Holdings(catalog, hasBlob)
  const rows: InventoryRow[] = []
  const named = new Set<ManifestEntry>()
  for (const ref of catalog.refs()) {
    const manifest = catalog.manifest(ref.digest)
    if (manifest === undefined) continue
    named.add(manifest)
    rows.push(namedRow(ref, manifest, holdings.of(manifest)))
  }
  for (const manifest of catalog.manifests()) if (!named.has(manifest)) rows.push(namelessRow(manifest, holdings.of(manifest)))
  return rows.sort(byReference)
}

/** What an image needs, and whether it lies in the store. */
export function blobsOf({ manifest }: InventoryRow, { hasBlob }: Stored): readonly ListedUse[] {
  return manifest.blobs.map((use) => ({ ...use, stored: hasBlob(use.digest) }))
}

/**
 * Of some rows: what images share counts once.
 * @param isMeant which references are asked for
 */
export function totalsOf(rows: readonly InventoryRow[], { catalog, hasBlob }: Stored, isMeant = (_reference: string) => true): Totals {
  const manifests = new Set(rows.map(({ manifest }) => manifest))
  const images = new Set(manifests)
  for (const { holding } of rows) for (const image of cachedImagesOf(holding.images, catalog)) images.add(image)
  const counted = new Set<Digest>()
  let bytes = 0
  for (const image of images) {
    for (const { digest, sizeBytes } of image.blobs) {
      if (counted.has(digest) || !hasBlob(digest)) continue
      counted.add(digest)
      bytes += sizeBytes
    }
  }
  return {
    references: rows.filter(({ isNamed }) => isNamed).length,
    manifests: manifests.size,
    blobs: counted.size,
    bytes,
    incomplete: rows.filter(({ holding }) => !holding.complete).length,
    lostReferences: catalog.lostReferences.filter(isMeant).length,
  }
}

function namedRow({ reference, createdMs, pulledMs }: RefEntry, manifest: ManifestEntry, holding: Holding): InventoryRow {
  return { reference, isNamed: true, manifest, createdMs, pulledMs, holding }
}

function namelessRow(manifest: ManifestEntry, holding: Holding): InventoryRow {
  const { registry, repository, digest, createdMs } = manifest
  const reference = formatReference(makeReference(registry, repository, digest))
  return { reference, isNamed: false, manifest, createdMs, pulledMs: undefined, holding }
}

/** Each is made once, however many references and indexes lead to it. */
class Holdings {
  readonly #known = new Map<ManifestEntry, Holding>()

  constructor(
    private readonly catalog: Catalog,
    private readonly hasBlob: (digest: Digest) => boolean,
  ) {}

  of(manifest: ManifestEntry): Holding {
    const known = this.#known.get(manifest)
    if (known !== undefined) return known
    const holding = manifest.kind === 'index' ? this.#ofIndex(manifest) : this.#ofImage(manifest)
    this.#known.set(manifest, holding)
    return holding
  }

  #ofImage(image: ManifestEntry): Holding {
    return {
      type: 'image',
      sizeBytes: bytesOf(image.blobs),
      complete: image.blobs.every(({ digest, foreign }) => foreign || this.hasBlob(digest)),
      platforms: distinct(this.catalog.indexesOf(image.digest).flatMap((index) => platformsFor(image.digest, index))),
      images: NONE,
    }
  }

  #ofIndex(index: ManifestEntry): Holding {
    const images = this.#imagesUnder(index)
    const cached = cachedImagesOf(images, this.catalog)
    const pulled = cached.filter(({ attestation }) => !attestation) // an attestation's blobs are not pulled with the image
    return {
      type: 'list',
      sizeBytes: bytesOf(cached.length === 1 ? (cached[0]?.blobs ?? NONE) : distinctBlobs(cached)),
      complete: pulled.length > 0 && pulled.every((image) => this.of(image).complete),
      platforms: distinct(images.filter(({ state }) => state === 'complete').map(({ platform }) => platform)),
      images,
    }
  }

  /** All that an index leads to. Indexes in it give way to what they list; each counts once, also where they list one another. */
  #imagesUnder(top: ManifestEntry): ListedImage[] {
    const images: ListedImage[] = []
    const indexes = new Set([top])
    for (const index of indexes) {
      index.manifests.forEach((digest, i) => {
        const entry = this.catalog.manifest(digest)
        if (entry?.kind === 'index') indexes.add(entry)
        else images.push({ digest, platform: index.platforms[i] ?? '', state: this.#stateOf(entry) })
      })
    }
    return images
  }

  #stateOf(image: ManifestEntry | undefined): ListedImage['state'] {
    if (image === undefined) return 'absent'
    return this.of(image).complete ? 'complete' : 'incomplete'
  }
}

function cachedImagesOf(images: readonly ListedImage[], catalog: Catalog): ManifestEntry[] {
  return images.map(({ digest }) => catalog.manifest(digest)).filter((entry) => entry !== undefined)
}

function distinctBlobs(images: readonly ManifestEntry[]): Iterable<BlobUse> {
  return new Map(images.flatMap(({ blobs }) => blobs.map((blob) => [blob.digest, blob] as const))).values()
}

function platformsFor(image: Digest, { manifests, platforms }: ManifestEntry): string[] {
  return platforms.filter((_, i) => manifests[i] === image)
}

/** Those that say something. */
function distinct(platforms: readonly string[]): readonly string[] {
  const telling = platforms.filter((platform) => platform !== '' && platform !== NO_PLATFORM)
  if (telling.length < 2) return telling.length === 0 ? NONE : telling
  return [...new Set(telling)]
}

function bytesOf(blobs: Iterable<BlobUse>): number {
  let bytes = 0
  for (const { sizeBytes } of blobs) bytes += sizeBytes
  return bytes
}

/** By code units, as `LC_ALL=C sort` has it. */
function byReference(a: InventoryRow, b: InventoryRow): number {
  if (a.reference === b.reference) return 0
  return a.reference < b.reference ? -1 : 1
}
