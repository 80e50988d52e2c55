/** The names of registries as the configuration has them, for all who read what clients wrote; they may change. */
import type { Config } from '../config/config.ts'
import type { Registry } from '../oci/name.ts'
import { configuredNames, type RegistryNames } from './which-registry.ts'

type NameSettings = Pick<Config, 'registries' | 'defaultNs'>

export class ConfiguredNames implements RegistryNames {
  #configured: ReadonlyMap<string, Registry> = new Map()
  #defaultNs: Registry

  constructor(settings: NameSettings) {
    this.#defaultNs = settings.defaultNs
    this.reconfigure(settings)
  }

  get configured(): ReadonlyMap<string, Registry> {
    return this.#configured
  }

  get defaultNs(): Registry {
    return this.#defaultNs
  }

  reconfigure({ registries, defaultNs }: NameSettings): void {
    this.#configured = configuredNames(registries)
    this.#defaultNs = this.#configured.get(defaultNs) ?? defaultNs
  }
}
