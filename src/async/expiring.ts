/** A map that forgets: each value after its time, and those unused for longest when there are too many. */
import type { Clock } from '../observe/clock.ts'
import { Lru } from './lru.ts'

type Kept<V> = { readonly value: V; readonly untilMs: number }

export class Expiring<K, V> {
  readonly #clock: Pick<Clock, 'monotonic'>
  readonly #kept: Lru<K, Kept<V>>

  /** @param capacity how many values, at most */
  constructor(clock: Pick<Clock, 'monotonic'>, capacity: number) {
    this.#clock = clock
    this.#kept = new Lru({ capacity })
  }

  get(key: K): V | undefined {
    const kept = this.#kept.get(key)
    if (kept === undefined || this.#clock.monotonic() < kept.untilMs) return kept?.value
    this.#kept.delete(key)
    return undefined
  }

  set(key: K, value: V, forMs: number): void {
    this.#kept.set(key, { value, untilMs: this.#clock.monotonic() + forMs })
  }

  delete(key: K): void {
    this.#kept.delete(key)
  }
}
