/** Looks at system calls on their way, and holds them up: for what no look at the disk can show. */
import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import type { TestContext } from 'node:test'

type Callback = (error: NodeJS.ErrnoException | null) => void

/** Calls `before` ahead of every fsync, with the path of the file. */
export function watchFsync(t: TestContext, before: (path: string) => Promise<void> | void): void {
  const real = fs.fsync
  const watched = (fd: number, callback: Callback) => {
    const path = fs.readlinkSync(`/proc/self/fd/${fd}`)
    Promise.resolve()
      .then(() => before(path))
      .then(() => real(fd, callback), callback)
  }
  t.mock.method(fs, 'fsync', watched as unknown as typeof fs.fsync)
  syncBuiltinESMExports()
  t.after(() => {
    t.mock.restoreAll()
    syncBuiltinESMExports()
  })
}
