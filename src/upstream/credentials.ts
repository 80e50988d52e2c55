/** The credentials for a repository, read when they are needed: a changed secret counts without a restart. */
import { createHash } from 'node:crypto'
import { FreshFile } from '../async/fresh-file.ts'
import type { PasswordSource, RegistryAuth } from '../config/config.ts'
import type { StoredCredential } from '../oci/credential-file.ts'
import type { Repository } from '../oci/name.ts'
import { UpstreamError } from './error.ts'

export type Credentials = {
  /** The value of an `Authorization` header; undefined for an identity token, which only a token realm takes. */
  readonly basic: string | undefined
  /** An OAuth2 refresh token, which the realm exchanges for access tokens. */
  readonly identityToken: string | undefined
  /** For messages; undefined with an identity token. */
  readonly user: string | undefined
  /** Where to mend them, for messages: `the registries entry of quay.io`. */
  readonly from: string
  /** Differs for different users or secrets, and tells neither. */
  readonly identity: string
}

export interface CredentialSource {
  /** For messages, where there are none: `creds.yaml has none for quay.io`. */
  readonly absence?: string | undefined
  /**
   * @param refused what the registry has just refused: if others can be had, they are; if not, the same may come again
   * @returns undefined where there are none. @throws UpstreamError 'denied' or 'timeout' where they cannot be had
   */
  read(repository: Repository, refused?: Credentials): Promise<Credentials | undefined>
}

export function toCredentials(stored: StoredCredential, from: string): Credentials {
  if (stored.kind === 'identityToken') {
    return { basic: undefined, identityToken: stored.token, user: undefined, from, identity: hash(`token ${stored.token}`) }
  }
  const { user, password } = stored
  const pair = `${user}:${password}`
  return { basic: `Basic ${Buffer.from(pair).toString('base64')}`, identityToken: undefined, user, from, identity: hash(`pair ${pair}`) }
}

/** For messages: where to look if they were of no use. */
export function whereToCheck({ user, from }: Credentials): string {
  return user === undefined ? `check the identity token in ${from}` : `check user and password in ${from}`
}

function hash(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}

/** The user and password of a registry's own entry. */
export class EntryCredentials implements CredentialSource {
  readonly #registry: string
  readonly #auth: Extract<RegistryAuth, { readonly user: string }>
  readonly #env: Readonly<Record<string, string | undefined>>
  readonly #file: FreshFile<string> | undefined

  constructor(
    registry: string,
    auth: Extract<RegistryAuth, { readonly user: string }>,
    env: Readonly<Record<string, string | undefined>> = process.env,
  ) {
    this.#registry = registry
    this.#auth = auth
    this.#env = env
    this.#file = auth.password.from === 'file' ? new FreshFile(auth.password.path, withoutLineEnd) : undefined
  }

  async read(): Promise<Credentials> {
    const { user, password } = this.#auth
    return toCredentials({ kind: 'password', user, password: await this.#password(password) }, `the registries entry of ${this.#registry}`)
  }

  async #password(source: PasswordSource): Promise<string> {
    if (source.from === 'config') return source.password
    const password = source.from === 'env' ? this.#env[source.variable] : await this.#fromFile()
    if (password !== undefined && password !== '') return password
    const reason = source.from === 'env' ? `the environment has no ${source.variable}` : `${source.path} is empty`
    throw new UpstreamError('denied', `the password for ${this.#registry} cannot be had: ${reason}`)
  }

  async #fromFile(): Promise<string | undefined> {
    try {
      return await this.#file?.read()
    } catch (cause) {
      const { code, message } = cause as NodeJS.ErrnoException
      const reason = code === undefined ? message : `reading ${this.#file?.path}: ${code}`
      throw new UpstreamError('denied', `the password for ${this.#registry} cannot be had: ${reason}`, { cause })
    }
  }
}

/** One line end does not count: editors put it there. */
function withoutLineEnd(content: Buffer): string {
  return content.toString('utf8').replace(/\r?\n$/, '')
}

/** Asks one source after the other, and takes the first credentials there are. */
export class FirstOf implements CredentialSource {
  readonly absence: string | undefined
  readonly #sources: readonly CredentialSource[]

  constructor(sources: readonly CredentialSource[]) {
    this.#sources = sources
    this.absence = sources.flatMap(({ absence }) => absence ?? []).join(', ') || undefined
  }

  async read(repository: Repository, refused?: Credentials): Promise<Credentials | undefined> {
    for (const source of this.#sources) {
      const credentials = await source.read(repository, refused)
      if (credentials !== undefined) return credentials
    }
    return undefined
  }
}
