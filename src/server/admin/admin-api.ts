/** The admin API: lets a request in, finds what it wants to be done, does that, and writes the answer. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Log } from '../../observe/log.ts'
import { OciError } from '../../oci/error.ts'
import { isSystemError } from '../../store/space.ts'
import { toOciError } from '../errors.ts'
import { parseTarget } from '../request-target.ts'
import { type HeaderList, writeError } from '../respond.ts'
import { bearerOf, factsOf, judgeAccess, refusalOf } from './access.ts'
import { type AdminAnswer, writeAnswer } from './answer.ts'
import { refuseBody } from './body.ts'
import { explain } from './explain.ts'
import { listBlobs, listImages, listManifests } from './lists.ts'
import { Parameters } from './parameters.ts'
import type { AdminParts } from './parts.ts'
import { prefetch } from './prefetch.ts'
import { prune } from './prune.ts'
import { type AdminMethod, type AdminRoute, findAdminRoute, type Operation } from './routes.ts'
import { status } from './status.ts'
import type { AdminToken } from './token.ts'

export type AdminApiDeps = AdminParts & {
  readonly token: AdminToken
  /** Where this host reaches it without a token; undefined where the server does not listen on loopback. */
  readonly localUrl: () => string | undefined
  readonly log: Log
}

type Operate = (parameters: Parameters, parts: AdminParts, req: IncomingMessage, res: ServerResponse) => AdminAnswer | Promise<AdminAnswer>

const OPERATIONS: Readonly<Record<Operation, Operate>> = { stop, prune, listImages, listBlobs, listManifests, prefetch, status, explain }

/** Of the lists, and of what decides by them. */
const READS_CATALOG: ReadonlySet<Operation> = new Set(['listImages', 'listBlobs', 'listManifests'])

export class AdminApi {
  readonly #deps: AdminApiDeps

  constructor(deps: AdminApiDeps) {
    this.#deps = deps
  }

  /** Answers one request, whatever happens. Never rejects. */
  async handle(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const headers: HeaderList = ['cache-control', 'no-store']
    try {
      await this.#letIn(req)
      writeAnswer(req, res, headers, await this.#answer(req, res))
    } catch (error) {
      writeError(res, this.#told(error, req), headers)
    }
  }

  /** @throws OciError 401, 403 */
  async #letIn(req: IncomingMessage): Promise<void> {
    const { token, localUrl } = this.#deps
    const access = judgeAccess(factsOf(req))
    if (access === 'open') return
    const shown = access === 'token' ? bearerOf(req.headers) : undefined
    if (shown !== undefined && (await token.admits(shown))) return
    throw refusalOf(access, localUrl(), token.isConfigured, shown !== undefined)
  }

  async #answer(req: IncomingMessage, res: ServerResponse): Promise<AdminAnswer> {
    const { rawPath, query } = parseTarget(req.url ?? '')
    const route = findAdminRoute(rawPath)
    if (route === undefined) throw new OciError(404, 'UNSUPPORTED', `there is nothing at ${rawPath.slice(0, 200)}`)
    refuseOtherMethods(req, route)
    const parameters = new Parameters(query.params, route)
    if (route.takesBody !== true) await refuseBody(req, res, 'none: the parameters go in the query, behind ?')
    if (READS_CATALOG.has(route.operation)) await this.#deps.cache.ready
    return OPERATIONS[route.operation](parameters, this.#deps, req, res)
  }

  #told(error: unknown, { method, url }: IncomingMessage): OciError {
    const known = toOciError(error, 'manifest')
    if (known === undefined) this.#deps.log.error('bug: unexpected error', { method, url, error, bug: true })
    else if (isSystemError(error)) this.#deps.log.error('the store failed', { method, url, error })
    return known ?? new OciError(500, 'UNAVAILABLE', 'an unexpected error, noted in the server log')
  }
}

/** @throws OciError 405 */
function refuseOtherMethods({ method = '' }: IncomingMessage, { path, methods }: AdminRoute): void {
  if (methods.includes(method as AdminMethod)) return
  throw new OciError(405, 'UNSUPPORTED', `${method} is not possible: ${path} wants ${methods.join(' or ')}`, { allow: methods.join(', ') })
}

/** The answer is empty, as ever; it still gets out. */
function stop(_: Parameters, { stop }: AdminParts): AdminAnswer {
  stop()
  return { json: {}, text: () => '' }
}
