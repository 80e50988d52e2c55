/** A map that forgets what was not used for the longest time once its values weigh too much together: for what clients could make grow. */

export type LruOptions<V> = {
  /** Sum of weights to keep, in the caller's unit. */
  readonly capacity: number
  /** What weighs more is not kept at all: it would drive out too much else. */
  readonly heaviest?: number
  /** Told of each value that had to go to make room. */
  readonly onEvicted?: (value: V) => void
}

type Link = { before: Link; after: Link }
type Entry<K, V> = Link & { readonly key: K; readonly value: V; readonly weight: number }

/**
 * The order of use is a chain through the entries, from the one unused for longest to the last used. (The order of a Map would do, by deleting and
 * setting again; but each table that a Map outgrows so is promoted by the garbage collector and keeps the next one alive.)
 */
export class Lru<K, V> {
  readonly #entries = new Map<K, Entry<K, V>>()
  readonly #ends: Link = emptyChain()
  readonly #options: LruOptions<V>
  #weight = 0

  constructor(options: LruOptions<V>) {
    this.#options = options
  }

  get(key: K): V | undefined {
    const entry = this.#entries.get(key)
    if (entry === undefined) return undefined
    if (entry.after !== this.#ends) {
      unlink(entry)
      linkBefore(this.#ends, entry)
    }
    return entry.value
  }

  /** @param weight 1 where only the number of values counts */
  set(key: K, value: V, weight = 1): void {
    const { capacity, heaviest = capacity, onEvicted } = this.#options
    this.delete(key)
    if (weight > heaviest) return
    const entry = { key, value, weight, before: this.#ends, after: this.#ends }
    linkBefore(this.#ends, entry)
    this.#entries.set(key, entry)
    this.#weight += weight
    while (this.#weight > capacity) {
      const oldest = this.#ends.after as Entry<K, V> // not the ends themselves: there is weight
      this.delete(oldest.key)
      onEvicted?.(oldest.value)
    }
  }

  delete(key: K): void {
    const entry = this.#entries.get(key)
    if (entry === undefined) return
    this.#entries.delete(key)
    unlink(entry)
    this.#weight -= entry.weight
  }

  values(): V[] {
    return [...this.#entries.values()].map(({ value }) => value)
  }
}

function emptyChain(): Link {
  const ends = {} as Link
  ends.before = ends
  ends.after = ends
  return ends
}

function linkBefore(link: Link, entry: Link): void {
  entry.before = link.before
  entry.after = link
  entry.before.after = entry
  link.before = entry
}

function unlink({ before, after }: Link): void {
  before.after = after
  after.before = before
}
