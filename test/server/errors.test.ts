import assert from 'node:assert/strict'
import { test } from 'node:test'
import { OciError } from '../../src/oci/error.ts'
import { type Asked, machineryError, toOciError } from '../../src/server/errors.ts'
import { UpstreamError, type UpstreamErrorKind } from '../../src/upstream/error.ts'

/** The whole table; `notFound` has a code for each thing that is asked for. */
const TABLE: Readonly<Record<UpstreamErrorKind, readonly [status: number, code: string]>> = {
  notFound: [404, 'MANIFEST_UNKNOWN'],
  denied: [403, 'DENIED'],
  refusedAddress: [403, 'DENIED'],
  limited: [503, 'TOOMANYREQUESTS'],
  unreachable: [502, 'UNAVAILABLE'],
  dns: [502, 'UNAVAILABLE'],
  tls: [502, 'UNAVAILABLE'],
  failed: [502, 'UNAVAILABLE'],
  corrupt: [502, 'UNAVAILABLE'],
  timeout: [504, 'UNAVAILABLE'],
  circuitOpen: [503, 'UNAVAILABLE'],
}
const KINDS = Object.keys(TABLE) as UpstreamErrorKind[]
const UNKNOWN: Readonly<Record<Asked, string>> = { manifest: 'MANIFEST_UNKNOWN', blob: 'BLOB_UNKNOWN', name: 'NAME_UNKNOWN' }

for (const kind of KINDS) {
  for (const asked of ['manifest', 'blob', 'name'] as const) {
    const [status, listed] = TABLE[kind]
    const code = kind === 'notFound' ? UNKNOWN[asked] : listed
    test(`upstream error ${kind} for a ${asked}: ${status} ${code}`, () => {
      const error = toOciError(new UpstreamError(kind, 'why'), asked)
      assert(error instanceof OciError)
      assert.deepEqual([error.status, error.code, error.message], [status, code, 'why'])
      // never a 401, never a challenge, never what makes clients hammer
      assert(![401, 408, 429].includes(error.status))
      assert(!('www-authenticate' in error.headers))
      assert.equal('retry-after' in error.headers, status === 503)
    })
  }
}

const waits: [kind: UpstreamErrorKind, retryAfterMs: number | undefined, want: string | undefined][] = [
  ['limited', undefined, '30'],
  ['limited', 0, '0'],
  ['limited', 1, '1'],
  ['limited', 1500, '2'],
  ['limited', 60_000, '60'],
  ['circuitOpen', 4_200, '5'],
  ['circuitOpen', undefined, '30'],
  ['failed', 60_000, undefined], // a Retry-After of a 503 upstream: ours is a 502
  ['timeout', 60_000, undefined],
]
for (const [kind, retryAfterMs, want] of waits) {
  test(`Retry-After of ${kind} with ${retryAfterMs} ms: ${want}`, () => {
    const error = toOciError(new UpstreamError(kind, 'why', retryAfterMs === undefined ? {} : { retryAfterMs }), 'manifest')
    assert.equal(error?.headers['retry-after'], want)
  })
}

test('an OciError is what it says; anything else is a mistake of our own', () => {
  const own = new OciError(416, 'SIZE_INVALID', 'why', { 'content-range': 'bytes */0' })
  assert.equal(toOciError(own, 'blob'), own)
  for (const mistake of [new Error('x'), new TypeError('x'), 'x', undefined, null, { status: 404 }]) {
    assert.equal(toOciError(mistake, 'blob'), undefined)
  }
})

for (const kind of KINDS) {
  test(`referrers and sha256-* tags: ${kind} upstream is 404 and never NAME_UNKNOWN`, () => {
    const error = toOciError(machineryError(new UpstreamError(kind, 'why')), 'manifest')
    assert.deepEqual([error?.status, error?.code, error?.message, error?.headers], [404, 'MANIFEST_UNKNOWN', 'why', {}])
  })
}

test('referrers and sha256-* tags: an unknown name is 404 MANIFEST_UNKNOWN; a malformed one stays 400, a mistake of our own stays one', () => {
  const unknown = toOciError(machineryError(new OciError(404, 'NAME_UNKNOWN', 'why')), 'manifest')
  assert.deepEqual([unknown?.status, unknown?.code], [404, 'MANIFEST_UNKNOWN'])
  const malformed = new OciError(400, 'DIGEST_INVALID', 'why')
  assert.equal(machineryError(malformed), malformed)
  const mistake = new Error('x')
  assert.equal(machineryError(mistake), mistake)
})

test('a disk that is full is told as trouble of this server, to come again later, and not as a bug', () => {
  const full = Object.assign(new Error('ENOSPC: no space left on device, write'), { errno: -28, code: 'ENOSPC', syscall: 'write' })
  const told = toOciError(full, 'blob')
  assert.deepEqual([told?.status, told?.code, told?.headers], [503, 'UNAVAILABLE', { 'retry-after': '30' }])
  assert.match(told?.message ?? '', /no space left/)
})
