/** The credentials of one registry, read when they are needed: a changed secret counts without a restart. */
import { createHash } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import type { PasswordSource, RegistryConfig } from '../config/config.ts'
import { UpstreamError } from './error.ts'

export type Credentials = {
  /** The value of an `Authorization` header. */
  readonly basic: string
  readonly user: string
  /** Differs for different users or passwords, and tells neither. */
  readonly identity: string
}

export class CredentialSource {
  readonly #registry: string
  readonly #auth: RegistryConfig['auth']
  readonly #env: Readonly<Record<string, string | undefined>>
  #file: { readonly version: string; readonly password: string } | undefined

  constructor(registry: string, auth: RegistryConfig['auth'], env: Readonly<Record<string, string | undefined>> = process.env) {
    this.#registry = registry
    this.#auth = auth
    this.#env = env
  }

  /** @returns undefined where none are configured. @throws UpstreamError 'denied' where the password cannot be had */
  async read(): Promise<Credentials | undefined> {
    if (this.#auth === undefined) return undefined
    const { user, password: source } = this.#auth
    const pair = `${user}:${await this.#password(source)}`
    return { user, basic: `Basic ${Buffer.from(pair).toString('base64')}`, identity: createHash('sha256').update(pair).digest('hex') }
  }

  async #password(source: PasswordSource): Promise<string> {
    if (source.from === 'config') return source.password
    if (source.from === 'file') return this.#fromFile(source.path)
    const password = this.#env[source.variable]
    if (password !== undefined && password !== '') return password
    throw new UpstreamError('denied', `the password for ${this.#registry} cannot be had: the environment has no ${source.variable}`)
  }

  /** Read again when size or time changed; one newline at its end does not count. */
  async #fromFile(path: string): Promise<string> {
    try {
      const { mtimeMs, size, ino } = await stat(path)
      const version = `${mtimeMs} ${size} ${ino}`
      if (this.#file?.version !== version) {
        this.#file = { version, password: (await readFile(path, 'utf8')).replace(/\r?\n$/, '') }
      }
      return this.#file.password
    } catch (cause) {
      const { code } = cause as NodeJS.ErrnoException
      throw new UpstreamError('denied', `the password for ${this.#registry} cannot be had: reading ${path}: ${code}`, { cause })
    }
  }
}
