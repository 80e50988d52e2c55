/** A map that forgets what was not used for the longest time once its values weigh too much together: for what clients could make grow. */

export type LruOptions<V> = {
  /** Sum of weights to keep, in the caller's unit. */
  readonly capacity: number
  /** What weighs more is not kept at all: it would drive out too much else. */
  readonly heaviest?: number
  /** Told of each value that had to go to make room. */
  readonly onEvicted?: (value: V) => void
}

export class Lru<K, V> {
  readonly #entries = new Map<K, { readonly value: V; readonly weight: number }>()
  readonly #options: LruOptions<V>
  #weight = 0

  constructor(options: LruOptions<V>) {
    this.#options = options
  }

  get(key: K): V | undefined {
    const entry = this.#entries.get(key)
    if (entry === undefined) return undefined
    this.#entries.delete(key)
    this.#entries.set(key, entry) // a Map keeps insertion order: the first entry is the one unused for longest
    return entry.value
  }

  /** @param weight 1 where only the number of values counts */
  set(key: K, value: V, weight = 1): void {
    const { capacity, heaviest = capacity } = this.#options
    this.delete(key)
    if (weight > heaviest) return
    this.#entries.set(key, { value, weight })
    this.#weight += weight
    for (const oldest of this.#entries.keys()) {
      if (this.#weight <= capacity) break
      this.#evict(oldest)
    }
  }

  delete(key: K): void {
    const entry = this.#entries.get(key)
    if (entry === undefined) return
    this.#entries.delete(key)
    this.#weight -= entry.weight
  }

  values(): V[] {
    return [...this.#entries.values()].map(({ value }) => value)
  }

  #evict(key: K): void {
    const value = this.#entries.get(key)?.value
    this.delete(key)
    if (value !== undefined) this.#options.onEvicted?.(value)
  }
}
