/** Files with the credentials of many registries: `credsFile`, and the configuration of Docker or podman. Read again when they change. */
import { FreshFile } from '../async/fresh-file.ts'
import { LastGood } from '../async/last-good.ts'
import type { Log } from '../observe/log.ts'
import type { CredentialFile } from '../oci/credential-file.ts'
import type { Registry, Repository } from '../oci/name.ts'
import { dockerServerOf, mostSpecific } from '../oci/registry-prefix.ts'
import type { CredentialHelpers } from './credential-helpers.ts'
import { type CredentialSource, type Credentials, toCredentials } from './credentials.ts'
import { UpstreamError } from './error.ts'

export type CredentialFileOptions = {
  readonly path: string
  /** @throws Error with one line for a person, without a secret */
  readonly parse: (file: string, content: Buffer) => CredentialFile | Promise<CredentialFile>
  readonly helpers: CredentialHelpers
  readonly log: Log
}

/** One file, shared by all registries that may be in it. Once it was good, what it said counts until it is good again. */
export class FileCredentials {
  readonly #options: CredentialFileOptions
  readonly #content: LastGood<CredentialFile>

  constructor(options: CredentialFileOptions) {
    const { path, parse, log } = options
    const file = new FreshFile(path, (content) => parse(path, content))
    this.#options = options
    this.#content = new LastGood({
      read: () => file.read(),
      onTrouble: (error) => log.error('cannot use a file with credentials: what it said before counts until it is mended', { path, error }),
      onRecovery: () => log.info('a file with credentials is good again', { path }),
    })
  }

  /** What the file has for one registry. @param registry by the host that is asked, which alone gets to see it */
  of(registry: Registry): CredentialSource {
    const absence = `${this.#options.path} has none for ${registry}`
    return { absence, read: (repository, refused) => this.#find(registry, repository, refused) }
  }

  /** A helper that is named for the registry, else what stands in the file, else the store for all registries. */
  async #find(registry: Registry, repository: Repository, refused: Credentials | undefined): Promise<Credentials | undefined> {
    const { path, helpers } = this.#options
    const { credentials, helpers: named, store } = await this.#read()
    const own = mostSpecific(named, registry, repository)
    if (own !== undefined) return helpers.get(own.helper, own.server, refused)
    const stored = mostSpecific(credentials, registry, repository)
    if (stored !== undefined) return toCredentials(stored.credential, path)
    return store === undefined ? undefined : helpers.get(store, dockerServerOf(registry), refused)
  }

  async #read(): Promise<CredentialFile> {
    try {
      return await this.#content.read()
    } catch (cause) {
      throw new UpstreamError('denied', `credentials cannot be had: ${(cause as Error).message}`, { cause })
    }
  }
}
