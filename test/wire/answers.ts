/** What an answer must be, to the last header line: nothing missing, nothing that should not be there. */
import assert from 'node:assert/strict'
import type { Digest } from '../../src/oci/digest.ts'
import type { RawResponse } from '../support/raw-http.ts'

export type Wanted = {
  /** `Cache-Status` behind the name; '' for none. Default: a hit. */
  readonly cache?: string
  /** What `?ns=` said. */
  readonly ns?: string
  readonly warning?: RegExp
  /** The client asked for the connection to be closed. */
  readonly closed?: boolean
  readonly method?: 'GET' | 'HEAD'
}

export const MISS = 'fwd=miss'
export const HIT = 'hit'

/** Every header of an answer but `Date` and `X-Request-ID`, which are always there; a name that came twice is a failure. */
export function headersOf(response: RawResponse): Record<string, string> {
  const names = response.headerLines.map(([name]) => name)
  assert.equal(new Set(names).size, names.length, `headers that came twice: ${names}`)
  const { date, 'x-request-id': id, ...headers } = Object.fromEntries(response.headerLines)
  assert(date !== undefined && !Number.isNaN(Date.parse(date)), 'Date')
  assert.match(id ?? '', /^[\w.:-]{1,128}$/, 'X-Request-ID')
  return headers
}

export function assertHeaders(response: RawResponse, own: Readonly<Record<string, string>>, wanted: Wanted): void {
  const { warning, ...headers } = headersOf(response)
  const { cache = HIT, ns } = wanted
  assert.deepEqual(headers, {
    'docker-distribution-api-version': 'registry/2.0',
    'cache-status': cache === '' ? 'ociregistry' : `ociregistry; ${cache}`,
    ...(ns === undefined ? {} : { 'oci-namespace': ns }),
    ...(wanted.closed ? { connection: 'close' } : { connection: 'keep-alive', 'keep-alive': 'timeout=130' }),
    ...own,
  })
  if (wanted.warning === undefined) assert.equal(warning, undefined)
  else assert.match(warning ?? '', wanted.warning)
}

export type WantedManifest = { readonly digest: Digest; readonly mediaType: string; readonly bytes: Buffer }

export function assertManifest(response: RawResponse, manifest: WantedManifest, wanted: Wanted = {}): void {
  assert.equal(response.status, 200, response.body.toString())
  const { digest, mediaType, bytes } = manifest
  assertHeaders(
    response,
    { 'content-type': mediaType, 'content-length': String(bytes.length), 'docker-content-digest': digest, etag: `"${digest}"` },
    wanted,
  )
  assertBody(response, bytes, wanted)
}

export type WantedBlob = {
  readonly digest: Digest
  readonly bytes: Buffer
  /** First and last byte of a 206. */
  readonly part?: readonly [first: number, last: number]
}

export function assertBlob(response: RawResponse, { digest, bytes, part }: WantedBlob, wanted: Wanted = {}): void {
  assert.equal(response.status, part === undefined ? 200 : 206, response.body.subarray(0, 300).toString('latin1'))
  const body = part === undefined ? bytes : bytes.subarray(part[0], part[1] + 1)
  assertHeaders(
    response,
    {
      'content-type': 'application/octet-stream',
      'content-length': String(body.length),
      'docker-content-digest': digest,
      etag: `"${digest}"`,
      'accept-ranges': 'bytes',
      'cache-control': 'max-age=31536000, immutable',
      ...(part === undefined ? {} : { 'content-range': `bytes ${part[0]}-${part[1]}/${bytes.length}` }),
    },
    wanted,
  )
  assertBody(response, body, wanted)
}

/** @param more headers besides those that every error has */
export function assertError(
  response: RawResponse,
  status: number,
  code: string,
  wanted: Wanted & { readonly more?: Readonly<Record<string, string>> } = {},
): void {
  assert.equal(response.status, status, response.body.toString())
  const { 'cache-status': cacheStatus = '', ...headers } = headersOf(response)
  assert.match(cacheStatus, /^ociregistry(; |$)/)
  if (wanted.cache !== undefined) assert.equal(cacheStatus, `ociregistry; ${wanted.cache}`)
  assert.deepEqual(headers, {
    'docker-distribution-api-version': 'registry/2.0',
    'content-type': 'application/json',
    'content-length': wanted.method === 'HEAD' ? headers['content-length'] : String(response.body.length),
    ...(wanted.ns === undefined ? {} : { 'oci-namespace': wanted.ns }),
    ...(wanted.closed ? { connection: 'close' } : { connection: 'keep-alive', 'keep-alive': 'timeout=130' }),
    ...wanted.more,
  })
  if (wanted.method === 'HEAD') {
    assert.equal(response.body.length, 0)
    return
  }
  const { errors, ...rest } = response.json() as { errors: { code: string; message: string }[] }
  assert.deepEqual(rest, {})
  assert.equal(errors.length, 1)
  assert.deepEqual(Object.keys(errors[0] ?? {}).sort(), ['code', 'message'])
  assert.equal(errors[0]?.code, code)
  assert((errors[0]?.message.length ?? 0) > 10, 'a sentence for people')
}

function assertBody(response: RawResponse, bytes: Buffer, { method = 'GET' }: Wanted): void {
  if (method === 'HEAD') {
    assert.equal(response.body.length, 0)
    return
  }
  assert.equal(response.complete, true)
  assert(response.body.equals(bytes), `${response.body.length} bytes that are not the ${bytes.length} wanted`)
}
