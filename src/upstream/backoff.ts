/** Waits that double up to a bound, varied by a fifth: many servers that lost the same registry do not come back to it all at once. */

const JITTER = 0.2

export type BackoffOptions = {
  readonly firstMs: number
  readonly maxMs: number
  /** Between 0 and 1. */
  readonly random: () => number
}

export class Backoff {
  readonly #options: BackoffOptions
  #ms: number

  constructor(options: BackoffOptions) {
    this.#options = options
    this.#ms = options.firstMs
  }

  /** How long to wait this time; never longer than the bound. */
  waitMs(): number {
    return Math.min(Math.round(this.#ms * (1 - JITTER + 2 * JITTER * this.#options.random())), this.#options.maxMs)
  }

  grow(): void {
    this.#ms = Math.min(this.#ms * 2, this.#options.maxMs)
  }

  reset(): void {
    this.#ms = this.#options.firstMs
  }
}
