/** The authentication of a fake registry: every challenge form that real registries send, and the realm that hands out tokens. */
import { randomUUID } from 'node:crypto'
import type { SeenRequest } from './fake-registry-ledger.ts'
import { errorReply, jsonReply, type Reply, reply } from './fake-registry-reply.ts'

export type AuthOptions = {
  readonly scheme: 'basic' | 'bearer' | 'both'
  /** user -> password */
  readonly users?: Readonly<Record<string, string>>
  /** identity token -> user, for those who ask by POST */
  readonly identityTokens?: Readonly<Record<string, string>>
  /** Whether the realm gives tokens to whoever asks without credentials. Default: only if there are no users. */
  readonly anonymous?: boolean
  /** URL of the realm, absolute. Default: `/token` of the server itself. */
  readonly realm?: string
  readonly service?: string
  /** What the challenge says: the repository's own scope (default), this very text, or nothing. */
  readonly scope?: 'repository' | 'none' | { readonly verbatim: string }
  /** A token request without scope is refused (GitLab). */
  readonly needsScope?: boolean
  /** The name of the token in the realm's answer. */
  readonly tokenField?: 'token' | 'access_token'
  readonly expiresInSeconds?: number
  /** Who gets to see the challenge: every 401 (default), or only that of `/v2/` (GCR). */
  readonly challengeAt?: 'everywhere' | 'ping'
  /** Several challenges as header lines of their own (default), or joined by a comma in one. */
  readonly joined?: boolean
  /** The header lines as they are to be, whatever else is said here. */
  readonly challenges?: (ownOrigin: string, request: SeenRequest) => string[]
}

type Token = { readonly scope: string; readonly user: string | undefined }

/** Shared by a registry and the server of its realm, where that is another one. */
export class FakeAuth {
  #tokens = new Map<string, Token>()
  users: Record<string, string>

  constructor(public options: AuthOptions) {
    this.users = { ...options.users }
  }

  /** From now on every token is unknown, as if it had expired. */
  revokeTokens(): void {
    this.#tokens = new Map()
  }

  /** The 401 that a request deserves; undefined if it may pass. */
  guard(request: SeenRequest, ownOrigin: string): Reply | undefined {
    if (this.#allows(request)) return undefined
    const hidden = this.options.challengeAt === 'ping' && request.kind !== 'ping'
    return errorReply(
      401,
      'UNAUTHORIZED',
      'authentication required',
      hidden ? {} : { 'www-authenticate': this.#challenges(request, ownOrigin) },
    )
  }

  /** What the realm answers. */
  token(request: SeenRequest): Reply {
    const { form } = request
    const user = form === undefined ? this.#userOf(request.headers.authorization) : this.#userOfForm(form)
    if (user === 'wrong') return errorReply(401, 'UNAUTHORIZED', 'incorrect username or password')
    if (user === undefined && !this.#anonymous) return errorReply(401, 'UNAUTHORIZED', 'no anonymous tokens')
    const scope = (form ?? request.query).get('scope')
    if (this.options.needsScope && scope === null) return errorReply(403, 'DENIED', 'no scope')
    if (request.method !== 'GET' && form === undefined) return reply(404)
    const token = `token-${randomUUID()}`
    this.#tokens.set(token, { scope: scope ?? '', user })
    const { tokenField = 'token', expiresInSeconds } = this.options
    return jsonReply(200, { [tokenField]: token, ...(expiresInSeconds === undefined ? {} : { expires_in: expiresInSeconds }) })
  }

  get #anonymous(): boolean {
    return this.options.anonymous ?? Object.keys(this.users).length === 0
  }

  #allows(request: SeenRequest): boolean {
    const header = request.headers.authorization ?? ''
    if (this.options.scheme !== 'bearer' && typeof this.#userOf(header) === 'string' && this.#userOf(header) !== 'wrong') return true
    const token = header.startsWith('Bearer ') ? this.#tokens.get(header.slice(7)) : undefined
    if (this.options.scheme === 'basic' || token === undefined) return false
    const { scope } = this.options
    const wanted = typeof scope === 'object' ? scope.verbatim : `repository:${request.repository}:pull`
    return request.kind === 'ping' || token.scope === wanted
  }

  /** The user of a `Basic` header; 'wrong' if name or password is not right; undefined without one. */
  #userOf(header: string | undefined): string | undefined {
    if (!header?.startsWith('Basic ')) return undefined
    const [user = '', ...password] = Buffer.from(header.slice(6), 'base64').toString().split(':')
    return this.users[user] === password.join(':') ? user : 'wrong'
  }

  #userOfForm(form: URLSearchParams): string {
    const { identityTokens = {} } = this.options
    return (form.get('grant_type') === 'refresh_token' && identityTokens[form.get('refresh_token') ?? '']) || 'wrong'
  }

  #challenges(request: SeenRequest, ownOrigin: string): string[] {
    if (this.options.challenges !== undefined) return this.options.challenges(ownOrigin, request)
    const bearer = this.#bearer(request, ownOrigin)
    const basic = 'Basic realm="fake registry"'
    const lines = { basic: [basic], bearer: [bearer], both: [basic, bearer] }[this.options.scheme]
    return this.options.joined ? [lines.join(', ')] : lines
  }

  #bearer(request: SeenRequest, ownOrigin: string): string {
    const { realm = `${ownOrigin}/token`, service, scope = 'repository' } = this.options
    const said = typeof scope === 'object' ? scope.verbatim : `repository:${request.repository}:pull`
    const params = [`realm="${realm}"`]
    if (service !== undefined) params.push(`service="${service}"`)
    if (scope !== 'none' && request.kind !== 'ping') params.push(`scope="${said}"`)
    return `Bearer ${params.join(',')}`
  }
}
