/** Work that several callers want at the same time is done once; whoever comes while it runs joins it. */
export class SingleFlight<T> {
  readonly #running = new Map<string, Promise<T>>()

  /** @returns the work's promise, and whether somebody else had begun it */
  run(key: string, work: () => Promise<T>): { readonly result: Promise<T>; readonly joined: boolean } {
    const running = this.#running.get(key)
    if (running !== undefined) return { result: running, joined: true }
    const result = work().finally(() => this.#running.delete(key))
    this.#running.set(key, result)
    result.catch(() => {}) // callers see it; a caller that stopped waiting must not make it unhandled
    return { result, joined: false }
  }

  /** Resolves when everything that runs now has ended, well or not. */
  async idle(): Promise<void> {
    await Promise.allSettled(this.#running.values())
  }
}
