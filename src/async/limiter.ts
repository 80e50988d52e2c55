/** At most so many at once; the others wait in line. */
export class Limiter {
  #running = 0
  readonly #waiting: (() => void)[] = []

  constructor(readonly limit: number) {}

  /** Runs `work` as soon as a place is free. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#running >= this.limit) await new Promise<void>((resolve) => this.#waiting.push(resolve))
    else this.#running++
    try {
      return await work()
    } finally {
      const next = this.#waiting.shift()
      if (next === undefined) this.#running--
      else next() // the place is handed on
    }
  }
}
