/** The pull API: reads requests, asks the cache, writes answers. Which registry, which status and how bytes go out is decided by the modules beside it. */
import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http'
import type { CacheStatus, Demand } from '../cache/answer.ts'
import type { Cache } from '../cache/cache.ts'
import type { Source } from '../cache/sources.ts'
import type { Log } from '../observe/log.ts'
import { etagOf, ifRangeHolds, noneMatchHits } from '../oci/conditional.ts'
import { type Digest, parseDigest } from '../oci/digest.ts'
import { OciError } from '../oci/error.ts'
import { OCI_INDEX } from '../oci/media-type.ts'
import { isMachineryTag } from '../oci/name.ts'
import { decideRange } from '../oci/range.ts'
import { makeReference } from '../oci/reference.ts'
import { UpstreamError } from '../upstream/error.ts'
import type { BufferPool } from './buffers.ts'
import { cacheStatusOfError, formatCacheStatus, formatWarning } from './cache-status.ts'
import { type Asked, isStorageError, machineryError, toOciError } from './errors.ts'
import { nextPageLink, pageOf } from './paging.ts'
import { parseTarget, type RequestTarget } from './request-target.ts'
import { endShort, writeBody, writeError } from './respond.ts'
import { findRoute, type NamedRoute, type Route } from './route.ts'
import { ClientGone, sendBlob } from './send.ts'
import { type RegistryNames, whichRegistry } from './which-registry.ts'

export type PullApiDeps = {
  readonly cache: Cache
  readonly names: RegistryNames
  /** Whether `host[:port]` is this very server; the second argument is the request's `Host`. */
  readonly isSelf: (host: string, hostHeader: string | undefined) => boolean
  /** Our entry in `Via`, without the protocol version. */
  readonly viaName: string
  readonly buffers: BufferPool
  readonly log: Log
}

type Exchange = {
  readonly req: IncomingMessage
  readonly res: ServerResponse
  readonly target: RequestTarget
  readonly demand: Demand
}

/** A body of exact bytes for a year: content by digest never changes. */
const IMMUTABLE = 'max-age=31536000, immutable'

export class PullApi {
  readonly #deps: PullApiDeps

  constructor(deps: PullApiDeps) {
    this.#deps = deps
  }

  /** Answers one request, whatever happens. Never rejects. */
  async handle(req: IncomingMessage, res: ServerResponse): Promise<void> {
    res.setHeader('via', `1.1 ${this.#deps.viaName}`)
    let route: Route = { kind: 'unknown', underV2: false }
    try {
      const target = parseTarget(req.url ?? '/')
      route = findRoute(target.segments)
      const onlyIfCached = /\bonly-if-cached\b/i.test(req.headers['cache-control'] ?? '')
      await this.#answer(route, { req, res, target, demand: { onlyIfCached } })
    } catch (error) {
      this.#fail(req, res, error, route)
    }
  }

  async #answer(route: Route, exchange: Exchange): Promise<void> {
    const { req, res } = exchange
    if (route.kind === 'root')
      return writeBody(res, 200, { 'content-type': 'application/json', 'cache-status': formatCacheStatus(undefined) }, '{}')
    res.setHeader('docker-distribution-api-version', 'registry/2.0')
    this.#refuseWrites(req, route)
    this.#refuseLoops(req)
    switch (route.kind) {
      case 'unknown':
        throw new OciError(404, 'UNSUPPORTED', `there is nothing at ${exchange.target.rawPath.slice(0, 200)}`)
      case 'ping':
        return writeBody(res, 200, { 'content-type': 'application/json', 'cache-status': formatCacheStatus(undefined) }, '{}')
      case 'manifest':
        return this.#manifest(route.reference, this.#source(route, exchange), exchange)
      case 'blob':
        return this.#blob(route.reference, this.#source(route, exchange), exchange)
      case 'tags':
        return this.#tags(this.#source(route, exchange), exchange)
      case 'referrers':
        return this.#referrers(route, exchange)
    }
  }

  async #manifest(target: string, source: Source, { req, res, demand }: Exchange): Promise<void> {
    const reference = makeReference(source.registry, source.repository, target)
    const isGet = req.method === 'GET'
    const machinery = reference.tag !== undefined && isMachineryTag(reference.tag)
    const answer = await this.#deps.cache.manifests.get(reference, demand, isGet).catch((error: unknown) => {
      throw machinery ? machineryError(error) : error
    })
    const { entry, status, bytes } = answer
    const headers = {
      'content-type': entry.mediaType,
      'docker-content-digest': entry.digest,
      etag: etagOf(entry.digest),
      ...statusHeaders(status),
    }
    if (isGet) this.#deps.cache.prefetch?.complete(entry, source)
    if (noneMatchHits(req.headers['if-none-match'], entry.digest)) res.writeHead(304, headers).end()
    else if (bytes === undefined) res.writeHead(200, { ...headers, 'content-length': entry.sizeBytes }).end()
    else writeBody(res, 200, headers, bytes)
  }

  async #blob(target: string, source: Source, exchange: Exchange): Promise<void> {
    const digest = parseDigest(target)
    const { req, res, demand } = exchange
    const headers = {
      'content-type': 'application/octet-stream',
      'docker-content-digest': digest,
      etag: etagOf(digest),
      'accept-ranges': 'bytes',
      'cache-control': IMMUTABLE,
    }
    if (req.method === 'GET') return this.#sendBlob(digest, source, exchange, headers)
    const { sizeBytes, status } = await this.#deps.cache.blobs.size(digest, source, demand)
    if (noneMatchHits(req.headers['if-none-match'], digest)) res.writeHead(304, { ...headers, ...statusHeaders(status) }).end()
    else res.writeHead(200, { ...headers, ...statusHeaders(status), 'content-length': sizeBytes }).end()
  }

  async #sendBlob(digest: Digest, source: Source, { req, res, demand }: Exchange, blobHeaders: OutgoingHttpHeaders): Promise<void> {
    const { blob, status } = await this.#deps.cache.blobs.open(digest, source, demand)
    try {
      const size = blob.sizeBytes
      const headers = { ...blobHeaders, ...statusHeaders(status) }
      if (noneMatchHits(req.headers['if-none-match'], digest)) {
        res.writeHead(304, headers).end()
        return
      }
      const range = ifRangeHolds(req.headers['if-range']?.toString(), digest) ? decideRange(req.headers.range, size) : 'whole'
      if (range === 'unsatisfiable') {
        const message = `Range '${req.headers.range}' lies outside the ${size} bytes of ${digest}`
        throw new OciError(416, 'SIZE_INVALID', message, { 'content-range': `bytes */${size}`, 'cache-status': formatCacheStatus(status) })
      }
      if (range === 'whole') res.writeHead(200, { ...headers, 'content-length': size })
      else {
        const { start, end } = range
        res.writeHead(206, { ...headers, 'content-length': end - start + 1, 'content-range': `bytes ${start}-${end}/${size}` })
      }
      res.flushHeaders() // a range far ahead of a fill waits for its bytes, but not for its headers
      await sendBlob(res, blob, range === 'whole' ? { start: 0, end: size - 1 } : range, this.#deps.buffers)
    } finally {
      blob.close()
    }
  }

  async #tags({ registry, repository }: Source, { res, target, demand }: Exchange): Promise<void> {
    const { tags, status } = await this.#deps.cache.lists.tags(registry, repository, demand)
    const page = pageOf(tags, target.query.get('n'), target.query.get('last'))
    const last = page.tags.at(-1)
    const link = page.more && last !== undefined ? { link: nextPageLink(target.rawPath, target.query, last) } : {}
    const body = JSON.stringify({ name: repository, tags: page.tags })
    writeBody(res, 200, { 'content-type': 'application/json', ...link, ...statusHeaders(status) }, body)
  }

  async #referrers(route: NamedRoute & { reference: string }, exchange: Exchange): Promise<void> {
    const subject = parseDigest(route.reference)
    const { res, target, demand } = exchange
    try {
      const { registry, repository } = this.#source(route, exchange)
      const { descriptors, status } = await this.#deps.cache.lists.referrers(registry, repository, subject, demand)
      const artifactTypes = target.query.getAll('artifactType').filter((artifactType) => artifactType !== '')
      const filtered = artifactTypes.length > 0
      const manifests = filtered ? descriptors.filter((descriptor) => hasArtifactType(descriptor, artifactTypes)) : descriptors
      const body = JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests })
      const applied = filtered ? { 'oci-filters-applied': 'artifactType' } : {}
      writeBody(res, 200, { 'content-type': OCI_INDEX, ...applied, ...statusHeaders(status) }, body)
    } catch (error) {
      throw machineryError(error)
    }
  }

  /** The registry and repository that a request names; says so in `OCI-Namespace` where `ns` was used (distribution-spec, "Registry Proxying"). */
  #source(route: NamedRoute, { req, res, target }: Exchange): Source {
    const given = target.query.get('ns') ?? ''
    const ns = given === '' || this.#namesThisServer(given, req) ? undefined : given
    const header = req.headers['x-registry']
    const source = whichRegistry(
      { ns, prefix: route.prefix, name: route.name, header: typeof header === 'string' && header !== '' ? header : undefined },
      this.#deps.names,
    )
    if (ns !== undefined) res.setHeader('oci-namespace', ns)
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

  #fail(req: IncomingMessage, res: ServerResponse, error: unknown, route: Route): void {
    if (error instanceof ClientGone) return
    if (res.headersSent) {
      this.#deps.log.warn('answer ended short', { url: req.url, error })
      endShort(req, res)
      return
    }
    res.setHeader('cache-status', cacheStatusOfError(error))
    const known = toOciError(error, askedOf(route))
    this.#logFailure(req, error, route, known)
    writeError(res, known ?? new OciError(500, 'UNAVAILABLE', 'an unexpected error, noted in the server log'))
  }

  /** What clients show of an answer is its status, so that the reason has to be here. Of a blob its fill has said it. */
  #logFailure({ method, url }: IncomingMessage, error: unknown, route: Route, known: OciError | undefined): void {
    const { log } = this.#deps
    if (known === undefined) log.error('bug: unexpected error', { method, url, error, bug: true })
    else if (isStorageError(error)) log.error('the store failed', { method, url, error })
    else if (error instanceof UpstreamError && route.kind !== 'blob') {
      log[error.kind === 'notFound' ? 'info' : 'warn']('upstream failed', { method, url, kind: error.kind, error })
    }
  }
}

function statusHeaders(status: CacheStatus): OutgoingHttpHeaders {
  const warning = formatWarning(status)
  return warning === undefined ? { 'cache-status': formatCacheStatus(status) } : { 'cache-status': formatCacheStatus(status), warning }
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
