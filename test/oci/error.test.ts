import assert from 'node:assert/strict'
import { test } from 'node:test'
import { OciError } from '../../src/oci/error.ts'

test('An OciError carries status, code, message, headers and cause', () => {
  const cause = new Error('socket hang up')
  const error = new OciError(503, 'TOOMANYREQUESTS', 'quay.io asks for patience', { 'retry-after': '7' }, { cause })
  assert.ok(error instanceof Error)
  const { name, status, code, message, headers } = error
  assert.deepEqual(
    { name, status, code, message, headers },
    {
      name: 'OciError',
      status: 503,
      code: 'TOOMANYREQUESTS',
      message: 'quay.io asks for patience',
      headers: { 'retry-after': '7' },
    },
  )
  assert.equal(error.cause, cause)
})

test('An OciError without more to say has no headers and no cause', () => {
  const error = new OciError(404, 'BLOB_UNKNOWN', 'no such blob')
  assert.deepEqual(error.headers, {})
  assert.equal('cause' in error, false)
})

test('An OciError prints as what it is and keeps its stack', () => {
  const error = new OciError(400, 'NAME_INVALID', 'bad name')
  assert.equal(String(error), 'OciError: bad name')
  assert.match(error.stack ?? '', /error\.test/)
})
