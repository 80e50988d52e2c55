/** Asks token realms: with credentials only where they were allowed, and never behind a redirect to another origin. */

import { withDeadline } from '../async/deadline.ts'
import type { Clock } from '../observe/clock.ts'
import type { Answer } from './answer.ts'
import type { Circuits } from './circuits.ts'
import { type Credentials, whereToCheck } from './credentials.ts'
import { UpstreamError } from './error.ts'
import type { Hop, Hops } from './hops.ts'
import { refusalOf } from './refusal.ts'
import type { TokenQuestion } from './tokens.ts'
import type { Peer } from './transport.ts'
import { verdictOnAbort } from './verdict.ts'

const MAX_TOKEN_BYTES = 1024 * 1024

export type RealmOptions = {
  /** Of the registry. */
  readonly origin: URL
  readonly hops: Hops
  readonly circuits: Circuits
  readonly clock: Clock
  readonly timeoutMs: number
  readonly idleMs: number
}

export class Realm {
  readonly #options: RealmOptions

  constructor(options: RealmOptions) {
    this.#options = options
  }

  /** Shared by all who wait for the token: none of their signals ends it. */
  ask(url: URL, question: TokenQuestion, form: URLSearchParams | undefined): Promise<Buffer> {
    const { clock, timeoutMs } = this.#options
    const timeoutError = (): UpstreamError =>
      new UpstreamError('timeout', `its token realm ${url.origin} did not answer within ${timeoutMs} ms`)
    return withDeadline({ clock, ms: timeoutMs, timeoutError }, (signal) => this.#ask(url, question, form, signal))
  }

  /** Somebody waits no longer for what a realm was asked. */
  givenUp(url: URL, reason: unknown): void {
    this.#options.circuits.realm(url).givenUp(verdictOnAbort(reason))
  }

  async #ask(start: URL, question: TokenQuestion, form: URLSearchParams | undefined, signal: AbortSignal): Promise<Buffer> {
    const { hops, clock, idleMs } = this.#options
    const { credentials } = question
    const answer = form === undefined ? await this.#get(start, question, signal) : await this.#post(start, question, form, signal)
    if (answer.status === 200) return hops.read(answer, MAX_TOKEN_BYTES, signal)
    const refused = await refusalOf(answer, {
      clock,
      idleMs,
      signal,
      note: askedNote(credentials),
      sent: { authorization: credentials?.basic, credentials },
    })
    throw new UpstreamError(refused.kind, `its token realm ${refused.message}`, { ...retryOf(refused) })
  }

  #get(start: URL, { credentials, origin }: TokenQuestion, signal: AbortSignal): Promise<Answer> {
    const { hops } = this.#options
    return hops.follow(start, (url) => {
      const headers = credentials?.basic !== undefined && url.origin === start.origin ? { authorization: credentials.basic } : undefined
      const hop: Hop = { peer: this.#peerOf(url, start, origin), url, method: 'GET', headers: headers ?? {}, bulk: false }
      return hops.send(url.origin === start.origin ? this.#guarded(hop) : hop, signal)
    })
  }

  /** Its body is a secret for this very URL: no redirect is followed. */
  #post(url: URL, { origin }: TokenQuestion, form: URLSearchParams, signal: AbortSignal): Promise<Answer> {
    const headers = { 'content-type': 'application/x-www-form-urlencoded' }
    const peer = this.#peerOf(url, url, origin)
    return this.#options.hops.send(this.#guarded({ peer, url, method: 'POST', headers, body: String(form), bulk: false }), signal)
  }

  /** What is asked of realms differs so much that only the very question is a fair probe. */
  #guarded(hop: Hop): Hop {
    const { hops, circuits } = this.#options
    return { ...hop, guard: { circuit: circuits.realm(hop.url), probe: (signal) => hops.probe(hop, signal) } }
  }

  /** A realm on the registry's own host, that the registry itself named, is its own; so is the registry. Behind a redirect nothing else is. */
  #peerOf(url: URL, realm: URL, askedBy: string): Peer {
    const own = this.#options.origin
    if (url.origin === own.origin) return 'own'
    return askedBy === own.origin && url.origin === realm.origin && url.hostname === own.hostname ? 'own' : 'other'
  }
}

function askedNote(credentials: Credentials | undefined): string {
  if (credentials === undefined) return 'it was asked without credentials'
  const whose = credentials.user === undefined ? 'with an identity token' : `for user '${credentials.user}'`
  return `it was asked ${whose}: ${whereToCheck(credentials)}`
}

function retryOf({ retryAfterMs }: UpstreamError): { retryAfterMs?: number } {
  return retryAfterMs === undefined ? {} : { retryAfterMs }
}
