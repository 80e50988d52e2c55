/** Property tests: random values from a seed, so that every failure can be run again. */

export class Random {
  #state: number

  constructor(seed: number) {
    this.#state = seed
  }

  /** An integer from 0 to `below` - 1 (mulberry32). */
  below(below: number): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below
  }

  between(least: number, most: number): number {
    return least + this.below(most - least + 1)
  }

  pick<T>(values: readonly T[]): T {
    return values[this.below(values.length)] as T
  }

  /** Some of the characters of `alphabet`, at least `least` and at most `most`. */
  text(alphabet: string, least: number, most: number): string {
    return Array.from({ length: this.between(least, most) }, () => this.pick([...alphabet])).join('')
  }
}

/** Checks `runs` random values; what fails is thrown with the value and the seed that makes it again: `forAll(make, check, 1, <seed>)`. */
export function forAll<T>(make: (random: Random) => T, check: (value: T) => void, runs = 2000, firstSeed = 1): void {
  for (let seed = firstSeed; seed < firstSeed + runs; seed++) {
    const value = make(new Random(seed))
    try {
      check(value)
    } catch (cause) {
      throw new Error(`seed ${seed} refutes it: ${JSON.stringify(value)}: ${cause instanceof Error ? cause.message : cause}`, { cause })
    }
  }
}
