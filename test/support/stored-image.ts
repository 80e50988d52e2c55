/** Images that lie in a store, whole: what a test takes something away from, or damages. */
import { chmod, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Digest, digestFileName } from '../../src/oci/digest.ts'
import { OCI_INDEX, OCI_MANIFEST } from '../../src/oci/media-type.ts'
import { formatReference, parseReference } from '../../src/oci/reference.ts'
import type { DirectoryStore } from '../../src/store/directory-store.ts'
import { referenceFileName } from '../../src/store/record.ts'
import { type AddedImage, FakeContent, type ImageOptions } from './fake-registry-content.ts'

const TIMES = { createdMs: 0, pulledMs: 0 }

export type StoredImage = AddedImage & { readonly reference: string }

/** @param upstream a registry that has it, too: to fetch it from again */
export async function storeImage(store: DirectoryStore, reference: string, options: ImageOptions = {}, upstream = new FakeContent()) {
  const { repository, tag } = parseReference(reference)
  const image = upstream.addImage(repository, tag, options)
  for (const digest of [image.config, ...image.layers]) await store.putBlob(digest, await contentOf(upstream, repository, digest))
  await storeManifest(store, reference, OCI_MANIFEST, image.bytes, image.digest)
  return { ...image, reference }
}

/** An index of images, pulled by its tag; images of the same repository, pulled by their digests. */
export async function storeIndex(
  store: DirectoryStore,
  reference: string,
  images: readonly AddedImage[],
  upstream: FakeContent,
): Promise<Digest> {
  const { repository, tag } = parseReference(reference)
  const digest = upstream.addIndex(
    repository,
    tag,
    images.map((image) => ({ digest: image.digest })),
  )
  await storeManifest(store, reference, OCI_INDEX, upstream.manifest(repository, digest)?.bytes ?? Buffer.alloc(0), digest)
  return digest
}

async function storeManifest(store: DirectoryStore, reference: string, mediaType: string, bytes: Buffer, digest: Digest): Promise<void> {
  const { registry, repository } = parseReference(reference)
  await store.putRecord({ digest, mediaType, bytes, imageUrl: formatReference(parseReference(reference)), registry, repository, ...TIMES })
  await store.putRef({ reference, digest, ...TIMES, checkedMs: 0 })
}

async function contentOf(upstream: FakeContent, repository: string, digest: Digest): Promise<Buffer> {
  const source = upstream.blob(repository, digest)
  if (source === undefined) throw new Error(`${digest} is not in ${repository}`)
  return Buffer.concat([...source.read(0, source.sizeBytes)])
}

export function blobFile(path: string, digest: Digest): string {
  return join(path, 'blobs', digestFileName(digest))
}

export function recordFile(path: string, digest: Digest, directory = 'img'): string {
  return join(path, directory, digestFileName(digest))
}

export function referenceFile(path: string, reference: string): string {
  return join(path, 'refs', referenceFileName(reference))
}

/** As a disk or a memory does it: the file keeps its length and its mode. */
export async function flipBit(file: string, at = 0): Promise<void> {
  const bytes = await readFile(file)
  bytes[at] = (bytes[at] ?? 0) ^ 1
  await chmod(file, 0o644)
  await writeFile(file, bytes)
  await chmod(file, 0o444)
}

/** So that a record stays JSON, and only its bytes are wrong. */
export async function flipBitOfManifest(file: string): Promise<void> {
  const record = JSON.parse(await readFile(file, 'utf8'))
  const bytes = Buffer.from(record.bytes, 'base64')
  bytes[bytes.length - 3] = (bytes[bytes.length - 3] ?? 0) ^ 1
  await writeFile(file, JSON.stringify({ ...record, bytes: bytes.toString('base64') }))
}

export async function remove(...files: readonly string[]): Promise<void> {
  for (const file of files) await rm(file)
}
