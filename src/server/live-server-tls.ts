/** TLS towards clients by the files that count now: others take their place once all of them were read and found right. */
import type { ServerTlsConfig } from '../config/config.ts'
import type { TlsMaterial } from './http-server.ts'
import { ServerTls, type ServerTlsDeps } from './server-tls.ts'

export class LiveServerTls {
  readonly clientAuth: 'none' | 'verify'
  readonly #deps: Omit<ServerTlsDeps, 'settings'>
  #settings: ServerTlsConfig
  #current: ServerTls
  #ended: Promise<unknown> = Promise.resolve()
  #isStopped = false
  #renew: ((material: TlsMaterial) => void) | undefined

  constructor({ settings, ...deps }: ServerTlsDeps) {
    this.clientAuth = settings.clientAuth
    this.#deps = deps
    this.#settings = settings
    this.#current = new ServerTls({ ...deps, settings })
  }

  /** As that of `ServerTls`. */
  read(): Promise<TlsMaterial> {
    return this.#current.read()
  }

  get expiresMs(): number | undefined {
    return this.#current.expiresMs
  }

  /** Looks at the files from now on. @param renew is given what they have changed to */
  watch(renew: (material: TlsMaterial) => void): void {
    this.#renew = renew
    this.#current.watch(renew)
  }

  /**
   * @param settings with the same `clientAuth`
   * @returns puts the files that these name in the place of those before, for connections that begin from then on
   * @throws Error that says in one line which file cannot be used; then nothing has changed
   */
  async prepare(settings: ServerTlsConfig): Promise<() => void> {
    const { cert, key, ca } = this.#settings
    if (settings.cert === cert && settings.key === key && settings.ca === ca) return () => {}
    const next = new ServerTls({ ...this.#deps, settings })
    const material = await next.read()
    return () => {
      if (this.#isStopped) return
      this.#ended = Promise.all([this.#ended, this.#current.stop()])
      this.#settings = settings
      this.#current = next
      if (this.#renew === undefined) return
      this.#renew(material)
      next.watch(this.#renew)
    }
  }

  async stop(): Promise<void> {
    this.#isStopped = true
    await Promise.all([this.#ended, this.#current.stop()])
  }
}
