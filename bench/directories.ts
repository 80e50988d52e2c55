/** Directories that go with whatever needed them. */
import { mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { onEnd } from '../test/e2e/support/cleanup.ts'
import type { Scope } from './steps.ts'

/** A new directory in `parent`; removed with all that lies in it when the scope ends. */
export async function ownDirectory(scope: Scope, parent: string, name: string): Promise<string> {
  const directory = await mkdtemp(join(parent, `${name}-`))
  onEnd(scope, () => removeDirectory(directory))
  return directory
}

/** Earlier than that. */
export const removeDirectory = (path: string) => rm(path, { recursive: true, force: true, maxRetries: 5 })
