/** Who asked a fake registry for what, and what was sent: the counters that tests look at. */
import type { IncomingHttpHeaders } from 'node:http'

export type RequestKind = 'ping' | 'manifest' | 'blob' | 'tags' | 'referrers' | 'token' | 'other'

/** What a request asks for, read from its path. */
export type Target = {
  readonly kind: RequestKind
  readonly repository?: string
  /** Tag or digest of a manifest, digest of a blob or of the subject of referrers. */
  readonly reference?: string
}

export type SeenRequest = Target & {
  readonly method: string
  /** Path without the query. */
  readonly path: string
  readonly query: URLSearchParams
  readonly headers: IncomingHttpHeaders
  /** Of a POST. */
  readonly form?: URLSearchParams
  /** As it was sent; undefined while the answer has not begun. */
  status: number | undefined
  /** Of the body, so far. */
  bytesSent: number
}

export type RequestMatch = {
  readonly kind?: RequestKind
  readonly method?: string
  readonly repository?: string
  readonly reference?: string
  /** Same as `reference`, for digests. */
  readonly digest?: string
  readonly path?: RegExp
  /** Whether the request has a `Range`. */
  readonly ranged?: boolean
}

export function matches(match: RequestMatch, request: SeenRequest): boolean {
  const { kind, method, repository, reference, digest, path, ranged } = match
  return (
    (kind === undefined || kind === request.kind) &&
    (method === undefined || method === request.method) &&
    (repository === undefined || repository === request.repository) &&
    (reference === undefined || reference === request.reference) &&
    (digest === undefined || digest === request.reference) &&
    (path === undefined || path.test(request.path)) &&
    (ranged === undefined || ranged === (request.headers.range !== undefined))
  )
}

export class Ledger {
  readonly #requests: SeenRequest[] = []
  #waiters: { match: RequestMatch; times: number; wake: () => void }[] = []

  add(request: SeenRequest): void {
    this.#requests.push(request)
    const due = this.#waiters.filter((waiter) => this.requests(waiter.match).length >= waiter.times)
    this.#waiters = this.#waiters.filter((waiter) => !due.includes(waiter))
    for (const waiter of due) waiter.wake()
  }

  requests(match: RequestMatch = {}): SeenRequest[] {
    return this.#requests.filter((request) => matches(match, request))
  }

  count(match: RequestMatch = {}): number {
    return this.requests(match).length
  }

  /** Bytes of bodies sent for a blob or manifest, all answers together. */
  bytesSent(reference: string): number {
    return this.requests({ reference }).reduce((sum, request) => sum + request.bytesSent, 0)
  }

  /** The `Authorization` of every request, in order; undefined where there was none. */
  authorizations(match: RequestMatch = {}): (string | undefined)[] {
    return this.requests(match).map((request) => request.headers.authorization)
  }

  /** Resolves as soon as `times` such requests have arrived (at once if they have). */
  arrived(match: RequestMatch = {}, times = 1): Promise<void> {
    if (this.count(match) >= times) return Promise.resolve()
    return new Promise((resolve) => {
      this.#waiters.push({ match, times, wake: resolve })
    })
  }

  /** Forgets what was seen; counting starts again. */
  clear(): void {
    this.#requests.length = 0
  }
}
