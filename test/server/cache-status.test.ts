import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { CacheStatus } from '../../src/cache/answer.ts'
import { RememberedError } from '../../src/cache/negative.ts'
import { OciError } from '../../src/oci/error.ts'
import { cacheStatusOfError, formatCacheStatus, formatWarning } from '../../src/server/cache-status.ts'
import { UpstreamError, type UpstreamErrorKind } from '../../src/upstream/error.ts'

const statuses: [status: CacheStatus | undefined, want: string][] = [
  [undefined, 'ociregistry'],
  [{ hit: true }, 'ociregistry; hit'],
  [{ hit: false, collapsed: false }, 'ociregistry; fwd=miss'],
  [{ hit: false, collapsed: true }, 'ociregistry; fwd=miss; collapsed'],
  [{ hit: true, stale: 'timeout' }, 'ociregistry; hit; detail=stale-timeout'],
  [{ hit: true, stale: 'circuitOpen' }, 'ociregistry; hit; detail=stale-circuit-open'],
]
for (const [status, want] of statuses) {
  test(`Cache-Status of ${JSON.stringify(status)}`, () => assert.equal(formatCacheStatus(status), want))
}

const errors: [error: unknown, want: string][] = [
  [new UpstreamError('notFound', 'x'), 'ociregistry; fwd=miss; detail=not-found'],
  [new UpstreamError('refusedAddress', 'x'), 'ociregistry; fwd=miss; detail=refused-address'],
  [new UpstreamError('dns', 'x'), 'ociregistry; fwd=miss; detail=dns'],
  [new RememberedError(new UpstreamError('notFound', 'x')), 'ociregistry; hit; detail=not-found'],
  [new OciError(404, 'MANIFEST_UNKNOWN', 'x', {}, { cause: new UpstreamError('failed', 'x') }), 'ociregistry; fwd=miss; detail=failed'],
  [new OciError(405, 'UNSUPPORTED', 'x'), 'ociregistry'],
  [new Error('a mistake of our own'), 'ociregistry'],
  ['thrown', 'ociregistry'],
]
for (const [error, want] of errors) test(`Cache-Status of error ${error}`, () => assert.equal(cacheStatusOfError(error), want))

const KINDS: Record<UpstreamErrorKind, true> = {
  notFound: true,
  denied: true,
  limited: true,
  unreachable: true,
  dns: true,
  tls: true,
  failed: true,
  corrupt: true,
  timeout: true,
  circuitOpen: true,
  refusedAddress: true,
}

/** `sf-token` of RFC 8941: what a detail must be to need no quotes. */
const TOKEN = /^[A-Za-z*][A-Za-z0-9:/!#$%&'*+\-.^_`|~]*$/

for (const kind of Object.keys(KINDS) as UpstreamErrorKind[]) {
  test(`a copy that is stale for ${kind} is a hit with a detail, and a Warning that clients accept`, () => {
    const status: CacheStatus = { hit: true, stale: kind }
    const [, detail = ''] = formatCacheStatus(status).split('; detail=')
    assert.match(detail, TOKEN)
    const warning = formatWarning(status) ?? ''
    assert.match(warning, /^299 - "[\x20\x21\x23-\x5b\x5d-\x7e]+"$/) // distribution-spec, "Warnings": no date, one quoted text
    assert(warning.length <= 4096)
  })
}

test('a Warning is said of stale copies only', () => {
  assert.equal(formatWarning({ hit: true }), undefined)
  assert.equal(formatWarning({ hit: false, collapsed: true }), undefined)
})
