/** What is pulled: made anew in every run as plain files, with the addresses at which a registry has them. */
import { createCipheriv, createHash } from 'node:crypto'
import { mkdir, open, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { seededBytes } from '../test/e2e/support/bytes.ts'
import { type Content as Bytes, image, type Layer, content as layerOf, oci } from '../test/e2e/support/image.ts'
import type { Sizes } from './sizes.ts'

/** The name under which clients know the upstream, as containerd says it: `?ns=`. Only ours reads it. */
export const registryName = 'registry.bench'

/** Something that can be asked for. */
export type Wanted = {
  /** `/v2/...` */
  readonly path: string
  readonly mediaType: string
  readonly digest: string
  readonly sizeBytes: number
}

/** Something that an upstream has. */
export type Item = Wanted & { readonly file: string }

export type Content = {
  readonly manifestByTag: Item
  readonly manifestByDigest: Item
  readonly smallBlob: Item
  readonly largeBlob: Item
  /** In nobody's cache until a measure asks for it. */
  readonly mediumBlob: Item
  readonly all: readonly Item[]
  /** Many small images, which are not among `all`: of each what a client asks for, in this order. */
  readonly images: readonly (readonly Item[])[]
}

/** Writes it into an empty directory. */
export async function makeContent(directory: string, sizes: Sizes): Promise<Content> {
  await mkdir(directory, { recursive: true })
  const [manifestByTag, ...smallBlobs] = await writeImage(directory, 'bench/small', sizes.smallBlobBytes)
  const manifestByDigest = { ...manifestByTag, path: `/v2/bench/small/manifests/${manifestByTag.digest}` }
  const largeBlob = await writeBlob(directory, '/v2/bench/large', sizes.largeBlobBytes)
  const mediumBlob = await writeBlob(directory, '/v2/bench/medium', sizes.mediumBlobBytes)
  const smallBlob = smallBlobs.at(-1)
  if (smallBlob === undefined) throw new Error('the small image has no layer')
  const all = [manifestByTag, manifestByDigest, ...smallBlobs, largeBlob, mediumBlob]
  const images: Item[][] = []
  for (let i = 0; i < sizes.images; i++) images.push(await writeImage(directory, `bench/image-${i}`, sizes.imageLayerBytes))
  return { manifestByTag, manifestByDigest, smallBlob, largeBlob, mediumBlob, all, images }
}

/** A layer of random bytes, uncompressed; `seed` names them. */
export function plainLayer(seed: string, sizeBytes: number): Layer {
  const layer = layerOf(oci.layer, seededBytes(seed, sizeBytes))
  return { ...layer, diffId: layer.digest }
}

/** The manifest by its tag, then config and five layers: a manifest of 1.2 KB, as most are. */
async function writeImage(directory: string, repository: string, layerBytes: number): Promise<[Item, ...Item[]]> {
  const { manifest, blobs } = image(Array.from({ length: 5 }, (_, i) => plainLayer(`${repository} ${i}`, layerBytes)))
  const manifestByTag = await writeItem(directory, `/v2/${repository}/manifests/1`, manifest)
  const items: Item[] = []
  for (const blob of blobs) items.push(await writeItem(directory, `/v2/${repository}/blobs/${blob.digest}`, blob))
  return [manifestByTag, ...items]
}

async function writeItem(directory: string, path: string, { mediaType, digest, bytes }: Bytes): Promise<Item> {
  const file = join(directory, digest)
  await writeFile(file, bytes)
  return { path, file, mediaType, digest, sizeBytes: bytes.length }
}

/** A blob too large to hold: random bytes, piece by piece. */
async function writeBlob(directory: string, repositoryPath: string, sizeBytes: number): Promise<Item> {
  const file = join(directory, repositoryPath.replaceAll('/', '-'))
  const random = createCipheriv('aes-128-ctr', createHash('sha256').update(repositoryPath).digest().subarray(0, 16), Buffer.alloc(16))
  const hash = createHash('sha256')
  const piece = Buffer.alloc(Math.min(sizeBytes, 2 ** 22))
  const handle = await open(file, 'wx')
  try {
    for (let written = 0; written < sizeBytes; written += piece.length) {
      const bytes = random.update(piece.subarray(0, sizeBytes - written))
      hash.update(bytes)
      await handle.writeFile(bytes)
    }
  } finally {
    await handle.close()
  }
  const digest = `sha256:${hash.digest('hex')}`
  return { path: `${repositoryPath}/blobs/${digest}`, file, mediaType: 'application/octet-stream', digest, sizeBytes }
}

/** The address of something at a server. */
export const urlOf = (serverUrl: string, { path }: Wanted) => `${serverUrl}${path}?ns=${registryName}`
