/** Which credentials count for a registry: those of its own entry, or else those of the files that are for all. */
import type { RegistryConfig } from '../config/config.ts'
import type { Log } from '../observe/log.ts'
import type { CredentialFile } from '../oci/credential-file.ts'
import { parseDockerConfig } from '../oci/docker-config.ts'
import { asRegistry } from '../oci/name.ts'
import { FileCredentials } from './credential-files.ts'
import type { CredentialHelpers } from './credential-helpers.ts'
import { type CredentialSource, EntryCredentials, FirstOf } from './credentials.ts'

export type CredentialsOptions = {
  /** The files that are for all registries; the first that has credentials counts. */
  readonly credsFile?: { readonly path: string; readonly parse: (file: string, content: Buffer) => Promise<CredentialFile> } | undefined
  readonly dockerConfig?: string | undefined
}

type Parts = {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly log: Log
  /** Their owner's, who outlives these sources. */
  readonly helpers: CredentialHelpers
}

export class CredentialSources {
  readonly #parts: Parts
  /** By path: two entries may name one file. */
  readonly #dockerConfigs = new Map<string, FileCredentials>()
  readonly #forAll: readonly FileCredentials[]

  constructor({ credsFile, dockerConfig }: CredentialsOptions, parts: Parts) {
    const { helpers, log } = parts
    this.#parts = parts
    this.#forAll = [
      ...(credsFile === undefined ? [] : [new FileCredentials({ ...credsFile, helpers, log })]),
      ...(dockerConfig === undefined ? [] : [this.#dockerConfig(dockerConfig)]),
    ]
  }

  /** An entry with credentials of its own asks nobody else. Files are asked for the host that the request goes to, whatever clients call it. */
  of({ name, address, auth }: RegistryConfig): CredentialSource {
    if (auth !== undefined && 'user' in auth) return new EntryCredentials(name, auth, this.#parts.env)
    const files = auth === undefined ? this.#forAll : [this.#dockerConfig(auth.dockerConfig)]
    const host = asRegistry(address) ?? name
    return new FirstOf(files.map((file) => file.of(host)))
  }

  #dockerConfig(path: string): FileCredentials {
    const parse = (file: string, content: Buffer): CredentialFile => parseDockerConfig(file, content.toString('utf8'))
    const known = this.#dockerConfigs.get(path) ?? new FileCredentials({ path, parse, ...this.#parts })
    this.#dockerConfigs.set(path, known)
    return known
  }
}
