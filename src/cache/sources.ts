/** The sources of one fill, in the order in which they are to be tried. Pure bookkeeping: who is next, and whether somebody better waits. */
import type { Registry, Repository } from '../oci/name.ts'

/** A registry and repository from which a fill may download. */
export type Source = { readonly registry: Registry; readonly repository: Repository }

export function sourceName(source: Source): string {
  return `${source.registry}/${source.repository}`
}

export class Sources {
  readonly #known = new Set<string>()
  #fresh: Source[] = []
  #slow: Source[] = []
  #again: Source[] = []

  /** All that were ever brought. */
  readonly all: Source[] = []

  /** @returns whether it was not known before */
  add(source: Source): boolean {
    const name = sourceName(source)
    if (this.#known.has(name)) return false
    this.#known.add(name)
    this.all.push(source)
    this.#fresh.push(source)
    return true
  }

  /** Whether there is a source that has not been tried at all. */
  get hasFresh(): boolean {
    return this.#fresh.length > 0
  }

  /** The next to try: those never tried first, then those that were only slow; undefined when none is left. */
  next(): Source | undefined {
    return this.#fresh.shift() ?? this.#slow.shift()
  }

  /** Whether `next` has one. */
  get hasNext(): boolean {
    return this.#fresh.length > 0 || this.#slow.length > 0
  }

  /** One that broke off, in turn, when there is none for `next`. */
  again(): Source | undefined {
    return this.#again.shift()
  }

  /** It had the blob and broke off: it is worth asking again, after a pause. */
  brokeOff(source: Source): void {
    this.#again.push(source)
  }

  /** It was slow to answer and gave way to another: it is worth a second try when the others fail. */
  putBack(source: Source): void {
    this.#slow.push(source)
  }
}
