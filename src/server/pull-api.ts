/** The pull API: reads requests, asks the cache, writes answers. Which registry, which status and how bytes go out is decided by the modules beside it. */
import type { IncomingMessage } from 'node:http'
import type { CacheStatus, Demand } from '../cache/answer.ts'
import type { BlobAnswer } from '../cache/blobs.ts'
import type { Cache } from '../cache/cache.ts'
import type { ManifestAnswer } from '../cache/manifests.ts'
import type { Source } from '../cache/sources.ts'
import type { NameRules } from '../config/config.ts'
import type { Log } from '../observe/log.ts'
import { etagOf, ifRangeHolds, noneMatchHits } from '../oci/conditional.ts'
import { type Digest, parseDigest } from '../oci/digest.ts'
import { OciError } from '../oci/error.ts'
import { OCI_INDEX } from '../oci/media-type.ts'
import { isMachineryTag } from '../oci/name.ts'
import { type ByteRange, decideRange } from '../oci/range.ts'
import { makeReference } from '../oci/reference.ts'
import { isSystemError } from '../store/space.ts'
import { UpstreamError, type UpstreamErrorKind } from '../upstream/error.ts'
import type { Answer } from './answer.ts'
import type { BufferPool } from './buffers.ts'
import { cacheResultOf, cacheResultOfError, cacheStatusOfError, formatCacheStatus, formatWarning, upstreamErrorIn } from './cache-status.ts'
import { type Asked, machineryError, toOciError } from './errors.ts'
import { refuseName } from './name-rules.ts'
import { nextPageLink, pageLimit, pageOf } from './paging.ts'
import type { Note } from './request-line.ts'
import { parseTarget, type RequestTarget } from './request-target.ts'
import { endShort, type HeaderList, writeBody, writeError } from './respond.ts'
import { findRoute, type NamedRoute, type Route } from './route.ts'
import { safeUrl } from './safe-url.ts'
import { ClientGone, sendBlob } from './send.ts'
import { type RegistryNames, whichRegistry } from './which-registry.ts'

export type PullApiDeps = {
  readonly cache: Cache
  readonly names: RegistryNames
  /** Which of them clients may pull. */
  /** Read each time. */
  readonly settings: { readonly nameRules: NameRules }
  /** Whether `host[:port]` is this very server; the second argument is the request's `Host`. */
  readonly isSelf: (host: string, hostHeader: string | undefined) => boolean
  /** Our entry in `Via`, without the protocol version. */
  readonly viaName: string
  readonly buffers: BufferPool
  readonly log: Log
}

type Exchange = {
  readonly req: IncomingMessage
  readonly res: Answer
  readonly note: Note
  readonly target: RequestTarget
  readonly demand: Demand
  /** What every answer to this request says, errors too. */
  readonly headers: HeaderList
}

/** To be told no is no trouble, and of an upstream that is not asked the log has said why. */
const TOLD_ALREADY: ReadonlySet<UpstreamErrorKind> = new Set(['notFound', 'circuitOpen', 'limited'])

/** A body of exact bytes for a year: content by digest never changes. */
const IMMUTABLE = 'max-age=31536000, immutable'

export class PullApi {
  readonly #deps: PullApiDeps

  constructor(deps: PullApiDeps) {
    this.#deps = deps
  }

  /** Answers one request, whatever happens: what is in memory, within this turn. Neither throws nor rejects. */
  handle(req: IncomingMessage, res: Answer, note: Note): void | Promise<void> {
    const headers: HeaderList = []
    let route: Route = { kind: 'unknown', underV2: false }
    const fail = (error: unknown) => this.#fail({ req, res, note, headers }, error, route)
    try {
      const target = parseTarget(req.url ?? '/')
      route = findRoute(target.segments)
      note.route = route.kind
      const cacheControl = req.headers['cache-control']
      const onlyIfCached = cacheControl !== undefined && /\bonly-if-cached\b/i.test(cacheControl)
      return this.#answer(route, { req, res, note, target, demand: { onlyIfCached, request: res.requestId }, headers })?.catch(fail)
    } catch (error) {
      fail(error)
    }
  }

  #answer(route: Route, exchange: Exchange): void | Promise<void> {
    const { req, headers } = exchange
    if (route.kind === 'root') return this.#pong(exchange)
    headers.push('docker-distribution-api-version', 'registry/2.0')
    this.#refuseWrites(req, route)
    this.#refuseLoops(req)
    switch (route.kind) {
      case 'unknown':
        throw new OciError(404, 'UNSUPPORTED', `there is nothing at ${exchange.target.rawPath.slice(0, 200)}`)
      case 'ping':
        return this.#pong(exchange)
      case 'manifest':
        exchange.note.target = route.reference
        return this.#manifest(route.reference, this.#source(route, exchange), exchange)
      case 'blob':
        exchange.note.target = route.reference
        return this.#blob(route.reference, this.#source(route, exchange), exchange)
      case 'tags':
        return this.#tags(this.#source(route, exchange), exchange)
      case 'referrers':
        return this.#referrers(route, exchange)
    }
  }

  #pong(exchange: Exchange): void {
    writeBody(exchange.res, 200, headersOf(exchange, undefined, 'content-type', 'application/json'), '{}')
  }

  #manifest(target: string, source: Source, exchange: Exchange): void | Promise<void> {
    const reference = makeReference(source.registry, source.repository, target)
    const { manifests } = this.#deps.cache
    const wantBytes = exchange.req.method === 'GET'
    const atHand = manifests.atHand(reference, exchange.demand, wantBytes)
    if (atHand !== undefined) return this.#sendManifest(atHand, source, exchange)
    const machinery = reference.tag !== undefined && isMachineryTag(reference.tag)
    return manifests.get(reference, exchange.demand, wantBytes).then(
      (found) => this.#sendManifest(found, source, exchange),
      (error: unknown) => {
        throw machinery ? machineryError(error) : error
      },
    )
  }

  #sendManifest({ entry, status, bytes }: ManifestAnswer, source: Source, exchange: Exchange): void {
    const { req, res } = exchange
    const { digest, mediaType } = entry
    const headers = headersOf(exchange, status, 'content-type', mediaType, 'docker-content-digest', digest, 'etag', etagOf(digest))
    if (req.method === 'GET') this.#deps.cache.prefetch?.complete(entry, source, exchange.res.requestId)
    if (noneMatchHits(req.headers['if-none-match'], digest)) res.writeHead(304, headers).end()
    else if (bytes !== undefined) writeBody(res, 200, headers, bytes)
    else res.writeHead(200, [...headers, 'content-length', String(entry.sizeBytes)]).end()
  }

  #blob(target: string, source: Source, exchange: Exchange): void | Promise<void> {
    const digest = parseDigest(target)
    if (exchange.req.method === 'HEAD') return this.#headBlob(digest, source, exchange)
    const { blobs } = this.#deps.cache
    const atHand = blobs.atHand(digest, source, exchange.demand)
    if (atHand !== undefined) return this.#sendBlob(digest, atHand, exchange)
    return blobs.open(digest, source, exchange.demand).then((found) => this.#sendBlob(digest, found, exchange))
  }

  async #headBlob(digest: Digest, source: Source, exchange: Exchange): Promise<void> {
    const { req, res, demand } = exchange
    const { sizeBytes, status } = await this.#deps.cache.blobs.size(digest, source, demand)
    const headers = blobHeadersOf(exchange, digest, status)
    if (noneMatchHits(req.headers['if-none-match'], digest)) res.writeHead(304, headers).end()
    else res.writeHead(200, [...headers, 'content-length', String(sizeBytes)]).end()
  }

  #sendBlob(digest: Digest, { blob, status }: BlobAnswer, exchange: Exchange): void | Promise<void> {
    const { req, res } = exchange
    const headers = blobHeadersOf(exchange, digest, status)
    let sending: Promise<void> | undefined
    try {
      if (noneMatchHits(req.headers['if-none-match'], digest)) {
        res.writeHead(304, headers).end()
        return
      }
      const size = blob.sizeBytes
      const range = rangeOf(req, digest, size, status)
      const { start, end } = range === 'whole' ? { start: 0, end: size - 1 } : range
      headers.push('content-length', String(end - start + 1))
      if (range !== 'whole') headers.push('content-range', `bytes ${start}-${end}/${size}`)
      res.writeHead(range === 'whole' ? 200 : 206, headers)
      if (blob.whole !== undefined) {
        res.end(range === 'whole' ? blob.whole : blob.whole.subarray(start, end + 1))
        return
      }
      res.flushHeaders() // a range far ahead of a fill waits for its bytes, but not for its headers
      sending = sendBlob(res, blob, { start, end }, this.#deps.buffers)
      return sending.finally(() => blob.close())
    } finally {
      if (sending === undefined) blob.close()
    }
  }

  async #tags({ registry, repository }: Source, exchange: Exchange): Promise<void> {
    const { res, target, demand } = exchange
    const limit = pageLimit(target.query.get('n')) // a mistake in it is told before anybody is asked
    const { tags, status } = await this.#deps.cache.lists.tags(registry, repository, demand)
    const page = pageOf(tags, limit, target.query.get('last'))
    const last = page.tags.at(-1)
    const link = page.more && last !== undefined ? ['link', nextPageLink(target.rawPath, target.query.params, last)] : []
    const body = JSON.stringify({ name: repository, tags: page.tags })
    writeBody(res, 200, headersOf(exchange, status, 'content-type', 'application/json', ...link), body)
  }

  async #referrers(route: NamedRoute & { reference: string }, exchange: Exchange): Promise<void> {
    const subject = parseDigest(route.reference)
    const { res, target, demand } = exchange
    try {
      const { registry, repository } = this.#source(route, exchange)
      const { descriptors, status } = await this.#deps.cache.lists.referrers(registry, repository, subject, demand)
      const artifactTypes = target.query.params.getAll('artifactType').filter((artifactType) => artifactType !== '')
      const filtered = artifactTypes.length > 0
      const manifests = filtered ? descriptors.filter((descriptor) => hasArtifactType(descriptor, artifactTypes)) : descriptors
      const body = JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests })
      const applied = filtered ? ['oci-filters-applied', 'artifactType'] : []
      writeBody(res, 200, headersOf(exchange, status, 'content-type', OCI_INDEX, ...applied), body)
    } catch (error) {
      throw machineryError(error)
    }
  }

  /** The registry and repository that a request names; says so in `OCI-Namespace` where `ns` was used (distribution-spec, "Registry Proxying"). */
  #source(route: NamedRoute, { req, headers, target, note }: Exchange): Source {
    const given = target.query.get('ns') ?? ''
    const ns = given === '' || this.#namesThisServer(given, req) ? undefined : given
    const header = req.headers['x-registry']
    const source = whichRegistry(
      { ns, prefix: route.prefix, name: route.name, header: typeof header === 'string' && header !== '' ? header : undefined },
      this.#deps.names,
    )
    note.source = source
    if (ns !== undefined) headers.push('oci-namespace', ns)
    refuseName(this.#deps.settings.nameRules, source.registry, source.repository)
    return source
  }

  #namesThisServer(host: string, req: IncomingMessage): boolean {
    const name = host.toLowerCase()
    return !this.#deps.names.configured.has(name) && this.#deps.isSelf(name, req.headers.host)
  }

  #refuseWrites(req: IncomingMessage, route: Route): void {
    if (req.method === 'GET' || req.method === 'HEAD') return
    if (route.kind === 'unknown' && !route.underV2) throw new OciError(404, 'UNSUPPORTED', 'there is nothing at this path')
    throw new OciError(405, 'UNSUPPORTED', `${req.method} is not possible: this is a pull-only registry`, { allow: 'GET, HEAD' })
  }

  #refuseLoops(req: IncomingMessage): void {
    if (!String(req.headers.via ?? '').includes(this.#deps.viaName)) return
    throw new OciError(
      403,
      'DENIED',
      'this request has come through this server already: a registry is configured to live where this server listens',
    )
  }

  #fail({ req, res, note, headers }: Omit<Exchange, 'target' | 'demand'>, error: unknown, route: Route): void {
    if (error instanceof ClientGone) return
    if (res.headersSent) {
      note.cause = upstreamErrorIn(error)?.kind
      this.#deps.log.warn('answer ended short', { url: safeUrl(req.url ?? ''), request: res.requestId, error })
      endShort(req, res)
      return
    }
    const known = toOciError(error, askedOf(route))
    this.#logFailure(req, res.requestId, error, route, known)
    const told = known ?? new OciError(500, 'UNAVAILABLE', 'an unexpected error, noted in the server log')
    note.cache ??= cacheResultOfError(error)
    note.cause = upstreamErrorIn(error)?.kind
    note.why = told.message
    writeError(res, told, [...headers, 'cache-status', told.headers['cache-status'] ?? cacheStatusOfError(error)])
  }

  /** What clients show of an answer is its status, so that the reason has to be here. Of a blob its fill has said it. */
  #logFailure(req: IncomingMessage, request: string, error: unknown, route: Route, known: OciError | undefined): void {
    const { log } = this.#deps
    const asked = { method: req.method, url: safeUrl(req.url ?? ''), request }
    if (known === undefined) log.error('bug: unexpected error', { ...asked, error, bug: true })
    else if (isSystemError(error)) log.error('the store failed', { ...asked, error })
    else if (error instanceof UpstreamError && route.kind !== 'blob') {
      log[TOLD_ALREADY.has(error.kind) ? 'info' : 'warn']('upstream failed', { ...asked, kind: error.kind, error })
    }
  }
}

/** The headers of an answer: those of every answer, what the cache did for it, and `more`. @param status undefined where no content stands behind it */
function headersOf({ headers, note }: Exchange, status: CacheStatus | undefined, ...more: HeaderList): HeaderList {
  note.cache = cacheResultOf(status)
  if (status?.hit === true) note.cause = status.stale
  const warning = status === undefined ? undefined : formatWarning(status)
  const all = [...headers, 'cache-status', formatCacheStatus(status), ...more]
  if (warning !== undefined) all.push('warning', warning)
  return all
}

function blobHeadersOf(exchange: Exchange, digest: Digest, status: CacheStatus): HeaderList {
  const headers = headersOf(exchange, status, 'content-type', 'application/octet-stream', 'docker-content-digest', digest)
  headers.push('etag', etagOf(digest), 'accept-ranges', 'bytes', 'cache-control', IMMUTABLE)
  return headers
}

/** @throws OciError 416 */
function rangeOf(req: IncomingMessage, digest: Digest, size: number, status: CacheStatus): ByteRange | 'whole' {
  const range = ifRangeHolds(req.headers['if-range']?.toString(), digest) ? decideRange(req.headers.range, size) : 'whole'
  if (range !== 'unsatisfiable') return range
  const message = `Range '${req.headers.range}' lies outside the ${size} bytes of ${digest}`
  throw new OciError(416, 'SIZE_INVALID', message, { 'content-range': `bytes */${size}`, 'cache-status': formatCacheStatus(status) })
}

/** One of them: containerd asks for several types at once. */
function hasArtifactType(descriptor: unknown, artifactTypes: readonly string[]): boolean {
  const { artifactType } = (descriptor ?? {}) as { artifactType?: unknown }
  return typeof artifactType === 'string' && artifactTypes.includes(artifactType)
}

function askedOf(route: Route): Asked {
  if (route.kind === 'blob') return 'blob'
  return route.kind === 'tags' ? 'name' : 'manifest'
}
