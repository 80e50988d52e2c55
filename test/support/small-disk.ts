/** A real file system of a few megabytes, which a test fills up and makes read-only. Where mounting is not permitted the tests on it are skipped. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { mkdtemp, open, rm, statfs } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'

/** For `test(name, { skip: cannotMount() }, ...)`: false where it can be done. */
export function cannotMount(): string | false {
  if (process.platform !== 'linux') return 'privilege: small disks are mounted on Linux only'
  const path = mkdtempSync(join(tmpdir(), 'ociregistry-disk-'))
  try {
    const failure = mount(['-t', 'tmpfs', '-o', 'size=1m', 'none', path])
    if (failure !== undefined) return `privilege: mounting a tmpfs is not permitted here (${failure})`
    unmount(path)
    return false
  } finally {
    rmSync(path, { recursive: true, force: true })
  }
}

export class SmallDisk {
  private constructor(readonly path: string) {}

  static async mounted(t: Pick<TestContext, 'after'>, sizeBytes: number): Promise<SmallDisk> {
    const path = await mkdtemp(join(tmpdir(), 'ociregistry-disk-'))
    const failure = mount(['-t', 'tmpfs', '-o', `size=${sizeBytes}`, 'none', path])
    if (failure !== undefined) throw new Error(failure)
    t.after(async () => {
      unmount(path)
      await rm(path, { recursive: true, force: true })
    })
    return new SmallDisk(path)
  }

  async freeBytes(): Promise<number> {
    const { bavail, bsize } = await statfs(this.path)
    return bavail * bsize
  }

  /** Takes all the room that is left, but for so much. */
  async fill(leaveBytes = 0): Promise<void> {
    const file = await open(this.#filler, 'a')
    const chunk = Buffer.alloc(4096)
    try {
      while ((await this.freeBytes()) > leaveBytes) await file.write(chunk)
    } finally {
      await file.close()
    }
  }

  async empty(): Promise<void> {
    await rm(this.#filler, { force: true })
  }

  /** Resolves when it is done: not before nobody has a file open for writing. @throws Error with what mount(8) says */
  async remounted(how: 'ro' | 'rw'): Promise<void> {
    let failure = mount(['-o', `remount,${how}`, this.path])
    for (let tries = 1; failure?.includes('busy') === true && tries < 100; tries++) {
      await turn()
      failure = mount(['-o', `remount,${how}`, this.path])
    }
    if (failure !== undefined) throw new Error(failure)
  }

  get #filler(): string {
    return join(this.path, 'somebody-else')
  }
}

/** What mount(8) says if it fails. */
function mount(args: readonly string[]): string | undefined {
  const { status, stderr, error } = spawnSync('mount', args, { encoding: 'utf8' })
  return status === 0 ? undefined : (error?.message ?? stderr.trim())
}

/** Whoever has something open there may go on with it. */
function unmount(path: string): void {
  spawnSync('umount', ['--lazy', path])
}
