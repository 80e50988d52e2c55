/** Bytes to serve: held in memory, or generated while they are sent (deterministic, seekable, never held). */
import { createCipheriv, createHash } from 'node:crypto'
import type { Digest } from '../../src/oci/digest.ts'
import { digestFromHash } from '../../src/oci/digest.ts'

const CHUNK_BYTES = 256 * 1024

export type ByteSource = {
  readonly sizeBytes: number
  /** The bytes from `start` up to, not including, `end`, in chunks of at most 256 KiB. */
  read(start: number, end: number): Iterable<Buffer>
}

export function bytesOf(content: Buffer): ByteSource {
  return {
    sizeBytes: content.length,
    *read(start, end) {
      for (let at = start; at < end; at += CHUNK_BYTES) yield content.subarray(at, Math.min(at + CHUNK_BYTES, end))
    },
  }
}

/** The key stream of AES in counter mode: random enough not to compress, the same for the same seed, and any offset is reached at once. */
export function generatedBytes(seed: string, sizeBytes: number): ByteSource {
  return {
    sizeBytes,
    *read(start, end) {
      const stream = keyStream(seed, start)
      for (let at = start; at < end; at += CHUNK_BYTES) yield stream(Math.min(CHUNK_BYTES, end - at))
    },
  }
}

export function digestOfSource(source: ByteSource): Digest {
  const hash = createHash('sha256')
  for (const chunk of source.read(0, source.sizeBytes)) hash.update(chunk)
  return digestFromHash('sha256', hash.digest('hex'))
}

function keyStream(seed: string, start: number): (length: number) => Buffer {
  const key = createHash('sha256').update(seed).digest().subarray(0, 16)
  const counter = Buffer.alloc(16)
  counter.writeBigUInt64BE(BigInt(Math.floor(start / 16)), 8)
  const cipher = createCipheriv('aes-128-ctr', key, counter)
  cipher.update(Buffer.alloc(start % 16))
  return (length) => cipher.update(Buffer.alloc(length))
}
