/** The built-in image `hello-world`: one index, an image for each architecture, each a config and one layer. Made of code, the same bytes every time. */
import { type Digest, digestOf } from '../oci/digest.ts'
import type { Platform } from '../oci/manifest.ts'
import { OCI_INDEX, OCI_MANIFEST } from '../oci/media-type.ts'
import { elfThatPrints, type Machine } from './elf.ts'
import { amd64, arm64 } from './machines.ts'
import { tarOfProgram } from './tar.ts'

/** Bytes with their names, as they are stored. */
export type Content = { readonly digest: Digest; readonly mediaType: string; readonly bytes: Buffer }

export type BuiltInImage = {
  readonly index: Content
  /** Of the index, one for each platform. */
  readonly manifests: readonly Content[]
  /** Configs and layers. */
  readonly blobs: readonly Content[]
}

/** ASCII, and less than 64 KiB: the program prints it in one piece. */
export const GREETING = `
Hello from ociregistry!

This image is built into the registry that you pulled it from. Started with
--hello-world, it serves this image and nothing else, and asks nobody for more.

To see it at work, start it without that option, and pull an image through it:

  docker pull 127.0.0.1:8080/docker.io/library/alpine:3
  podman pull --tls-verify=false 127.0.0.1:8080/quay.io/podman/hello

Then disconnect the network, and pull it again: it is still there.

`

const PROGRAM = 'hello'
const MACHINES: readonly (readonly [Platform, Machine])[] = [
  [{ architecture: 'amd64', os: 'linux' }, amd64],
  [{ architecture: 'arm64', os: 'linux' }, arm64],
]
const OCI_CONFIG = 'application/vnd.oci.image.config.v1+json'
const OCI_LAYER = 'application/vnd.oci.image.layer.v1.tar'
const CREATED = '1970-01-01T00:00:00Z'

export function builtInImage(): BuiltInImage {
  const images = MACHINES.map(([platform, machine]) => ({ platform, ...imageFor(platform, machine) }))
  const manifests = images.map(({ platform, manifest }) => ({ ...descriptor(manifest), platform }))
  return {
    index: json(OCI_INDEX, { schemaVersion: 2, mediaType: OCI_INDEX, manifests }),
    manifests: images.map(({ manifest }) => manifest),
    blobs: images.flatMap(({ config, layer }) => [config, layer]),
  }
}

function imageFor(platform: Platform, machine: Machine): Readonly<Record<'manifest' | 'config' | 'layer', Content>> {
  const layer = content(OCI_LAYER, tarOfProgram(PROGRAM, elfThatPrints(GREETING, machine)))
  const config = json(OCI_CONFIG, {
    created: CREATED,
    ...platform,
    config: { Cmd: [`/${PROGRAM}`] },
    rootfs: { type: 'layers', diff_ids: [layer.digest] }, // of the archive before compression, and it is not compressed
    history: [{ created: CREATED, created_by: 'ociregistry' }],
  })
  const manifest = json(OCI_MANIFEST, {
    schemaVersion: 2,
    mediaType: OCI_MANIFEST,
    config: descriptor(config),
    layers: [descriptor(layer)],
  })
  return { manifest, config, layer }
}

function json(mediaType: string, value: object): Content {
  return content(mediaType, Buffer.from(JSON.stringify(value)))
}

function content(mediaType: string, bytes: Buffer): Content {
  return { digest: digestOf(bytes), mediaType, bytes }
}

function descriptor({ mediaType, digest, bytes }: Content): { mediaType: string; digest: Digest; size: number } {
  return { mediaType, digest, size: bytes.length }
}
