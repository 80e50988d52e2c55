/** What to do so that a registry can be pulled from: said where a pull fails. Knows what its entry has already. */
import type { RegistryConfig } from '../config/config.ts'
import type { Log } from '../observe/log.ts'
import type { FailureReason } from './failure.ts'
import type { Outdated } from './trust.ts'

export type Trouble = FailureReason | 'refusedAddress'

export type AdviceOptions = {
  readonly registry: RegistryConfig
  /** Whether somebody wrote an entry for it, which then wants another field. */
  readonly configured: boolean
  readonly log: Log
  /** What is wrong with the dates of the entry's certificates. */
  readonly outdated: () => Outdated
}

const SKIP = 'tls: {insecureSkipVerify: true}'

export class Advice {
  readonly #options: AdviceOptions
  readonly #given = new Set<Trouble>()

  constructor(options: AdviceOptions) {
    this.#options = options
  }

  /** A clause for the error message; the first time the log gets it too. @param problem what happened */
  against(trouble: Trouble, problem: string): string {
    const advice = this.#on(trouble)
    if (!this.#given.has(trouble)) this.#options.log.warn(`cannot pull from ${this.#options.registry.name}: ${problem}; ${advice}`)
    this.#given.add(trouble)
    return advice
  }

  /** An unconfigured registry is asked by https: that nobody listens there may mean that it speaks http only. */
  get plainHttpHint(): string | undefined {
    return this.#options.configured ? undefined : `if it speaks only http, ${this.write('scheme: http')}`
  }

  /** `/x.crt (tls.cert of its entry) expired on …`: why it may have refused us without saying so. */
  get outdatedClient(): string | undefined {
    const { cert } = this.#options.outdated()
    return cert === undefined ? undefined : `the client certificate ${this.#options.registry.tls.cert} (tls.cert of its entry) ${cert}`
  }

  /** What to write into the configuration: an entry, or what is missing in the one that there is. @param fields in flow style, so that it is one line */
  write(fields: string): string {
    const { registry, configured } = this.#options
    if (configured) return `add ${fields} to its entry in registries`
    return `configure registries: [{name: "${registry.name}"${fields === '' ? '' : `, ${fields}`}}]`
  }

  #on(trouble: Trouble): string {
    switch (trouble) {
      case 'notTls':
        return this.#allow('scheme: http')
      case 'refusedAddress':
        return `${this.#allow('')}, with scheme: http if it speaks only that`
      case 'badCertificate':
        return this.#allow(SKIP)
      case 'unknownIssuer':
        return this.#onUnknownIssuer()
      case 'expired':
        return this.#outdatedAuthority() ?? `it has to be renewed there; until then, ${this.#allow(SKIP)}`
      case 'notYetValid':
        return this.#outdatedAuthority() ?? `look at the clock of this machine; ${this.#allow(SKIP)}`
      case 'wrongName':
        return `give its entry a url with a name that is in its certificate; or ${this.#allow(SKIP)}`
      case 'clientCertificate':
        return this.#onClientCertificate()
    }
  }

  #allow(fields: string): string {
    return `${this.#options.configured ? '' : 'to allow it, '}${this.write(fields)}`
  }

  #onUnknownIssuer(): string {
    const { ca } = this.#options.registry.tls
    if (ca === undefined) return this.#allow('tls: {ca: /path/to/its/ca.pem}')
    return this.#outdatedAuthority() ?? `the authority behind it is not in ${ca} (tls.ca of its entry): add it there`
  }

  #outdatedAuthority(): string | undefined {
    const { ca } = this.#options.outdated()
    return ca === undefined ? undefined : `${this.#options.registry.tls.ca} (tls.ca of its entry) ${ca}: put a new one in its place`
  }

  #onClientCertificate(): string {
    const { cert } = this.#options.registry.tls
    if (cert === undefined)
      return `it wants a client certificate: ${this.#allow('tls: {cert: /path/to/client.crt, key: /path/to/client.key}')}`
    const { outdatedClient } = this
    return outdatedClient === undefined
      ? `it does not accept the client certificate ${cert} (tls.cert of its entry)`
      : `${outdatedClient}: put a new one in its place`
  }
}
