/** The directory that the end-to-end tests of one run share. `npm test` makes it and removes it; a test file run by hand has its own. */
import { mkdtempSync, rmSync } from 'node:fs'
import { chmod, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Cleanup, onEnd } from './cleanup.ts'

let own: string | undefined

export function runDirectory(): string {
  const given = process.env.OCIREGISTRY_E2E_DIRECTORY
  if (given !== undefined) return given
  if (own === undefined) {
    const made = mkdtempSync(join(tmpdir(), 'oci-'))
    process.once('exit', () => rmSync(made, { recursive: true, force: true }))
    own = made
  }
  return own
}

/** A directory of this test's own, with a short path (sockets lie in it), which other users may enter. */
export async function testDirectory(t: Cleanup): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'oci-'))
  await chmod(path, 0o755)
  onEnd(t, () => removeTree(path))
  return path
}

/** Removes a directory with everything in it. Without privileges that takes the right to write, which unpacked layers may not give. */
export async function removeTree(path: string): Promise<void> {
  if (process.getuid?.() !== 0) {
    const below = (await readdir(path, { recursive: true, withFileTypes: true })).filter((entry) => entry.isDirectory())
    for (const { parentPath, name } of below) await chmod(join(parentPath, name), 0o700)
  }
  await rm(path, { recursive: true, force: true, maxRetries: 5 })
}
