/** Decides what `Authorization` a request gets: none, a password or a token and to whom: the registry's own origin, and the realm that it names over TLS. */
import { Lru } from '../async/lru.ts'
import type { Challenge } from '../oci/challenge.ts'
import type { Repository } from '../oci/name.ts'
import type { Advice } from './advice.ts'
import type { CredentialSource, Credentials } from './credentials.ts'
import { UpstreamError } from './error.ts'
import type { Tokens } from './tokens.ts'

export type Authorization = {
  /** Undefined: the request goes without. */
  readonly header: string | undefined
  /** Made to answer this very challenge: if it is refused, there is nothing left to try. */
  readonly fresh: boolean
  /** For the message of a refusal: what was sent and what to do. */
  readonly note: string
}

/** How a repository wants to be asked, learnt from its challenge. */
type Plan =
  | { readonly scheme: 'basic' }
  | { readonly scheme: 'bearer'; readonly realm: URL; readonly service: string | undefined; readonly scope: string }

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

  /** What a request gets before it is challenged: what the last challenge for this repository at this origin asked for. @throws UpstreamError */
  async preemptive(at: URL, repository: Repository): Promise<Authorization> {
    const key = planKey(at, repository)
    const plan = this.#plans.get(key)
    if (plan === undefined) return { header: undefined, fresh: false, note: this.#missingNote(at) }
    try {
      return { ...(await this.#authorize(plan, at, await this.#credentials(at), undefined)), fresh: false }
    } catch (error) {
      this.#plans.delete(key) // it may want something else by now
      throw error
    }
  }

  /**
   * What to answer a 401 with.
   * @param rejected the `Authorization` that the 401 was for
   * @throws UpstreamError 'denied' with the challenges if there is nothing to answer with; what the realm failed with
   */
  async answer(at: URL, repository: Repository, challenges: readonly Challenge[], rejected: string | undefined): Promise<Authorization> {
    const credentials = await this.#credentials(at)
    const plan = this.#choosePlan(challenges, repository, credentials)
    if (plan === undefined) throw this.#unanswerable(at, challenges, credentials)
    const authorization = await this.#authorize(plan, at, credentials, rejected).catch((error) => {
      throw withChallenges(error, challenges)
    })
    if (authorization.header === rejected)
      throw new UpstreamError('denied', `${at.origin} answered 401; ${authorization.note}`, { challenges })
    this.#plans.set(planKey(at, repository), plan)
    return authorization
  }

  async #authorize(plan: Plan, at: URL, credentials: Credentials | undefined, rejected: string | undefined): Promise<Authorization> {
    if (plan.scheme === 'basic') return { header: credentials?.basic, fresh: true, note: this.#sentNote(credentials) }
    const usable = this.#mayHave(plan.realm) ? credentials : undefined
    const { realm, service, scope } = plan
    const question = { origin: at.origin, realm, service, scope, credentials: usable }
    const { token, fresh } = await this.#options.tokens.get(question, rejected?.replace(/^Bearer /, ''))
    return { header: `Bearer ${token}`, fresh, note: this.#tokenNote(at, realm, credentials) }
  }

  /** A token where one can be had for the credentials there are, else the password, else a token for nobody. */
  #choosePlan(challenges: readonly Challenge[], repository: Repository, credentials: Credentials | undefined): Plan | undefined {
    const bearers = challenges.flatMap((challenge) => bearerPlan(challenge, repository))
    const best = credentials === undefined ? bearers[0] : bearers.find(({ realm }) => this.#mayHave(realm))
    if (best !== undefined) return best
    return credentials !== undefined && challenges.some(({ scheme }) => scheme === 'basic') ? { scheme: 'basic' } : bearers[0]
  }

  /** Whoever the registry redirects to gets no credentials. */
  #credentials(at: URL): Promise<Credentials | undefined> {
    return at.origin === this.#options.origin.origin ? this.#options.credentials.read() : Promise.resolve(undefined)
  }

  /** A realm gets the credentials over TLS, or by http where the registry itself is http. */
  #mayHave(realm: URL): boolean {
    return realm.protocol === 'https:' || this.#options.origin.protocol === 'http:'
  }

  #unanswerable(at: URL, challenges: readonly Challenge[], credentials: Credentials | undefined): UpstreamError {
    const schemes = challenges.map((challenge) => challenge.scheme).join(', ')
    const asked = schemes === '' ? 'without a challenge' : `and asks for ${schemes}`
    const note = credentials === undefined ? this.#missingNote(at) : 'this server can answer Basic and Bearer'
    return new UpstreamError('denied', `${at.origin} answered 401 ${asked}; ${note}`, { challenges })
  }

  #tokenNote(at: URL, realm: URL, credentials: Credentials | undefined): string {
    if (credentials === undefined) return this.#missingNote(at)
    return this.#mayHave(realm) ? this.#sentNote(credentials) : `credentials were not sent: its token realm ${realm.origin} is not https`
  }

  #sentNote(credentials: Credentials | undefined): string {
    return `the credentials of user '${credentials?.user}' were sent: check user and password in the registries entry of ${this.#options.registry}`
  }

  #missingNote(at: URL): string {
    const { registry, origin, advice } = this.#options
    if (at.origin !== origin.origin) return `no credentials were sent: those of ${registry} are for ${origin.origin} only`
    return `no credentials were sent: to pull with some, configure ${advice.entry('auth: {user: ..., passwordFile: ...}')}`
  }
}

function planKey(at: URL, repository: Repository): string {
  return `${at.origin} ${repository}`
}

/** None or one. */
function bearerPlan({ scheme, params }: Challenge, repository: Repository): (Plan & { scheme: 'bearer' })[] {
  const realm = scheme === 'bearer' ? realmOf(params.realm) : undefined
  if (realm === undefined) return []
  return [{ scheme: 'bearer', realm, service: params.service, scope: params.scope || `repository:${repository}:pull` }]
}

function realmOf(text: string | undefined): URL | undefined {
  const url = URL.canParse(text ?? '') ? new URL(text ?? '') : undefined
  if (url === undefined || !/^https?:$/.test(url.protocol)) return undefined
  url.username = ''
  url.password = ''
  url.hash = ''
  return url
}

function withChallenges(error: unknown, challenges: readonly Challenge[]): unknown {
  if (!(error instanceof UpstreamError) || error.kind !== 'denied') return error
  return new UpstreamError('denied', error.message, { challenges, cause: error.cause })
}
