/** Directories that vanish with their test. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'

export async function temporaryDirectory(t: Pick<TestContext, 'after'>): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'ociregistry-test-'))
  t.after(() => rm(path, { recursive: true, force: true, maxRetries: 10 })) // what the test started may be writing there still
  return path
}
