/** Images of random layers, in the media types of OCI and of Docker: content only, nothing is sent from here. */
import { seededBytes, sha256 } from './bytes.ts'
import { gzipStored } from './compress.ts'
import { tarOf } from './tar.ts'

export type Platform = { readonly architecture: string; readonly os: string }
/** A blob or a manifest: exact bytes and what they are called. */
export type Content = { readonly mediaType: string; readonly digest: string; readonly bytes: Buffer }
export type Image = { readonly manifest: Content; readonly blobs: readonly Content[]; readonly platform: Platform }
export type Index = { readonly manifest: Content; readonly images: readonly Image[] }
export type Layer = Content & { /** Digest of the layer before compression. */ readonly diffId: string }

type Dialect = { readonly index: string; readonly manifest: string; readonly config: string; readonly layer: string }

export const oci: Dialect = {
  index: 'application/vnd.oci.image.index.v1+json',
  manifest: 'application/vnd.oci.image.manifest.v1+json',
  config: 'application/vnd.oci.image.config.v1+json',
  layer: 'application/vnd.oci.image.layer.v1.tar+gzip',
}

export const docker: Dialect = {
  index: 'application/vnd.docker.distribution.manifest.list.v2+json',
  manifest: 'application/vnd.docker.distribution.manifest.v2+json',
  config: 'application/vnd.docker.container.image.v1+json',
  layer: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
}

export const amd64: Platform = { architecture: 'amd64', os: 'linux' }
export const arm64: Platform = { architecture: 'arm64', os: 'linux' }

export function content(mediaType: string, bytes: Buffer): Content {
  return { mediaType, digest: sha256(bytes), bytes }
}

/** A layer with one file of random bytes; `seed` names them. */
export function randomLayer(seed: string, fileBytes: number, mediaType: string, compress: (tar: Buffer) => Buffer = gzipStored): Layer {
  const tar = tarOf('data/random', seededBytes(seed, fileBytes))
  return { ...content(mediaType, compress(tar)), diffId: sha256(tar) }
}

export type ImageOptions = {
  readonly dialect?: Dialect
  readonly platform?: Platform
  readonly annotations?: Record<string, string>
  /** Layers that no registry has: their descriptors carry these addresses (same order as `foreign`). */
  readonly foreign?: readonly { readonly layer: Layer; readonly urls: readonly string[] }[]
}

export function image(layers: readonly Layer[], { dialect = oci, platform = amd64, annotations, foreign = [] }: ImageOptions = {}): Image {
  const all = [...foreign.map(({ layer }) => layer), ...layers]
  const config = content(
    dialect.config,
    json({
      ...platform,
      config: {},
      rootfs: { type: 'layers', diff_ids: all.map(({ diffId }) => diffId) },
      created: '2026-01-01T00:00:00Z',
    }),
  )
  const manifest = {
    schemaVersion: 2,
    mediaType: dialect.manifest,
    config: descriptor(config),
    layers: [...foreign.map(({ layer, urls }) => ({ ...descriptor(layer), urls })), ...layers.map(descriptor)],
    ...(annotations && { annotations }),
  }
  return { manifest: content(dialect.manifest, json(manifest)), blobs: [config, ...layers], platform }
}

/** What is no image: an OCI artifact with the empty config `{}` and the given blobs. */
export function artifact(artifactType: string, blobs: readonly Content[]): Image {
  const config = content('application/vnd.oci.empty.v1+json', Buffer.from('{}'))
  const manifest = { schemaVersion: 2, mediaType: oci.manifest, artifactType, config: descriptor(config), layers: blobs.map(descriptor) }
  return { manifest: content(oci.manifest, json(manifest)), blobs: [config, ...blobs], platform: amd64 }
}

export function index(images: readonly Image[], dialect: Dialect = oci): Index {
  const manifests = images.map(({ manifest, platform }) => ({ ...descriptor(manifest), platform }))
  return { manifest: content(dialect.index, json({ schemaVersion: 2, mediaType: dialect.index, manifests })), images }
}

const descriptor = ({ mediaType, digest, bytes }: Content) => ({ mediaType, size: bytes.length, digest })
const json = (value: unknown) => Buffer.from(JSON.stringify(value))
