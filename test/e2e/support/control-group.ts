/** Control groups: a limit for the memory of a process and of the pages that it has read and written, as a container runtime sets it. Of version 2 or 1, whichever this machine has. */
import { existsSync } from 'node:fs'
import { mkdir, readdir, readFile, rmdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Cleanup, onEnd } from './cleanup.ts'
import { until } from './poll.ts'
import { run } from './processes.ts'

const mountPoint = '/sys/fs/cgroup'

type Version = {
  /** Below it groups are made that can limit memory. */
  readonly parent: string
  /** Nothing may go to swap instead. */
  readonly limit: (bytes: number) => readonly (readonly [file: string, text: string])[]
  /** The file with a line `oom_kill <number>`. */
  readonly kills: string
  readonly peak: string
}

const two: Version = {
  parent: mountPoint,
  limit: (bytes) => [
    ['memory.max', `${bytes}`],
    ['memory.swap.max', '0'],
  ],
  kills: 'memory.events',
  peak: 'memory.peak',
}

const one: Version = {
  parent: join(mountPoint, 'memory'),
  limit: (bytes) => [
    ['memory.limit_in_bytes', `${bytes}`],
    ['memory.swappiness', '0'],
  ],
  kills: 'memory.oom_control',
  peak: 'memory.max_usage_in_bytes',
}

export type MemoryGroup = {
  /** A command line that joins the group and becomes `command`. */
  within(command: string, args: readonly string[]): readonly [command: string, args: readonly string[]]
  /** How often the kernel has killed for want of memory. */
  kills(): Promise<number>
  /** The most that counted against the limit, pages of files included; undefined where the kernel does not say. */
  peakBytes(): Promise<number | undefined>
}

/** Removed when the test ends. Text: why this machine refuses it. */
export async function memoryGroup(t: Cleanup, limitBytes: number): Promise<MemoryGroup | string> {
  const version = existsSync(join(mountPoint, 'cgroup.controllers')) ? two : one
  const path = join(version.parent, `oci-test-${process.pid}`)
  try {
    await mkdir(path)
    onEnd(t, () => rmdir(path))
    if (version === two) await writeFile(join(mountPoint, 'cgroup.subtree_control'), '+memory')
    for (const [file, text] of version.limit(limitBytes)) await writeFile(join(path, file), text)
  } catch (error) {
    return `privilege: no control group with a limit of memory can be made: ${(error as Error).message}`
  }
  const joinAndRun = 'echo $$ > "$0/cgroup.procs" && exec "$@"'
  const refused = await run('sh', ['-c', joinAndRun, path, 'true'])
  if (refused.code !== 0) return `privilege: no process may join a control group: ${refused.stderr.trim()}`
  return {
    within: (command, args) => ['sh', ['-c', joinAndRun, path, command, ...args]],
    kills: async () => Number(/^oom_kill (\d+)/m.exec(await readFile(join(path, version.kills), 'utf8'))?.[1]),
    async peakBytes() {
      const text = await readFile(join(path, version.peak), 'utf8').catch(() => undefined)
      return text === undefined ? undefined : Number(text)
    },
  }
}

/** The groups of one name below every controller, and those in them: what a container runtime was told to use, and leaves. */
export async function removeControlGroups(name: string): Promise<void> {
  const parents = [mountPoint, ...(await readdir(mountPoint)).map((controller) => join(mountPoint, controller))]
  const groups = parents.map((parent) => join(parent, name)).filter((group) => existsSync(group))
  // its last process may be just ending
  for (const group of groups) await until(`${group} is empty`, () => removeGroup(group))
}

async function removeGroup(path: string): Promise<boolean> {
  const below = (await readdir(path, { withFileTypes: true })).filter((entry) => entry.isDirectory())
  for (const { name } of below) await removeGroup(join(path, name))
  return rmdir(path).then(
    () => true,
    () => !existsSync(path),
  )
}
