import assert from 'node:assert/strict'
import { test } from 'node:test'
import { answeredRequest, type FinishedRequest, type Note, requestFields, requestMessage } from '../../src/server/request-line.ts'

const REQUEST: FinishedRequest = {
  id: 'id-1',
  method: 'GET',
  url: '/v2/app/manifests/1?ns=quay.io&token=secret',
  note: {},
  client: '10.0.0.1',
  status: 200,
  bytes: 12,
  firstMs: 1.23,
  totalMs: 45.67,
  isWhole: true,
}
const source = { registry: 'quay.io', repository: 'app' }

const messages: [note: Note, want: string][] = [
  [{}, 'GET /v2/app/manifests/1?ns=quay.io&token=…'],
  [{ source }, 'GET /v2/app/manifests/1?ns=quay.io&token=…'],
  [{ source, target: '1' }, 'GET quay.io/app:1'],
  [{ source, target: 'sha256:00' }, 'GET quay.io/app@sha256:00'],
  [{ source, target: 'x'.repeat(128) }, `GET quay.io/app:${'x'.repeat(128)}`],
  [{ source, target: `sha512:${'0'.repeat(128)}` }, `GET quay.io/app@sha512:${'0'.repeat(128)}`],
]
for (const [note, want] of messages) test(`A request is told as ${want}`, () => assert.equal(requestMessage({ ...REQUEST, note }), want))

const noTargets = ['', '1 status=200', '1\tclient=10.9.9.9', '1\n', '1=2', '"1"', '1\u00a0x=y', '1\u2028', 'x'.repeat(257)]
for (const target of noTargets) {
  test(`A request for ${JSON.stringify(target)} is told by its URL`, () => {
    assert.equal(requestMessage({ ...REQUEST, note: { source, target } }), 'GET /v2/app/manifests/1?ns=quay.io&token=…')
  })
}

test('The line of a request has status, bytes, times, what the cache did, who asked and which request it was', () => {
  assert.deepEqual(requestFields({ ...REQUEST, note: { route: 'manifest', cache: 'hit' } }), {
    route: 'manifest',
    status: 200,
    bytes: 12,
    firstMs: 1.2,
    ms: 45.7,
    cache: 'hit',
    client: '10.0.0.1',
    cause: undefined,
    why: undefined,
    ended: undefined,
    request: 'id-1',
  })
})

test('The line of a request that failed says what the upstream failed with', () => {
  const note: Note = { route: 'blob', cache: 'miss', cause: 'dns', why: 'quay.io has no address' }
  const { cause, why, ended } = requestFields({ ...REQUEST, note, status: 502, isWhole: false })
  assert.deepEqual([cause, why, ended], ['dns', 'quay.io has no address', 'short'])
})

test('A request that nothing is known of is counted as other', () => {
  assert.deepEqual(answeredRequest(REQUEST), {
    route: 'other',
    method: 'GET',
    status: 200,
    cache: 'none',
    registry: undefined,
    bytes: 12,
    firstMs: 1.23,
    totalMs: 45.67,
  })
})
