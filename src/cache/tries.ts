/** How often, and after what pause, a broken download is continued. Pure bookkeeping: progress earns new tries. */

const MIB = 1024 * 1024

export type TriesOptions = {
  /** The pauses before the tries that one MiB of progress is worth. */
  readonly waitsMs: readonly number[]
  /** From 0 to 1; default `Math.random`. */
  readonly random?: () => number
}

/** A registry that comes back is not to be asked by everybody in the same instant. */
const JITTER = 0.2

export class Tries {
  readonly #waitsMs: readonly number[]
  readonly #random: () => number
  #used = 0
  #countedFrom = 0

  constructor({ waitsMs, random = Math.random }: TriesOptions) {
    this.#waitsMs = waitsMs
    this.#random = random
  }

  /**
   * Takes a try.
   * @param bytes that have come so far
   * @param askedForMs what a `Retry-After` asked for
   * @returns how long to wait before it; undefined when none is left
   */
  take(bytes: number, askedForMs = 0): number | undefined {
    if (bytes - this.#countedFrom >= MIB) this.#used = 0
    if (this.#used === 0) this.#countedFrom = bytes
    const waitMs = this.#waitsMs[this.#used++]
    return waitMs === undefined ? undefined : Math.max(waitMs * (1 + JITTER * (2 * this.#random() - 1)), askedForMs)
  }
}
