/** Names that clients choose, as values of a label: those of the configuration, the first so many others, and `other` for the rest. */

export const OTHER = 'other'

export class BoundedNames {
  readonly #names: Set<string>
  readonly #most: number

  /** @param others how many that are not in `configured` keep their names */
  constructor(configured: Iterable<string>, others: number) {
    this.#names = new Set(configured)
    this.#most = this.#names.size + others
  }

  /** @param isReal whether it has shown that it is no invention of a client's: else it takes no place */
  of(name: string, isReal: boolean): string {
    if (this.#names.has(name)) return name
    if (!isReal || this.#names.size >= this.#most) return OTHER
    this.#names.add(name)
    return name
  }
}
