/**
 * Private registries: those whose manifests nobody gets without their consent. Decides what needs it; who asks for it does so elsewhere.
 * A manifest is theirs as long as no other registry has supplied it, too.
 */
import type { Registry } from '../oci/name.ts'
import type { Catalog, ManifestEntry } from './catalog.ts'

export class PrivateRegistries {
  readonly #registries: ReadonlySet<string>
  readonly #catalog: Catalog

  constructor(registries: readonly Registry[], catalog: Catalog) {
    this.#registries = new Set(registries)
    this.#catalog = catalog
  }

  has(registry: Registry): boolean {
    return this.#registries.size > 0 && this.#registries.has(registry)
  }

  /** Whether somebody who names that registry may learn of a cached manifest at all: to another registry's clients a private one does not exist. */
  mayKnow(registry: Registry, entry: ManifestEntry): boolean {
    if (this.#registries.size === 0 || this.#registries.has(registry) || !this.#registries.has(entry.registry)) return true
    for (const { reference } of this.#catalog.refsOf(entry.digest)) {
      if (!this.#registries.has(reference.slice(0, reference.indexOf('/')))) return true
    }
    return false
  }
}
