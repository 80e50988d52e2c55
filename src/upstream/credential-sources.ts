/** Which credentials count for a registry: those of its own entry, or else those of the files that are for all. */
import type { RegistryConfig } from '../config/config.ts'
import type { Clock } from '../observe/clock.ts'
import type { Log } from '../observe/log.ts'
import type { CredentialFile } from '../oci/credential-file.ts'
import { parseDockerConfig } from '../oci/docker-config.ts'
import { asRegistry } from '../oci/name.ts'
import { FileCredentials } from './credential-files.ts'
import { CredentialHelpers } from './credential-helpers.ts'
import { type CredentialSource, EntryCredentials, FirstOf } from './credentials.ts'

export type CredentialsOptions = {
  /** The files that are for all registries; the first that has credentials counts. */
  readonly credsFile?: { readonly path: string; readonly parse: (file: string, content: Buffer) => Promise<CredentialFile> } | undefined
  readonly dockerConfig?: string | undefined
}

type Parts = {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly clock: Clock
  readonly log: Log
  readonly budgets: { readonly helperMs: number }
}

export class CredentialSources {
  readonly #parts: Parts
  readonly #helpers: CredentialHelpers
  /** By path: two entries may name one file. */
  readonly #dockerConfigs = new Map<string, FileCredentials>()
  readonly #forAll: readonly FileCredentials[]

  constructor({ credsFile, dockerConfig }: CredentialsOptions, parts: Parts) {
    const { env, clock, log, budgets } = parts
    this.#parts = parts
    this.#helpers = new CredentialHelpers({ env, clock, log, timeoutMs: budgets.helperMs })
    this.#forAll = [
      ...(credsFile === undefined ? [] : [new FileCredentials({ ...credsFile, helpers: this.#helpers, log })]),
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

  /** Ends the programs that are asked. */
  close(): Promise<void> {
    return this.#helpers.close()
  }

  #dockerConfig(path: string): FileCredentials {
    const parse = (file: string, content: Buffer): CredentialFile => parseDockerConfig(file, content.toString('utf8'))
    const known = this.#dockerConfigs.get(path) ?? new FileCredentials({ path, parse, helpers: this.#helpers, log: this.#parts.log })
    this.#dockerConfigs.set(path, known)
    return known
  }
}
