/** One thing after the other, each bounded in time; whatever a step starts ends with it, also when the run is interrupted. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Cleanup } from '../test/e2e/support/cleanup.ts'
import { type Options, type Running, start } from '../test/e2e/support/processes.ts'

/** Owns what is started in it. `signal` is aborted when it ends: nothing may be started any more. */
export type Scope = Cleanup & { readonly signal: AbortSignal }

/** Somebody wants the run to end: no failure, nothing to explain. */
export class Interrupted extends Error {}

export async function scoped<T>(work: (scope: Scope) => Promise<T>): Promise<T> {
  const ended = new AbortController()
  const undos: (() => unknown)[] = []
  // `passed` as node:test has it: what failed programs said is printed
  const scope = {
    passed: true,
    signal: ended.signal,
    after: (undo: unknown) => void undos.push(undo as () => unknown),
    diagnostic: (text: string) => void process.stderr.write(`${text}\n`),
  }
  try {
    return await work(scope)
  } catch (error) {
    scope.passed = error instanceof Interrupted
    throw error
  } finally {
    ended.abort()
    for (const undo of undos.reverse()) await undo()
  }
}

/** A scope of its own that ends after `limitMs`, or with `interrupted`, at the latest. */
export function bounded<T>(what: string, limitMs: number, interrupted: AbortSignal, work: (scope: Scope) => Promise<T>): Promise<T> {
  return scoped(async (scope) => {
    interrupted.throwIfAborted()
    const done = new AbortController()
    const stopped = AbortSignal.any([done.signal, interrupted])
    const limit = sleep(limitMs, undefined, { signal: stopped }).then(
      () => Promise.reject(new Error(`${what}: not done within ${limitMs / 1000} s`)),
      () => Promise.reject(new Interrupted('interrupted')),
    )
    const finished = work(scope)
    // whoever loses the race fails later, when its programs have been ended
    finished.catch(() => {})
    limit.catch(() => {})
    return Promise.race([finished, limit]).finally(() => done.abort())
  })
}

/** Starts a program that ends with the scope. */
export function launch(scope: Scope, name: string, command: string, args: readonly string[], options: Options = {}): Running {
  scope.signal.throwIfAborted()
  return start(scope, name, command, args, options)
}

/** Runs a program to its end; what it printed. Throws unless its exit code is 0. */
export async function complete(scope: Scope, command: string, args: readonly string[], options: Options = {}): Promise<string> {
  scope.signal.throwIfAborted()
  const { code, signal, running } = await scoped(async (own) => {
    const running = launch(own, command, command, args, options)
    const stop = () => void running.stop()
    scope.signal.addEventListener('abort', stop)
    const exit = await running.exited
    scope.signal.removeEventListener('abort', stop)
    return { ...exit, running }
  })
  if (code !== 0) throw new Error(`${[command, ...args].join(' ')}: ${signal ?? `exit code ${code}`}\n${running.output()}`)
  return running.stdout()
}
