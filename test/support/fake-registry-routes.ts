/** What a well-behaved registry answers: path and content in, a reply out. Faults come afterwards. */
import { decideRange } from '../../src/oci/range.ts'
import type { ByteSource } from './fake-registry-bytes.ts'
import type { FakeContent } from './fake-registry-content.ts'
import type { SeenRequest, Target } from './fake-registry-ledger.ts'
import { errorReply, jsonReply, type Reply, reply } from './fake-registry-reply.ts'

const RESOURCE = /^\/v2\/(.+)\/(manifests|blobs|referrers|tags)\/([^/]+)$/
const CDN = /^\/cdn\/(manifest|blob)s\/(.+)\/([^/]+)$/
const KINDS = { manifests: 'manifest', blobs: 'blob', referrers: 'referrers', tags: 'tags' } as const

export function targetOf(path: string, tokenPath: string): Target {
  if (path === '/v2/' || path === '/v2') return { kind: 'ping' }
  if (path === tokenPath) return { kind: 'token' }
  const cdn = CDN.exec(path)
  if (cdn !== null) return { kind: cdn[1] as 'manifest' | 'blob', repository: cdn[2] as string, reference: cdn[3] as string }
  const resource = RESOURCE.exec(path)
  if (resource === null) return { kind: 'other' }
  return { kind: KINDS[resource[2] as keyof typeof KINDS], repository: resource[1] as string, reference: resource[3] as string }
}

export type RouteOptions = { readonly referrers: boolean; readonly pageSize: number }

export function answer(request: SeenRequest, content: FakeContent, options: RouteOptions): Reply {
  if (request.method !== 'GET' && request.method !== 'HEAD') return errorReply(405, 'UNSUPPORTED', 'read only', { allow: 'GET, HEAD' })
  const { repository = '', reference = '' } = request
  switch (request.kind) {
    case 'ping':
      return jsonReply(200, {}, { 'docker-distribution-api-version': 'registry/2.0' })
    case 'manifest':
      return manifestReply(content, repository, reference)
    case 'blob':
      return blobReply(content.blob(repository, reference), reference, request.headers.range)
    case 'tags':
      return tagsReply(content.tags(repository), request, options.pageSize)
    case 'referrers':
      return options.referrers ? referrersReply(content, request, options.pageSize) : errorReply(404, 'NOT_FOUND', 'no such API')
    default:
      return errorReply(404, 'NOT_FOUND')
  }
}

function manifestReply(content: FakeContent, repository: string, reference: string): Reply {
  const manifest = content.manifest(repository, reference)
  if (manifest === undefined) return errorReply(404, 'MANIFEST_UNKNOWN', 'manifest unknown')
  return reply(200, { 'content-type': manifest.mediaType, 'docker-content-digest': manifest.digest }, manifest.bytes)
}

function blobReply(source: ByteSource | undefined, digest: string, range: string | undefined): Reply {
  if (source === undefined) return errorReply(404, 'BLOB_UNKNOWN', 'blob unknown')
  const headers = { 'content-type': 'application/octet-stream', 'docker-content-digest': digest, 'accept-ranges': 'bytes' }
  const total = source.sizeBytes
  if (total === 0 && range !== undefined) return reply(416, { 'content-range': 'bytes */0' })
  const part = decideRange(range, total)
  if (part === 'whole') return reply(200, headers, source)
  if (part === 'unsatisfiable') return reply(416, { 'content-range': `bytes */${total}` })
  const { start, end } = part
  const slice = { sizeBytes: end + 1 - start, read: (from: number, to: number) => source.read(start + from, start + to) }
  return reply(206, { ...headers, 'content-range': `bytes ${start}-${end}/${total}` }, slice)
}

function tagsReply(tags: string[] | undefined, request: SeenRequest, pageSize: number): Reply {
  if (tags === undefined) return errorReply(404, 'NAME_UNKNOWN', 'repository name not known')
  const last = request.query.get('last') ?? ''
  const n = Number(request.query.get('n') ?? pageSize)
  const rest = tags.filter((tag) => tag > last)
  const page = rest.slice(0, n)
  const next = rest.length > n ? { link: `<${request.path}?n=${n}&last=${page.at(-1)}>; rel="next"` } : {}
  return jsonReply(200, { name: request.repository, tags: page }, next)
}

function referrersReply(content: FakeContent, request: SeenRequest, pageSize: number): Reply {
  const { repository = '', reference = '' } = request
  const start = Number(request.query.get('start') ?? 0)
  const all = content.referrers(repository, reference)
  const manifests = all.slice(start, start + pageSize)
  const next = all.length > start + pageSize ? { link: `<${request.path}?start=${start + pageSize}>; rel="next"` } : {}
  const type = { 'content-type': 'application/vnd.oci.image.index.v1+json' }
  return jsonReply(200, { schemaVersion: 2, mediaType: type['content-type'], manifests }, { ...type, ...next })
}
