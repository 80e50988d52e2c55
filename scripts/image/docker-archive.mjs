/** An image in one file, in the form of `docker save`: containerd, Docker, podman, skopeo and k3s read it, and it keeps the health check, for which OCI has no word. */
import { createHash } from 'node:crypto'
import { gzipSync } from 'node:zlib'
import { tarOf } from './tar.mjs'

/** Named by what it holds uncompressed, as the image is: so its id does not depend on how well somebody compresses. */
const sha256 = /** @param {Buffer} bytes */ (bytes) => createHash('sha256').update(bytes).digest('hex')

/**
 * @param {string} name reference by which it is imported
 * @param {object} config without `rootfs`, which follows from the layers
 * @param {readonly Buffer[]} layers tar archives, the lowest first
 * @returns {{ archive: Buffer, imageId: string }}
 */
export function dockerArchive(name, config, layers) {
  const hashes = layers.map(sha256)
  const rootfs = { type: 'layers', diff_ids: hashes.map((hash) => `sha256:${hash}`) }
  const configBytes = json({ ...config, rootfs })
  const imageId = sha256(configBytes)
  const layerNames = hashes.map((hash) => `${hash}.tar.gz`)
  const manifest = [{ Config: `${imageId}.json`, RepoTags: [name], Layers: layerNames }]
  const files = [
    ['manifest.json', json(manifest)],
    [`${imageId}.json`, configBytes],
    ...layers.map((layer, i) => [layerNames[i], gzipSync(layer)]),
  ]
  const entries = files.map(([path, content]) => /** @type {import('./tar.mjs').Entry} */ ({ type: 'file', path, mode: 0o644, content }))
  return { archive: tarOf(entries), imageId: `sha256:${imageId}` }
}

const json = /** @param {unknown} value */ (value) => Buffer.from(JSON.stringify(value))
