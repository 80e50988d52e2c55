/** What to write into the configuration so that a registry can be pulled from: said where a pull fails for want of it. */
import type { Log } from '../observe/log.ts'

/** What an entry can cure. */
export type Trouble = 'notTls' | 'unknownIssuer' | 'badCertificate' | 'refusedAddress'

/** Flow style, so that an entry is one line. */
const FIELDS: Readonly<Record<Trouble, string>> = {
  notTls: 'scheme: http',
  unknownIssuer: 'tls: {ca: /path/to/its/ca.pem}',
  badCertificate: 'tls: {insecureSkipVerify: true}',
  refusedAddress: '',
}

export class Advice {
  readonly #name: string
  readonly #configured: boolean
  readonly #log: Log
  readonly #given = new Set<Trouble>()

  /** @param configured whether the registry has an entry already, which then wants another field */
  constructor(name: string, configured: boolean, log: Log) {
    this.#name = name
    this.#configured = configured
    this.#log = log
  }

  /** A clause for the error message; the first time the log gets it too. @param problem what happened */
  against(trouble: Trouble, problem: string): string {
    const entry = this.entry(FIELDS[trouble])
    const advice = this.#configured ? `its entry would have to be ${entry}` : `to allow it, configure ${entry}`
    if (!this.#given.has(trouble)) this.#log.warn(`cannot pull from ${this.#name}: ${problem}; ${advice}`)
    this.#given.add(trouble)
    return advice
  }

  /** An unconfigured registry is asked by https: that nobody listens there may mean that it speaks http only. */
  get plainHttpHint(): string | undefined {
    return this.#configured ? undefined : `if it speaks only http, configure ${this.entry(FIELDS.notTls)}`
  }

  entry(fields: string): string {
    return `registries: [{name: "${this.#name}"${fields === '' ? '' : `, ${fields}`}}]`
  }
}
