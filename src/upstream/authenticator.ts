/** Decides what `Authorization` a request gets: none, a password or a token and to whom: the registry's own origin, and the realm that it names over TLS. */
import { Lru } from '../async/lru.ts'
import type { Challenge } from '../oci/challenge.ts'
import type { Repository } from '../oci/name.ts'
import type { Advice } from './advice.ts'
import { type CredentialSource, type Credentials, whereToCheck } from './credentials.ts'
import { UpstreamError } from './error.ts'
import type { Tokens } from './tokens.ts'

export type Authorization = {
  /** Undefined: the request goes without. */
  readonly header: string | undefined
  /** Made to answer this very challenge: if it is refused, only other credentials could help. */
  readonly fresh: boolean
  /** For the message of a refusal: what was sent and what to do. */
  readonly note: string
  /** What the header was made of. */
  readonly credentials: Credentials | undefined
}

/** How a repository wants to be asked, learnt from its challenge. It counts for the credentials with which it was chosen, and for no others. */
type Plan = { readonly identity: string | undefined } & (
  | { readonly scheme: 'basic' }
  | { readonly scheme: 'bearer'; readonly realm: URL; readonly service: string | undefined; readonly scope: string }
)

const MAX_PLANS = 4096

export type AuthenticatorOptions = {
  readonly registry: string
  /** Of the registry: the only one that its credentials are for. */
  readonly origin: URL
  readonly credentials: CredentialSource
  readonly tokens: Tokens
  readonly advice: Advice
}

export class Authenticator {
  readonly #options: AuthenticatorOptions
  readonly #plans = new Lru<string, Plan>({ capacity: MAX_PLANS })

  constructor(options: AuthenticatorOptions) {
    this.#options = options
  }

  /**
   * What a request gets before it is challenged: what the last challenge for this repository at this origin asked for.
   * Nothing where that is refused by now: the next challenge is answered from the start. @throws UpstreamError
   */
  async preemptive(at: URL, repository: Repository, signal?: AbortSignal): Promise<Authorization> {
    const key = planKey(at, repository)
    const plan = this.#plans.get(key)
    const without = { header: undefined, fresh: false, note: this.#missingNote(at), credentials: undefined }
    if (plan === undefined) return without
    try {
      const credentials = await this.#credentials(at, repository)
      if (plan.identity !== credentials?.identity) return without
      return { ...(await this.#authorize(plan, at, credentials, undefined, signal)), fresh: false }
    } catch (error) {
      this.#plans.delete(key) // it may want something else by now
      if (isDenied(error)) return without
      throw error
    }
  }

  /**
   * What to answer a 401 with.
   * @param refused what the 401 was for
   * @throws UpstreamError 'denied' with the challenges if there is nothing to answer with; what the realm failed with
   */
  async answer(
    at: URL,
    repository: Repository,
    challenges: readonly Challenge[],
    refused: Authorization,
    signal?: AbortSignal,
  ): Promise<Authorization> {
    const wasPassword = refused.credentials?.basic !== undefined && refused.credentials.basic === refused.header
    const credentials = await this.#credentials(at, repository, wasPassword ? refused.credentials : undefined)
    try {
      return await this.#answerWith(credentials, at, repository, challenges, refused.header, signal)
    } catch (error) {
      const others = isDenied(error) && credentials !== undefined ? await this.#others(credentials, at, repository) : undefined
      if (others === undefined) throw withChallenges(error, challenges)
      return await this.#answerWith(others, at, repository, challenges, refused.header, signal)
    }
  }

  /** What to try once more with when fresh credentials were refused (401, or 403 as ECR does with what has expired); undefined: nothing else is there. */
  async renewed(at: URL, repository: Repository, refused: Authorization, signal?: AbortSignal): Promise<Authorization | undefined> {
    const plan = this.#plans.get(planKey(at, repository))
    const others = refused.credentials === undefined ? undefined : await this.#others(refused.credentials, at, repository)
    if (plan === undefined || others === undefined) return undefined
    const renewed = { ...plan, identity: others.identity }
    this.#plans.set(planKey(at, repository), renewed)
    return { ...(await this.#authorize(renewed, at, others, undefined, signal)), fresh: true }
  }

  async #answerWith(
    credentials: Credentials | undefined,
    at: URL,
    repository: Repository,
    challenges: readonly Challenge[],
    rejected: string | undefined,
    signal: AbortSignal | undefined,
  ): Promise<Authorization> {
    const plan = this.#choosePlan(challenges, repository, credentials)
    if (plan === undefined) throw this.#unanswerable(at, challenges, credentials)
    const authorization = await this.#authorize(plan, at, credentials, rejected, signal)
    if (authorization.header === rejected)
      throw new UpstreamError('denied', `${at.origin} answered 401; ${authorization.note}`, { challenges })
    this.#plans.set(planKey(at, repository), plan)
    return authorization
  }

  async #authorize(
    plan: Plan,
    at: URL,
    credentials: Credentials | undefined,
    rejected: string | undefined,
    signal: AbortSignal | undefined,
  ): Promise<Authorization> {
    if (plan.scheme === 'basic') return { header: credentials?.basic, fresh: true, note: this.#sentNote(at, credentials), credentials }
    const usable = this.#mayHave(plan.realm) ? credentials : undefined
    const { realm, service, scope } = plan
    const question = { origin: at.origin, realm, service, scope, credentials: usable }
    const { token, fresh } = await this.#options.tokens.get(question, rejected?.replace(/^Bearer /, ''), signal)
    return { header: `Bearer ${token}`, fresh, note: this.#tokenNote(at, realm, credentials), credentials }
  }

  /** A token where one can be had for the credentials there are, else the password, else a token for nobody. */
  #choosePlan(challenges: readonly Challenge[], repository: Repository, credentials: Credentials | undefined): Plan | undefined {
    const identity = credentials?.identity
    const bearers = challenges.flatMap((challenge) => bearerPlan(challenge, repository, identity))
    const best = credentials === undefined ? bearers[0] : bearers.find(({ realm }) => this.#mayHave(realm))
    if (best !== undefined) return best
    return credentials?.basic !== undefined && challenges.some(({ scheme }) => scheme === 'basic')
      ? { scheme: 'basic', identity }
      : bearers[0]
  }

  /** Whoever the registry redirects to gets no credentials. */
  #credentials(at: URL, repository: Repository, refused?: Credentials): Promise<Credentials | undefined> {
    return at.origin === this.#options.origin.origin ? this.#options.credentials.read(repository, refused) : Promise.resolve(undefined)
  }

  /** Other credentials than those that were refused, if there are any by now. */
  async #others(refused: Credentials, at: URL, repository: Repository): Promise<Credentials | undefined> {
    const others = await this.#credentials(at, repository, refused)
    return others?.identity === refused.identity ? undefined : others
  }

  /** A realm gets the credentials over TLS, or by http where the registry itself is http. */
  #mayHave(realm: URL): boolean {
    return realm.protocol === 'https:' || this.#options.origin.protocol === 'http:'
  }

  #unanswerable(at: URL, challenges: readonly Challenge[], credentials: Credentials | undefined): UpstreamError {
    const schemes = challenges.map((challenge) => challenge.scheme).join(', ')
    const asked = schemes === '' ? 'without a challenge' : `and asks for ${schemes}`
    return new UpstreamError('denied', `${at.origin} answered 401 ${asked}; ${this.#unusableNote(at, credentials)}`, { challenges })
  }

  #unusableNote(at: URL, credentials: Credentials | undefined): string {
    if (credentials === undefined) return this.#missingNote(at)
    return credentials.basic === undefined ? 'an identity token can only answer Bearer' : 'this server can answer Basic and Bearer'
  }

  #tokenNote(at: URL, realm: URL, credentials: Credentials | undefined): string {
    if (credentials === undefined || this.#mayHave(realm)) return this.#sentNote(at, credentials)
    return `credentials were not sent: its token realm ${realm.origin} is not https`
  }

  #sentNote(at: URL, credentials: Credentials | undefined): string {
    if (credentials === undefined) return this.#missingNote(at)
    const whose = credentials.user === undefined ? 'an identity token was' : `the credentials of user '${credentials.user}' were`
    return `${whose} sent: ${whereToCheck(credentials)}`
  }

  #missingNote(at: URL): string {
    const { registry, origin, advice, credentials } = this.#options
    if (at.origin !== origin.origin) return `no credentials were sent: those of ${registry} are for ${origin.origin} only`
    const absence = credentials.absence === undefined ? '' : `${credentials.absence}; `
    return `no credentials were sent: ${absence}to pull with some, ${advice.write('auth: {user: ..., passwordFile: ...}')}`
  }
}

function planKey(at: URL, repository: Repository): string {
  return `${at.origin} ${repository}`
}

/** None or one. */
function bearerPlan({ scheme, params }: Challenge, repository: Repository, identity: string | undefined): (Plan & { scheme: 'bearer' })[] {
  const realm = scheme === 'bearer' ? realmOf(params.realm) : undefined
  if (realm === undefined) return []
  return [{ scheme: 'bearer', realm, service: params.service, scope: params.scope || `repository:${repository}:pull`, identity }]
}

function realmOf(text: string | undefined): URL | undefined {
  const url = URL.canParse(text ?? '') ? new URL(text ?? '') : undefined
  if (url === undefined || !/^https?:$/.test(url.protocol)) return undefined
  url.username = ''
  url.password = ''
  url.hash = ''
  return url
}

function isDenied(error: unknown): boolean {
  return error instanceof UpstreamError && error.kind === 'denied'
}

function withChallenges(error: unknown, challenges: readonly Challenge[]): unknown {
  if (!(error instanceof UpstreamError) || error.kind !== 'denied') return error
  return new UpstreamError('denied', error.message, { challenges, cause: error.cause })
}
