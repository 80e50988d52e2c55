/** What is pulled: made anew in every run as plain files, with the addresses at which a registry has them. */
import { createCipheriv, createHash } from 'node:crypto'
import { mkdir, open, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { seededBytes } from '../test/e2e/support/bytes.ts'
import { type Content as Bytes, image, content as layerOf, oci } from '../test/e2e/support/image.ts'
import type { Sizes } from './sizes.ts'

/** The name under which clients know the upstream, as containerd says it: `?ns=`. Only ours reads it. */
export const registryName = 'registry.bench'

/** Something that can be asked for. */
export type Item = {
  /** `/v2/...` */
  readonly path: string
  readonly file: string
  readonly mediaType: string
  readonly digest: string
  readonly sizeBytes: number
}

export type Content = {
  readonly manifestByTag: Item
  readonly manifestByDigest: Item
  readonly smallBlob: Item
  readonly largeBlob: Item
  readonly joinedBlob: Item
  readonly all: readonly Item[]
}

/** Writes it into an empty directory. */
export async function makeContent(directory: string, sizes: Sizes): Promise<Content> {
  await mkdir(directory, { recursive: true })
  // five layers: a manifest of 1.2 KB, as most are
  const layers = Array.from({ length: 5 }, (_, i) => {
    const layer = layerOf(oci.layer, seededBytes(`layer ${i}`, sizes.smallBlobBytes))
    return { ...layer, diffId: layer.digest }
  })
  const { manifest, blobs } = image(layers)
  const small = '/v2/bench/small'
  const manifestByTag = await writeItem(directory, `${small}/manifests/1`, manifest)
  const manifestByDigest = { ...manifestByTag, path: `${small}/manifests/${manifest.digest}` }
  const smallBlobs: Item[] = []
  for (const blob of blobs) smallBlobs.push(await writeItem(directory, `${small}/blobs/${blob.digest}`, blob))
  const largeBlob = await writeBlob(directory, '/v2/bench/large', sizes.largeBlobBytes)
  const joinedBlob = await writeBlob(directory, '/v2/bench/joined', sizes.joinedBlobBytes)
  const smallBlob = smallBlobs.at(-1)
  if (smallBlob === undefined) throw new Error('the small image has no layer')
  const all = [manifestByTag, manifestByDigest, ...smallBlobs, largeBlob, joinedBlob]
  return { manifestByTag, manifestByDigest, smallBlob, largeBlob, joinedBlob, all }
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
export const urlOf = (serverUrl: string, { path }: Item) => `${serverUrl}${path}?ns=${registryName}`
