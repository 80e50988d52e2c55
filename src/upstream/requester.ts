/** Asks a registry for something: with the right credentials at every hop, and a challenge answered where it comes from. */
import { type Challenge, parseChallenges } from '../oci/challenge.ts'
import type { Repository } from '../oci/name.ts'
import type { Answer } from './answer.ts'
import type { Authenticator, Authorization } from './authenticator.ts'
import type { Circuit } from './circuit.ts'
import type { UpstreamError } from './error.ts'
import type { Hop, Hops } from './hops.ts'
import type { Sent } from './sent-secrets.ts'
import type { Verdict } from './verdict.ts'

export type Ask = {
  readonly repository: Repository
  readonly url: URL
  readonly method: 'GET' | 'HEAD'
  readonly headers: Readonly<Record<string, string>>
  readonly bulk: boolean
  readonly bodyError: (error: UpstreamError) => UpstreamError
}

/** A final answer: no redirect, and a 401 only if there was nothing left to answer it with. */
export type Asked = {
  readonly answer: Answer
  readonly note: string
  /** What the answer was given to, by way of credentials. */
  readonly sent: Pick<Sent, 'authorization' | 'credentials'>
  readonly challenges: readonly Challenge[]
}

/** A cached token may be refused, then the fresh one, and then other credentials stand: four requests for one answer at most. */
const MAX_TRIES = 4

export class Requester {
  readonly #origin: URL
  readonly #hops: Hops
  readonly #authenticator: Authenticator
  readonly #circuit: Circuit

  /** @param origin of the registry. @param circuit of the registry's own origin */
  constructor(origin: URL, hops: Hops, authenticator: Authenticator, circuit: Circuit) {
    this.#origin = origin
    this.#hops = hops
    this.#authenticator = authenticator
    this.#circuit = circuit
  }

  /** @throws UpstreamError, or the signal's reason. Any status is an answer. */
  async ask(ask: Ask, signal: AbortSignal): Promise<Asked> {
    let last: Omit<Asked, 'answer'> = { note: '', sent: { authorization: undefined, credentials: undefined }, challenges: [] }
    const answer = await this.#hops.follow(ask.url, async (url) => {
      const asked = await this.#askAt(url, ask, signal)
      last = asked
      return asked.answer
    })
    return { ...last, answer }
  }

  async #askAt(url: URL, ask: Ask, signal: AbortSignal): Promise<Asked> {
    let authorization = await this.#authenticator.preemptive(url, ask.repository, signal)
    for (let tries = 1; ; tries++) {
      const answer = await this.#send(url, ask, authorization, signal)
      const challenges = answer.status === 401 ? parseChallenges(answer.header('www-authenticate') ?? '') : []
      const next = tries === MAX_TRIES ? undefined : await this.#next(answer, url, ask, authorization, challenges, signal)
      if (next === undefined) {
        const { header, note, credentials } = authorization
        return { answer, note, sent: { authorization: header, credentials }, challenges }
      }
      authorization = next
    }
  }

  /** What to ask with once more; undefined: the answer stands, and its body with it. */
  async #next(
    answer: Answer,
    url: URL,
    { repository }: Ask,
    refused: Authorization,
    challenges: readonly Challenge[],
    signal: AbortSignal,
  ): Promise<Authorization | undefined> {
    if (answer.status !== 401 && answer.status !== 403) return undefined
    if (answer.status === 401 && !refused.fresh) {
      this.#hops.discard(answer)
      const known = challenges.length > 0 ? challenges : await this.#challengesOfPing(url, signal)
      return this.#authenticator.answer(url, repository, known, refused, signal)
    }
    const renewed = await this.#authenticator.renewed(url, repository, refused, signal).catch((error) => {
      this.#hops.discard(answer)
      throw error
    })
    if (renewed !== undefined) this.#hops.discard(answer)
    return renewed
  }

  #send(url: URL, ask: Ask, { header }: Authorization, signal: AbortSignal): Promise<Answer> {
    const { method, bulk, bodyError } = ask
    const headers = header === undefined ? ask.headers : { ...ask.headers, authorization: header }
    const hop: Hop = { peer: 'other', url, method, bulk, bodyError, headers }
    return this.#hops.send(url.origin === this.#origin.origin ? this.#own(hop) : hop, signal)
  }

  /** Some real 401s have no challenge; the one of `/v2/` counts then (GCR). Only the registry itself is asked. */
  async #challengesOfPing(url: URL, signal: AbortSignal): Promise<Challenge[]> {
    if (url.origin !== this.#origin.origin) return []
    const ping = new URL('/v2/', url)
    const answer = await this.#hops.send(this.#own({ peer: 'own', url: ping, method: 'GET', headers: {}, bulk: false }), signal)
    this.#hops.discard(answer)
    return answer.status === 401 ? parseChallenges(answer.header('www-authenticate') ?? '') : []
  }

  #own(hop: Hop): Hop {
    return { ...hop, peer: 'own', guard: { circuit: this.#circuit, probe: (signal) => this.#probe(hop.url, signal) } }
  }

  /** Anonymous. `/v2/` stands for the whole registry; where it is out of order, what was last asked for does. */
  async #probe(last: URL, signal: AbortSignal): Promise<Verdict> {
    const probe = { peer: 'own', headers: {}, bulk: false } as const
    const verdict = await this.#hops.probe({ ...probe, url: new URL('/v2/', this.#origin), method: 'GET' }, signal)
    return verdict.health === 'failed' ? this.#hops.probe({ ...probe, url: last, method: 'HEAD' }, signal) : verdict
  }
}
