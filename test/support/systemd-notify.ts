/** A `systemd-notify` for tests. */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { temporaryDirectory } from './files.ts'

export const WRITE_DOWN = 'echo "$NOTIFY_SOCKET" "$@" >> "$TOLD"'

/**
 * Writes down what it is told, and to which socket, one line each time.
 * @param env is given what a service manager gives, and a `PATH` that leads here
 * @returns what was told by now
 */
export async function fakeNotify(t: TestContext, env: Record<string, string>, script = WRITE_DOWN): Promise<() => Promise<string[]>> {
  const directory = await temporaryDirectory(t)
  const told = join(directory, 'told')
  await writeFile(join(directory, 'systemd-notify'), `#!/bin/sh\n${script}\n`, { mode: 0o755 })
  Object.assign(env, { PATH: directory, NOTIFY_SOCKET: '/run/notify', TOLD: told })
  return async () => (await readFile(told, 'utf8').catch(() => '')).split('\n').filter((line) => line !== '')
}
