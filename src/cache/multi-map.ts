/** A map with several values of a key, which is mostly one: very many sets of one would be most of the catalog. */
export class MultiMap<K, V extends object> {
  readonly #values = new Map<K, V | Set<V>>()

  /** Of keys. */
  get size(): number {
    return this.#values.size
  }

  keys(): Iterable<K> {
    return this.#values.keys()
  }

  has(key: K): boolean {
    return this.#values.has(key)
  }

  /** As they are; of several, in the order in which they came. */
  get(key: K): Iterable<V> {
    const known = this.#values.get(key)
    if (known === undefined) return []
    return known instanceof Set ? known : [known]
  }

  /** Harmless when it is there already. */
  add(key: K, value: V): void {
    const known = this.#values.get(key)
    if (known === undefined) this.#values.set(key, value)
    else if (known instanceof Set) known.add(value)
    else if (known !== value) this.#values.set(key, new Set([known, value]))
  }

  remove(key: K, value: V): void {
    const known = this.#values.get(key)
    if (known instanceof Set) known.delete(value)
    if (known === value || (known instanceof Set && known.size === 0)) this.#values.delete(key)
  }
}
