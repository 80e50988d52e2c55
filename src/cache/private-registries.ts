/**
 * Private registries: those whose manifests nobody gets without their consent. Decides what needs it; who asks for it does so elsewhere.
 * A manifest is theirs as long as no other registry has supplied it, too.
 */
import type { Config, RegistryConfig } from '../config/config.ts'
import { type Registry, spellingsOf } from '../oci/name.ts'
import type { Catalog, ManifestEntry } from './catalog.ts'

export type PrivateSettings = Pick<Config, 'privateRegistries' | 'registries'>

export class PrivateRegistries {
  readonly #settings: PrivateSettings
  readonly #catalog: Catalog
  #spellings: ReadonlySet<Registry> = new Set()

  /** @param settings after a change of which `reconfigure` is called */
  constructor(settings: PrivateSettings, catalog: Catalog) {
    this.#settings = settings
    this.#catalog = catalog
    this.reconfigure()
  }

  reconfigure(): void {
    this.#spellings = privateSpellings(this.#settings.privateRegistries, this.#settings.registries)
  }

  has(registry: Registry): boolean {
    return this.#spellings.size > 0 && this.#spellings.has(registry)
  }

  /** Whether somebody who names that registry may learn of a cached manifest at all: to another registry's clients a private one does not exist. */
  mayKnow(registry: Registry, entry: ManifestEntry): boolean {
    if (this.#spellings.size === 0 || this.#spellings.has(registry) || !this.#spellings.has(entry.registry)) return true
    for (const { reference } of this.#catalog.refsOf(entry.digest)) {
      if (!this.#spellings.has(reference.slice(0, reference.indexOf('/')) as Registry)) return true
    }
    return false
  }
}

export type RegistryNames = Pick<RegistryConfig, 'name' | 'aliases'>

/**
 * All spellings of the private registries: clients are taken to the name of an entry, but a store may have been filled under an alias, or with a port
 * that can be left out. What another entry calls by such a spelling is that one's.
 */
export function privateSpellings(privates: readonly Registry[], registries: readonly RegistryNames[]): ReadonlySet<Registry> {
  const found = privates.map((each): RegistryNames => entryOf(each, registries) ?? { name: each, aliases: [] })
  const spellings = new Set(found.flatMap(namesOf).flatMap(spellingsOf))
  for (const other of registries) if (!found.includes(other)) for (const each of namesOf(other)) spellings.delete(each)
  return spellings
}

function entryOf(registry: Registry, registries: readonly RegistryNames[]): RegistryNames | undefined {
  const named = registries.find((entry) => namesOf(entry).includes(registry))
  return named ?? registries.find((entry) => namesOf(entry).flatMap(spellingsOf).includes(registry))
}

function namesOf({ name, aliases }: RegistryNames): readonly Registry[] {
  return [name, ...aliases]
}
