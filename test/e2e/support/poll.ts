/** Waiting for a condition, with a bound: a test never sleeps for a guessed time. */
import { setTimeout as sleep } from 'node:timers/promises'

/** Resolves to the first truthy answer; after `withinMs` it throws, saying what was waited for. */
export async function until<T>(what: string, condition: () => T | Promise<T>, withinMs = 20_000): Promise<NonNullable<T>> {
  const deadlineMs = performance.now() + withinMs
  for (;;) {
    const answer = await condition()
    if (answer) return answer
    if (performance.now() > deadlineMs) throw new Error(`waited ${withinMs / 1000} s in vain: ${what}`)
    await sleep(20)
  }
}
