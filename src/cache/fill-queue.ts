/** Fills in the order in which they came, and how many of them each registry has. */
import type { Registry } from '../oci/name.ts'
import type { Fill } from './fill.ts'

export class FillQueue {
  readonly #fills = new Set<Fill>()
  readonly #countOf = new Map<Registry, number>()

  get size(): number {
    return this.#fills.size
  }

  countOf(registry: Registry): number {
    return this.#countOf.get(registry) ?? 0
  }

  /** Behind all others. */
  add(fill: Fill): void {
    if (this.#fills.has(fill)) return
    this.#fills.add(fill)
    this.#countOf.set(fill.registry, this.countOf(fill.registry) + 1)
  }

  /** @returns whether it was there */
  delete(fill: Fill): boolean {
    if (!this.#fills.delete(fill)) return false
    const left = this.countOf(fill.registry) - 1
    if (left === 0) this.#countOf.delete(fill.registry)
    else this.#countOf.set(fill.registry, left)
    return true
  }

  clear(): void {
    this.#fills.clear()
    this.#countOf.clear()
  }

  [Symbol.iterator](): IterableIterator<Fill> {
    return this.#fills.values()
  }
}
