/** What a file's mode means, to a user who is not root: tests may run as root, or not. */
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const NOBODY = 65534

export const isRoot = process.geteuid?.() === 0

/** Runs `work` without the privileges of root. `access(2)` asks for the real user, whom this leaves as it is. */
export async function unprivileged(work: () => Promise<void>): Promise<void> {
  if (isRoot) process.seteuid?.(NOBODY)
  try {
    await work()
  } finally {
    if (isRoot) process.seteuid?.(0)
  }
}

/** What opening the store says in a process of a user without privileges: the message of its error, or `ok`. */
export function openUnprivileged(path: string): string {
  const script = fileURLToPath(new URL('open-store.ts', import.meta.url))
  const { stdout, stderr } = spawnSync(process.execPath, ['--import', 'tsx', script, path], {
    encoding: 'utf8',
    ...(isRoot ? { uid: NOBODY, gid: NOBODY } : {}),
  })
  return stdout === '' ? stderr : stdout
}
