/** What answers and errors say of the health of whom was asked. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { UpstreamError, type UpstreamErrorKind } from '../../src/upstream/error.ts'
import { type Verdict, verdictOnAbort, verdictOnAnswer, verdictOnError } from '../../src/upstream/verdict.ts'

const NOW = Date.UTC(2026, 0, 1)
const url = new URL('https://registry.example/v2/team/app/manifests/v1?secret')

const answers: [status: number, retryAfter: string | undefined, health: Verdict['health'], pauseMs?: number | undefined][] = [
  [200, undefined, 'well'],
  [206, undefined, 'well'],
  [307, undefined, 'well'],
  [401, undefined, 'unknown'],
  [403, undefined, 'well'],
  [404, '60', 'well'],
  [416, undefined, 'well'],
  [500, undefined, 'failed'],
  [500, '60', 'failed'],
  [502, undefined, 'failed'],
  [503, undefined, 'failed'],
  [503, '0', 'failed'],
  [503, 'soon', 'failed'],
  [503, '60', 'pause', 60_000],
  [429, '60', 'pause', 60_000],
  [429, 'Thu, 01 Jan 2026 00:00:05 GMT', 'pause', 5_000],
  [503, '999999', 'pause', 60_000],
  [429, '999999', 'pause', 3_600_000],
  [429, '0', 'pause', undefined],
  [429, undefined, 'pause', undefined],
]
for (const [status, retryAfter, health, pauseMs] of answers) {
  test(`an answer ${status}${retryAfter === undefined ? '' : ` with Retry-After: ${retryAfter}`}: ${health}`, () => {
    const header = (name: string): string | undefined => (name === 'retry-after' ? retryAfter : undefined)
    const verdict = verdictOnAnswer({ status, header, url }, NOW)
    assert.equal(verdict.health, health)
    if (verdict.health === 'pause') assert.equal(verdict.pauseMs, pauseMs)
    if (verdict.health === 'failed') assert.equal(verdict.isDoubtful, true, 'it answered')
    if ('why' in verdict) assert.equal(verdict.why, `https://registry.example answered ${status}`)
  })
}

const errors: [kind: UpstreamErrorKind, health: Verdict['health'], whenGivenUp: Verdict['health']][] = [
  ['unreachable', 'failed', 'unknown'],
  ['dns', 'failed', 'unknown'],
  ['tls', 'failed', 'unknown'],
  ['failed', 'failed', 'unknown'],
  ['timeout', 'failed', 'failed'],
  ['refusedAddress', 'unknown', 'unknown'],
  ['corrupt', 'unknown', 'unknown'],
  ['denied', 'unknown', 'unknown'],
]
for (const [kind, health, whenGivenUp] of errors) {
  test(`a request that fails with '${kind}': ${health}; one that is given up for that reason: ${whenGivenUp}`, () => {
    const error = new UpstreamError(kind, 'that')
    assert.deepEqual([verdictOnError(error).health, verdictOnAbort(error).health], [health, whenGivenUp])
  })
}

test('a client that left, and what nobody expected, say nothing', () => {
  assert.equal(verdictOnAbort(new DOMException('gone', 'AbortError')).health, 'unknown')
  assert.equal(verdictOnError(new TypeError('a bug')).health, 'unknown')
})
