/** Lets work pass one by one, when a test says so, and counts. */
import { setImmediate as turn } from 'node:timers/promises'

export class Gatekeeper {
  readonly #waiting: (() => void)[] = []
  /** How many were let through, and the most that waited at the same time. */
  passed = 0
  peak = 0

  /** Resolves when it is this one's turn. */
  pass(): Promise<void> {
    const turnCame = new Promise<void>((resolve) => this.#waiting.push(resolve))
    this.peak = Math.max(this.peak, this.#waiting.length)
    return turnCame
  }

  /** Lets through whoever waits for longest, if somebody waits. */
  open(): void {
    this.#let(this.#waiting.shift())
  }

  /** Lets through whoever came last. */
  openLast(): void {
    this.#let(this.#waiting.pop())
  }

  /** Resolves when so many wait. */
  async waiting(count: number): Promise<void> {
    while (this.#waiting.length < count) await turn()
  }

  #let(next: (() => void) | undefined): void {
    if (next === undefined) return
    this.passed++
    next()
  }
}

/** Lets everything that is due happen, some times over. */
export async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await turn()
}
