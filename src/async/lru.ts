/** A map that forgets what was not used for the longest time once its values weigh too much together. */
export class Lru<K, V> {
  readonly #entries = new Map<K, { readonly value: V; readonly weight: number }>()
  #weight = 0

  /** @param capacity sum of weights to keep, in the caller's unit */
  constructor(readonly capacity: number) {}

  get(key: K): V | undefined {
    const entry = this.#entries.get(key)
    if (entry === undefined) return undefined
    this.#entries.delete(key)
    this.#entries.set(key, entry) // a Map keeps insertion order: the first entry is the one unused for longest
    return entry.value
  }

  /** What weighs more than a quarter of the capacity is not kept: it would drive out everything else. */
  set(key: K, value: V, weight: number): void {
    this.delete(key)
    if (weight > this.capacity / 4) return
    this.#entries.set(key, { value, weight })
    this.#weight += weight
    for (const oldest of this.#entries.keys()) {
      if (this.#weight <= this.capacity) break
      this.delete(oldest)
    }
  }

  delete(key: K): void {
    const entry = this.#entries.get(key)
    if (entry === undefined) return
    this.#entries.delete(key)
    this.#weight -= entry.weight
  }
}
