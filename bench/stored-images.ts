/** A store of very many images, as our server would have left it after a year; written without its care for power failures. */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { digestFileName, digestOf, parseDigest } from '../src/oci/digest.ts'
import { parseRegistry, parseRepository, parseTag } from '../src/oci/name.ts'
import { formatReference } from '../src/oci/reference.ts'
import { encodeRecord, encodeRef, recordDirectory } from '../src/store/record.ts'
import { type Image, image } from '../test/e2e/support/image.ts'
import { plainLayer, registryName, type Wanted } from './content.ts'

const layerBytes = 512
/** Images that have their first three layers in common, as those of one base do; two layers and the config are an image's own. */
const imagesOfOneBase = 10
const tagsOfOneRepository = 10
const yearMs = 365 * 24 * 3600 * 1000

/**
 * One tag for each image.
 * @param nowMs when the newest came; the oldest came almost a year earlier
 * @returns a manifest from the middle, by its tag
 */
export function writeStoredImages(imagePath: string, count: number, nowMs: number): Wanted {
  for (const name of ['blobs', 'img', 'refs']) mkdirSync(join(imagePath, name), { recursive: true })
  const wanted = Array.from({ length: count }, (_, i) => {
    const repository = `bench/stored-${Math.floor(i / tagsOfOneRepository)}`
    return writeStoredImage(imagePath, storedImage(i), {
      repository,
      tag: `v${i % tagsOfOneRepository}`,
      ms: nowMs - (yearMs * (count - 1 - i)) / count,
    })
  })
  const middle = wanted[Math.floor(count / 2)]
  if (middle === undefined) throw new Error('a store of no images')
  return middle
}

function storedImage(i: number): Image {
  const base = Math.floor(i / imagesOfOneBase)
  return image(
    [`base ${base} 0`, `base ${base} 1`, `base ${base} 2`, `own ${i} 0`, `own ${i} 1`].map((seed) => plainLayer(seed, layerBytes)),
  )
}

function writeStoredImage(imagePath: string, { manifest, blobs }: Image, came: { repository: string; tag: string; ms: number }): Wanted {
  const { mediaType, bytes } = manifest
  const digest = parseDigest(manifest.digest)
  const registry = parseRegistry(registryName)
  const repository = parseRepository(came.repository)
  const reference = formatReference({ registry, repository, tag: parseTag(came.tag) })
  const times = { createdMs: came.ms, pulledMs: came.ms }
  for (const blob of blobs) {
    const path = join(imagePath, 'blobs', digestFileName(parseDigest(blob.digest)))
    if (!existsSync(path)) writeFileSync(path, blob.bytes, { mode: 0o444 }) // read-only: verified
  }
  const record = { digest, mediaType, bytes, imageUrl: reference, registry, repository, ...times }
  writeFileSync(join(imagePath, recordDirectory(mediaType), digestFileName(digest)), encodeRecord(record))
  const ref = { reference, digest, ...times, checkedMs: came.ms }
  writeFileSync(join(imagePath, 'refs', digestFileName(digestOf(Buffer.from(reference)))), encodeRef(ref))
  return { path: `/v2/${repository}/manifests/${came.tag}`, mediaType, digest, sizeBytes: bytes.length }
}
