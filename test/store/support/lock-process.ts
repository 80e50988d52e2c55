/** A process that takes and lets go of locks as its parent says: `LockProcess` starts it. */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import type { TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
import { systemClock } from '../../../src/observe/clock.ts'
import { StoreLock } from '../../../src/store/lock.ts'

/** How many of its acquisitions at once succeeded, and what the others were told. */
type Outcome = { readonly held: number; readonly refusals: readonly string[] }
type Order = { readonly acquire: string; readonly contenders: number } | { readonly release: true }

export class LockProcess {
  private constructor(readonly child: ChildProcess) {}

  static async start(t: TestContext): Promise<LockProcess> {
    const child = fork(fileURLToPath(import.meta.url), ['child'], { execArgv: ['--import', 'tsx'] })
    t.after(() => child.kill('SIGKILL'))
    await once(child, 'message')
    return new LockProcess(child)
  }

  get pid(): number {
    return this.child.pid ?? 0
  }

  /** Lets so many contenders at once try to take the lock of `directory`, none of which waits. */
  acquire(directory: string, contenders = 1): Promise<Outcome> {
    return this.#order({ acquire: directory, contenders })
  }

  async release(): Promise<void> {
    await this.#order({ release: true })
  }

  /** As `kill -9`: resolves when the process is gone. */
  async kill(): Promise<void> {
    this.child.kill('SIGKILL')
    await once(this.child, 'exit')
  }

  async #order(order: Order): Promise<Outcome> {
    const answer = once(this.child, 'message')
    this.child.send(order)
    return (await answer)[0] as Outcome
  }
}

if (process.argv[2] === 'child') {
  let held: StoreLock[] = []
  const acquire = async (directory: string, contenders: number): Promise<Outcome> => {
    const self = { program: 'ociregistry', version: '9.9.9', pid: process.pid, hostname: 'edge-1' }
    const tries = Array.from({ length: contenders }, () => StoreLock.acquire(directory, { self, waitMs: 0, clock: systemClock }))
    const results = await Promise.allSettled(tries)
    const locks = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
    held = [...held, ...locks]
    return { held: locks.length, refusals: results.flatMap((result) => (result.status === 'rejected' ? [String(result.reason)] : [])) }
  }
  process.on('message', async (order: Order) => {
    if ('acquire' in order) process.send?.(await acquire(order.acquire, order.contenders))
    else {
      await Promise.all(held.splice(0).map((lock) => lock.release()))
      process.send?.({ held: 0, refusals: [] })
    }
  })
  process.send?.('ready')
}
