/** Asks token realms: with credentials only where they were allowed, and never behind a redirect to another origin. */

import { withDeadline } from '../async/deadline.ts'
import type { Clock } from '../observe/clock.ts'
import { UpstreamError } from './error.ts'
import type { Hops } from './hops.ts'
import { refusalOf } from './refusal.ts'
import type { TokenQuestion } from './tokens.ts'
import type { Peer } from './transport.ts'

const MAX_TOKEN_BYTES = 1024 * 1024

export type RealmOptions = {
  /** Of the registry. */
  readonly origin: URL
  readonly hops: Hops
  readonly clock: Clock
  readonly timeoutMs: number
  readonly idleMs: number
}

export class Realm {
  readonly #options: RealmOptions

  constructor(options: RealmOptions) {
    this.#options = options
  }

  /** GET, which all realms understand, unlike POST. Shared by all who wait for the token: none of their signals ends it. */
  ask(url: URL, question: TokenQuestion): Promise<Buffer> {
    const { clock, timeoutMs } = this.#options
    const timeoutError = (): UpstreamError =>
      new UpstreamError('timeout', `its token realm ${url.origin} did not answer within ${timeoutMs} ms`)
    return withDeadline({ clock, ms: timeoutMs, timeoutError }, (signal) => this.#ask(url, question, signal))
  }

  async #ask(start: URL, { credentials, origin }: TokenQuestion, signal: AbortSignal): Promise<Buffer> {
    const { hops, clock, idleMs } = this.#options
    const answer = await hops.follow(start, (url) => {
      const headers = credentials !== undefined && url.origin === start.origin ? { authorization: credentials.basic } : {}
      return hops.send({ peer: this.#peerOf(url, start, origin), url, method: 'GET', headers, bulk: false }, signal)
    })
    if (answer.status === 200) return hops.read(answer, MAX_TOKEN_BYTES, signal)
    const note =
      credentials === undefined
        ? 'it was asked without credentials'
        : `it was asked for user '${credentials.user}': check user and password`
    const refused = await refusalOf(answer, { clock, idleMs, signal, note })
    throw new UpstreamError(refused.kind, `its token realm ${refused.message}`, { ...retryOf(refused) })
  }

  /** A realm on the registry's own host, that the registry itself named, is its own; so is the registry. Behind a redirect nothing else is. */
  #peerOf(url: URL, realm: URL, askedBy: string): Peer {
    const own = this.#options.origin
    if (url.origin === own.origin) return 'own'
    return askedBy === own.origin && url.origin === realm.origin && url.hostname === own.hostname ? 'own' : 'other'
  }
}

function retryOf({ retryAfterMs }: UpstreamError): { retryAfterMs?: number } {
  return retryAfterMs === undefined ? {} : { retryAfterMs }
}
