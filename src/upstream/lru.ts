/** A map that forgets what was used longest ago: for what clients could make grow. */
export class LruMap<K, V> {
  readonly #entries = new Map<K, V>()
  readonly #limit: number
  readonly #onEvicted: (value: V) => void

  constructor(limit: number, onEvicted: (value: V) => void = () => {}) {
    this.#limit = limit
    this.#onEvicted = onEvicted
  }

  get(key: K): V | undefined {
    const value = this.#entries.get(key)
    if (value === undefined) return undefined
    this.#entries.delete(key)
    this.#entries.set(key, value)
    return value
  }

  set(key: K, value: V): void {
    this.#entries.delete(key)
    this.#entries.set(key, value)
    if (this.#entries.size <= this.#limit) return
    const [oldest] = this.#entries as Iterable<[K, V]>
    if (oldest === undefined) return
    this.#entries.delete(oldest[0])
    this.#onEvicted(oldest[1])
  }

  delete(key: K): void {
    this.#entries.delete(key)
  }

  values(): Iterable<V> {
    return this.#entries.values()
  }
}
