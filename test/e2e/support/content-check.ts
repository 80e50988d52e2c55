/** What a client has at the end of a pull, counted by hashing it again. */

import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'

export async function fileDigest(path: string): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(path, { highWaterMark: 1 << 20 }), hash)
  return `sha256:${hash.digest('hex')}`
}

/** Digests of the files in a directory, by their bytes, sorted; files that `ignore` matches do not count. */
export async function contentOf(directory: string, ignore?: RegExp): Promise<string[]> {
  const names = (await readdir(directory)).filter((name) => !ignore?.test(name))
  const digests = await Promise.all(names.map((name) => fileDigest(join(directory, name))))
  return [...new Set(digests)].sort()
}
