/** Bytes that do not compress, the same for the same seed. */
import { generatedBytes } from '../support/fake-registry-bytes.ts'

export function randomBytes(seed: string, sizeBytes: number): Buffer {
  return Buffer.concat([...generatedBytes(seed, sizeBytes).read(0, sizeBytes)])
}
