/** Bearer tokens of one registry: asked for once, kept until shortly before they expire. */

import { Lru } from '../async/lru.ts'
import { SingleFlight } from '../async/single-flight.ts'
import type { Clock } from '../observe/clock.ts'
import type { Credentials } from './credentials.ts'
import { UpstreamError } from './error.ts'

export type TokenQuestion = {
  /** Of the server that asked for a token. */
  readonly origin: string
  readonly realm: URL
  /** Left out of the question where the challenge has none (NVCR). */
  readonly service: string | undefined
  readonly scope: string
  readonly credentials: Credentials | undefined
}

/** Asks the realm: by GET, or by POST with a form. @returns the body of its 200. @throws UpstreamError for anything else */
export type AskRealm = (url: URL, question: TokenQuestion, form: URLSearchParams | undefined) => Promise<Buffer>

/** Told of a realm that somebody lost patience with, and the reason of whose signal that was. */
export type GivenUp = (realm: URL, reason: unknown) => void

type Entry = { readonly token: string; readonly usableUntilMs: number }

/** Of one token: real ones have a few thousand. More goes into no header. */
const MAX_TOKEN_LENGTH = 64 * 1024
/** Of all tokens with what they are known by. */
const MAX_CHARACTERS = 4 * 1024 * 1024
const DEFAULT_LIFE_S = 60
const EARLY_MS = 10_000

export class Tokens {
  readonly #ask: AskRealm
  readonly #onGivenUp: GivenUp
  readonly #clock: Clock
  readonly #entries = new Lru<string, Entry>({ capacity: MAX_CHARACTERS })
  readonly #requests = new SingleFlight<Entry>()

  constructor(ask: AskRealm, clock: Clock, onGivenUp: GivenUp = () => {}) {
    this.#ask = ask
    this.#onGivenUp = onGivenUp
    this.#clock = clock
  }

  /**
   * @param rejected a token that the registry has just refused: it is not handed out again
   * @param signal of whoever waits for it; the question goes on without them
   * @returns `fresh`: the realm was asked for it just now
   */
  async get(question: TokenQuestion, rejected?: string, signal?: AbortSignal): Promise<{ token: string; fresh: boolean }> {
    const key = keyOf(question)
    const known = this.#entries.get(key)
    if (known !== undefined && known.token !== rejected && this.#clock.monotonic() < known.usableUntilMs) {
      return { token: known.token, fresh: false }
    }
    const givenUp = (): void => this.#onGivenUp(question.realm, signal?.reason)
    signal?.addEventListener('abort', givenUp, { once: true })
    try {
      const { token } = await this.#requests.run(key, () => this.#request(key, question)).result
      return { token, fresh: true }
    } finally {
      signal?.removeEventListener('abort', givenUp)
    }
  }

  async #request(key: string, question: TokenQuestion): Promise<Entry> {
    const form = refreshForm(question)
    const body = await this.#ask(form === undefined ? tokenUrl(question) : question.realm, question, form)
    const entry = this.#read(body, question.realm)
    this.#entries.set(key, entry, key.length + entry.token.length)
    return entry
  }

  /** Its life begins when it arrives: the realm's clock may be anything. */
  #read(body: Buffer, realm: URL): Entry {
    const { token, seconds } = parseToken(body, realm)
    const lifeMs = seconds * 1000
    return { token, usableUntilMs: this.#clock.monotonic() + lifeMs - Math.min(EARLY_MS, lifeMs / 2) }
  }
}

function keyOf({ origin, realm, service, scope, credentials }: TokenQuestion): string {
  return JSON.stringify([origin, realm.href, service, scope, credentials?.identity])
}

/** An identity token is exchanged by POST (RFC 6749 6, distribution's "OAuth2 Token Authentication"); GET, which all realms understand, is for the rest. */
function refreshForm({ service, scope, credentials }: TokenQuestion): URLSearchParams | undefined {
  if (credentials?.identityToken === undefined) return undefined
  return new URLSearchParams({
    grant_type: 'refresh_token',
    ...(service === undefined ? {} : { service }),
    client_id: 'ociregistry',
    scope,
    refresh_token: credentials.identityToken,
  })
}

/** The realm with its own query, as it was written, and ours behind it. */
function tokenUrl({ realm, service, scope }: TokenQuestion): URL {
  const ours = new URLSearchParams({ ...(service === undefined ? {} : { service }), scope })
  const url = new URL(realm)
  url.search = url.search === '' ? String(ours) : `${url.search}&${ours}`
  return url
}

function parseToken(body: Buffer, realm: URL): { token: string; seconds: number } {
  let answer: { token?: unknown; access_token?: unknown; expires_in?: unknown } | null = null
  try {
    answer = JSON.parse(body.toString('utf8'))
  } catch {
    // said below
  }
  const token = [answer?.token, answer?.access_token].find((value) => typeof value === 'string' && /^[\x21-\x7e]+$/.test(value))
  if (token === undefined) throw new UpstreamError('failed', `its token realm ${realm.origin} answered without a token`)
  if ((token as string).length > MAX_TOKEN_LENGTH) {
    throw new UpstreamError('failed', `its token realm ${realm.origin} answered with a token of more than ${MAX_TOKEN_LENGTH} characters`)
  }
  const seconds = Number(answer?.expires_in ?? DEFAULT_LIFE_S)
  return { token: token as string, seconds: seconds > 0 ? seconds : DEFAULT_LIFE_S }
}
