/** Lets a reader go as far as a test says: what the progress of a fill is to its readers. */
import type { Available } from '../../../src/store/store.ts'

export class Gate {
  #limit = 0
  #failure: Error | undefined
  #waiting: { readonly offset: number; readonly resolve: (limit: number) => void; readonly reject: (error: Error) => void }[] = []

  readonly available: Available = (offset) => {
    if (this.#failure === undefined && this.#limit > offset) return this.#limit
    return this.#failure === undefined
      ? new Promise((resolve, reject) => this.#waiting.push({ offset, resolve, reject }))
      : Promise.reject(this.#failure)
  }

  open(limit: number): void {
    this.#limit = limit
    const woken = this.#waiting.filter((waiter) => waiter.offset < limit)
    this.#waiting = this.#waiting.filter((waiter) => waiter.offset >= limit)
    for (const waiter of woken) waiter.resolve(limit)
  }

  fail(error: Error): void {
    this.#failure = error
    for (const waiter of this.#waiting.splice(0)) waiter.reject(error)
  }
}
