/** Stores as a few words draw them: catalogs and blobs without a byte behind them, for decisions about what is stored. */
import { Catalog } from '../../src/cache/catalog.ts'
import type { StoreContent } from '../../src/cache/retention.ts'
import { type Digest, digestOf } from '../../src/oci/digest.ts'
import type { Descriptor, Manifest } from '../../src/oci/manifest.ts'
import { OCI_INDEX, OCI_MANIFEST } from '../../src/oci/media-type.ts'
import { parseReference } from '../../src/oci/reference.ts'
import type { ListedBlob } from '../../src/store/store.ts'

/** The digest of whatever has that name in a sketch. */
export function d(name: string): Digest {
  return digestOf(Buffer.from(name))
}

export type SketchedManifest = {
  /** Of a blob: all are of `blobBytes`. */
  readonly blobs?: readonly string[]
  readonly lists?: readonly string[]
  readonly subject?: string
  readonly createdMs?: number
}

export class Sketch {
  readonly catalog = new Catalog()
  readonly blobs = new Map<Digest, ListedBlob>()
  readonly #names = new Map<Digest, string>()

  constructor(readonly blobBytes = 1_000_000) {}

  get content(): StoreContent {
    return this
  }

  /** An image, or an index where it lists something. */
  manifest(name: string, { blobs = [], lists, subject, createdMs = 0 }: SketchedManifest, repository = 'a.io/x/y'): this {
    const { registry, repository: path } = parseReference(`${repository}:any`)
    this.#names.set(d(name), name)
    const isIndex = lists !== undefined
    const manifest: Manifest = {
      kind: isIndex ? 'index' : 'image',
      mediaType: isIndex ? OCI_INDEX : OCI_MANIFEST,
      blobs: blobs.map((blob) => this.#descriptor(blob)),
      manifests: (lists ?? []).map((listed) => this.#descriptor(listed)),
      ...(subject === undefined ? {} : { subject: d(subject) }),
    }
    const [bytes, imageUrl] = [Buffer.alloc(1000), `${repository}@${d(name)}`]
    this.catalog.addManifest(
      { digest: d(name), mediaType: manifest.mediaType, bytes, imageUrl, registry, repository: path, createdMs, pulledMs: createdMs },
      manifest,
    )
    for (const blob of blobs) this.blob(blob)
    return this
  }

  blob(name: string, writtenMs = 0): this {
    this.#names.set(d(name), name)
    this.blobs.set(d(name), { digest: d(name), sizeBytes: this.blobBytes, writtenMs, verified: true })
    return this
  }

  /** @param reference `a.io/x/y:1`, or `a.io/x/y@name` with the name of a manifest */
  ref(reference: string, name: string, pulledMs = 0, createdMs = pulledMs): this {
    this.catalog.setRef(
      { reference: reference.replace(`@${name}`, `@${d(name)}`), digest: d(name), createdMs, pulledMs, checkedMs: createdMs },
      0,
    )
    return this
  }

  nameOf(digest: Digest): string {
    return this.#names.get(digest) ?? digest
  }

  /** With names in place of digests. */
  spell(reference: string): string {
    return [...this.#names].reduce((text, [digest, name]) => text.replace(digest, name), reference)
  }

  #descriptor(name: string): Descriptor {
    return { mediaType: '', digest: d(name), sizeBytes: this.blobBytes, foreign: false }
  }
}
