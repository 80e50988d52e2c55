/** Digests: the only names that content has. A `Digest` exists only after `parseDigest` or `digestOf` made it. */
import { createHash } from 'node:crypto'
import { OciError } from './error.ts'

export type Digest = string & { readonly brand: 'Digest' }
export type DigestAlgorithm = 'sha256' | 'sha512'

const DIGEST = /^(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/
const FILE_NAME = /^(?:[0-9a-f]{64}|sha512-[0-9a-f]{128})$/

export function isDigest(text: string): text is Digest {
  return DIGEST.test(text)
}

/** @throws OciError 400 DIGEST_INVALID for anything but lower-case sha256 and sha512 */
export function parseDigest(text: string): Digest {
  if (isDigest(text)) return text
  throw new OciError(
    400,
    'DIGEST_INVALID',
    `'${text.slice(0, 150)}' is not a digest: want sha256:<64 hex> or sha512:<128 hex>, in lower case`,
  )
}

export function digestAlgorithm(digest: Digest): DigestAlgorithm {
  return digest.startsWith('sha512:') ? 'sha512' : 'sha256'
}

export function digestHex(digest: Digest): string {
  return digest.slice(7)
}

export function digestOf(bytes: Uint8Array, algorithm: DigestAlgorithm = 'sha256'): Digest {
  return digestFromHash(algorithm, createHash(algorithm).update(bytes).digest('hex'))
}

/** Whether bytes are what their name says. */
export function isDigestOf(digest: Digest, bytes: Uint8Array): boolean {
  return digestOf(bytes, digestAlgorithm(digest)) === digest
}

/** @param hex what a finished hash of that algorithm printed */
export function digestFromHash(algorithm: DigestAlgorithm, hex: string): Digest {
  return `${algorithm}:${hex}` as Digest
}

/** The name of the content on disk: bare hex for sha256 (as older stores have it), `sha512-<hex>` otherwise. */
export function digestFileName(digest: Digest): string {
  return digestAlgorithm(digest) === 'sha256' ? digestHex(digest) : `sha512-${digestHex(digest)}`
}

/** The digest a file name stands for; undefined for a foreign file. */
export function digestOfFileName(name: string): Digest | undefined {
  if (!FILE_NAME.test(name)) return undefined
  return (name.startsWith('sha512-') ? `sha512:${name.slice(7)}` : `sha256:${name}`) as Digest
}

/** `sha256:1234567890…`: enough to recognise a digest in a log line. */
export function shortDigest(digest: Digest): string {
  return digest.slice(0, 17)
}
