/** A store of very many images, as our server would have left it after a year; written without its care for power failures. */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { digestFileName, parseDigest } from '../src/oci/digest.ts'
import { parseRegistry, parseRepository } from '../src/oci/name.ts'
import { formatReference, makeReference } from '../src/oci/reference.ts'
import { encodeRecord, encodeRef, recordDirectory, referenceFileName } from '../src/store/record.ts'
import { amd64, arm64, type Content, type Image, image, index, type Platform } from '../test/e2e/support/image.ts'
import { plainLayer, registryName, type Wanted } from './content.ts'

/** Of a store's images. */
export type Shape = {
  /** Layers that ten images have in common, as those of one base do. */
  readonly sharedLayers: number
  /** Layers of an image alone, besides its config. */
  readonly ownLayers: number
  /** Whether each tag is an index, of two platforms, of which one was pulled by its digest. */
  readonly indexed: boolean
}

export const fiveLayers: Shape = { sharedLayers: 3, ownLayers: 2, indexed: false }
const layerBytes = 512
const imagesOfOneBase = 10
const tagsOfOneRepository = 10
const yearMs = 365 * 24 * 3600 * 1000

/**
 * One tag for each image.
 * @param nowMs when the newest came; the oldest came almost a year earlier
 * @returns a manifest from the middle, by its tag
 */
export function writeStoredImages(imagePath: string, count: number, nowMs: number, shape = fiveLayers): Wanted {
  for (const name of ['blobs', 'img', 'fat', 'refs']) mkdirSync(join(imagePath, name), { recursive: true })
  const wanted = Array.from({ length: count }, (_, i) => {
    const { repository, tag } = nameOfStored(i)
    const came = { repository, target: tag, ms: nowMs - (yearMs * (count - 1 - i)) / count }
    const one = storedImage(i, shape, amd64)
    for (const blob of one.blobs) writeStoredBlob(imagePath, blob)
    if (!shape.indexed) return writeStoredManifest(imagePath, one.manifest, came)
    writeStoredManifest(imagePath, one.manifest, { ...came, target: one.manifest.digest })
    return writeStoredManifest(imagePath, index([one, storedImage(i, shape, arm64)]).manifest, came)
  })
  const middle = wanted[Math.floor(count / 2)]
  if (middle === undefined) throw new Error('a store of no images')
  return middle
}

/** What a client asks for that pulls one of these images by its tag, in this order. */
export function pullOfStored(i: number, shape = fiveLayers): Wanted[] {
  const { repository, tag } = nameOfStored(i)
  const { manifest, blobs } = storedImage(i, shape, amd64)
  const wanted = ({ mediaType, digest, bytes }: Content, path: string) => ({ path, mediaType, digest, sizeBytes: bytes.length })
  const paths = blobs.map((blob) => wanted(blob, `/v2/${repository}/blobs/${blob.digest}`))
  return [wanted(manifest, `/v2/${repository}/manifests/${tag}`), ...paths]
}

const nameOfStored = (i: number) => ({
  repository: `bench/stored-${Math.floor(i / tagsOfOneRepository)}`,
  tag: `v${i % tagsOfOneRepository}`,
})

function storedImage(i: number, { sharedLayers, ownLayers }: Shape, platform: Platform): Image {
  const shared = Array.from({ length: sharedLayers }, (_, layer) => `base ${Math.floor(i / imagesOfOneBase)} ${layer}`)
  const own = Array.from({ length: ownLayers }, (_, layer) => `own ${i} ${layer}`)
  return image(
    [...shared, ...own].map((seed) => plainLayer(seed, layerBytes)),
    { platform },
  )
}

function writeStoredBlob(imagePath: string, { digest, bytes }: Content): void {
  const path = join(imagePath, 'blobs', digestFileName(parseDigest(digest)))
  if (!existsSync(path)) writeFileSync(path, bytes, { mode: 0o444 }) // read-only: verified
}

/** @param came `target`: the tag or digest by which it was pulled */
function writeStoredManifest(
  imagePath: string,
  { mediaType, bytes, digest: found }: Content,
  { repository: path, target, ms }: { repository: string; target: string; ms: number },
): Wanted {
  const digest = parseDigest(found)
  const registry = parseRegistry(registryName)
  const repository = parseRepository(path)
  const reference = formatReference(makeReference(registry, repository, target))
  const times = { createdMs: ms, pulledMs: ms }
  const record = { digest, mediaType, bytes, imageUrl: reference, registry, repository, ...times }
  writeFileSync(join(imagePath, recordDirectory(mediaType), digestFileName(digest)), encodeRecord(record))
  const ref = { reference, digest, ...times, checkedMs: ms }
  writeFileSync(join(imagePath, 'refs', referenceFileName(reference)), encodeRef(ref))
  return { path: `/v2/${repository}/manifests/${target}`, mediaType, digest, sizeBytes: bytes.length }
}
