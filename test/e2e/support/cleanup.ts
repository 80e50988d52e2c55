/** Undoes what a test set up, last thing first: node:test runs its own hooks in the order in which they were registered. */
import type { TestContext } from 'node:test'

export type Cleanup = Pick<TestContext, 'after' | 'diagnostic'>

const stacks = new WeakMap<Cleanup, (() => unknown)[]>()

export function onEnd(t: Cleanup, undo: () => unknown): void {
  const stack = stacks.get(t)
  if (stack !== undefined) {
    stack.push(undo)
    return
  }
  const undos = [undo]
  stacks.set(t, undos)
  t.after(() => undoAll(undos))
}

/** Every step runs, also after one that failed; the first failure is reported. */
async function undoAll(undos: (() => unknown)[]): Promise<void> {
  const failures: unknown[] = []
  for (const undo of undos.reverse()) {
    try {
      await undo()
    } catch (error) {
      failures.push(error)
    }
  }
  if (failures.length > 0) throw failures[0]
}

const failed = new WeakSet<Cleanup>()

/** The body of a test within `outer`: when it fails, `hasFailed` is true of the outer one at once, whose processes have something to say then. */
export function partOf(outer: Cleanup, body: (t: TestContext) => Promise<void>): (t: TestContext) => Promise<void> {
  return async (t) => {
    try {
      await body(t)
    } catch (error) {
      failed.add(outer)
      throw error
    }
  }
}

/** True once the test, or a part of it, has failed. (Node >= 20.12 knows `passed`; the types of Node 20 do not say so.) */
export function hasFailed(t: Cleanup): boolean {
  return failed.has(t) || (t as { passed?: boolean }).passed === false
}
