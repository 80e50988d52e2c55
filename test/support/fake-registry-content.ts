/** What a fake registry holds: blobs, manifests per repository, tags. Several fake servers may share one (a registry and its CDN). */
import { type Digest, digestOf } from '../../src/oci/digest.ts'
import { OCI_INDEX, OCI_MANIFEST } from '../../src/oci/media-type.ts'
import { type ByteSource, bytesOf, digestOfSource, generatedBytes } from './fake-registry-bytes.ts'

export type StoredManifest = { readonly digest: Digest; readonly bytes: Buffer; readonly mediaType: string }
export type Json = { readonly [key: string]: unknown }

type StoredBlob = { readonly source: ByteSource; readonly repository: string | undefined }

export type ImageOptions = {
  /** Contents of the layers; digests name blobs that were added before. Default: one small layer. */
  readonly layers?: readonly (Buffer | Digest)[]
  readonly config?: Json
  /** Merged over the manifest: `subject`, `artifactType`, `annotations`… */
  readonly fields?: Json
  readonly mediaType?: string
  readonly layerMediaType?: string
}

export type AddedImage = { readonly digest: Digest; readonly config: Digest; readonly layers: readonly Digest[]; readonly bytes: Buffer }

export class FakeContent {
  readonly #blobs = new Map<string, StoredBlob>()
  readonly #manifests = new Map<string, StoredManifest>()
  readonly #tags = new Map<string, Map<string, Digest>>()

  /** @param repository the only one that serves it; default: every repository does */
  addBlob(content: Buffer | string, repository?: string): Digest {
    const bytes = Buffer.from(content)
    return this.#storeBlob(digestOf(bytes), bytesOf(bytes), repository)
  }

  /** A big blob that is made while it is sent. */
  addGeneratedBlob(seed: string, sizeBytes: number, repository?: string): Digest {
    const source = generatedBytes(seed, sizeBytes)
    return this.#storeBlob(digestOfSource(source), source, repository)
  }

  /** @param content is sent as it is; JSON is written without blanks */
  addManifest(repository: string, tag: string | undefined, content: Buffer | Json, mediaType: string = OCI_MANIFEST): Digest {
    const bytes = Buffer.isBuffer(content) ? content : Buffer.from(JSON.stringify(content))
    const digest = digestOf(bytes)
    this.#manifests.set(`${repository}@${digest}`, { digest, bytes, mediaType })
    if (tag !== undefined) this.tag(repository, tag, digest)
    return digest
  }

  addImage(repository: string, tag: string | undefined, options: ImageOptions = {}): AddedImage {
    const mediaType = options.mediaType ?? OCI_MANIFEST
    const config = this.addBlob(JSON.stringify(options.config ?? { architecture: 'amd64', os: 'linux', repository, tag }))
    const layers = (options.layers ?? [Buffer.from(`layer of ${repository}:${tag}`)]).map((layer) =>
      typeof layer === 'string' ? layer : this.addBlob(layer),
    )
    const manifest = {
      schemaVersion: 2,
      mediaType,
      config: this.#describe(config, 'application/vnd.oci.image.config.v1+json'),
      layers: layers.map((layer) => this.#describe(layer, options.layerMediaType ?? 'application/vnd.oci.image.layer.v1.tar+gzip')),
      ...options.fields,
    }
    const bytes = Buffer.from(JSON.stringify(manifest))
    return { digest: this.addManifest(repository, tag, bytes, mediaType), config, layers, bytes }
  }

  /** @param entries manifests of the same repository, with what is to stand beside each (`platform`, `annotations`…) */
  addIndex(
    repository: string,
    tag: string | undefined,
    entries: readonly (Json & { digest: Digest })[],
    mediaType: string = OCI_INDEX,
  ): Digest {
    const manifests = entries.map((entry) => {
      const stored = this.manifest(repository, entry.digest)
      return { mediaType: stored?.mediaType ?? OCI_MANIFEST, size: stored?.bytes.length ?? 1, ...entry }
    })
    return this.addManifest(repository, tag, { schemaVersion: 2, mediaType, manifests }, mediaType)
  }

  tag(repository: string, tag: string, digest: Digest): void {
    const tags = this.#tags.get(repository) ?? new Map<string, Digest>()
    this.#tags.set(repository, tags.set(tag, digest))
  }

  removeTag(repository: string, tag: string): void {
    this.#tags.get(repository)?.delete(tag)
  }

  removeManifest(repository: string, digest: Digest): void {
    this.#manifests.delete(`${repository}@${digest}`)
  }

  removeBlob(digest: Digest): void {
    this.#blobs.delete(digest)
  }

  /** @param reference tag or digest */
  manifest(repository: string, reference: string): StoredManifest | undefined {
    return this.#manifests.get(`${repository}@${this.#tags.get(repository)?.get(reference) ?? reference}`)
  }

  blob(repository: string | undefined, digest: string): ByteSource | undefined {
    const blob = this.#blobs.get(digest)
    return blob?.repository === undefined || repository === undefined || blob.repository === repository ? blob?.source : undefined
  }

  /** Sorted, as the distribution-spec wants them; undefined for an unknown repository. */
  tags(repository: string): string[] | undefined {
    const tags = this.#tags.get(repository)
    return tags === undefined ? undefined : [...tags.keys()].sort()
  }

  /** Descriptors of the manifests whose `subject` is `digest`. */
  referrers(repository: string, digest: string): Json[] {
    return [...this.#manifests].flatMap(([key, stored]) => {
      const json = key.startsWith(`${repository}@`) ? parse(stored.bytes) : undefined
      if ((json?.subject as Json | undefined)?.digest !== digest) return []
      const { artifactType, annotations } = json as Json
      return [{ mediaType: stored.mediaType, digest: stored.digest, size: stored.bytes.length, artifactType, annotations }]
    })
  }

  #storeBlob(digest: Digest, source: ByteSource, repository: string | undefined): Digest {
    this.#blobs.set(digest, { source, repository })
    return digest
  }

  #describe(digest: Digest, mediaType: string): Json {
    return { mediaType, digest, size: this.#blobs.get(digest)?.source.sizeBytes ?? 1 }
  }
}

function parse(bytes: Buffer): Json | undefined {
  try {
    return JSON.parse(bytes.toString())
  } catch {
    return undefined
  }
}
