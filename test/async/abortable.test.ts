import assert from 'node:assert/strict'
import { test } from 'node:test'
import { abortable } from '../../src/async/abortable.ts'

const NEVER = new Promise<never>(() => {})

test('a wait has the result of its work', async () => {
  const { signal } = new AbortController()
  assert.equal(await abortable(Promise.resolve(1), signal), 1)
  await assert.rejects(abortable(Promise.reject(new Error('work')), signal), { message: 'work' })
})

test('a signal ends a wait, with its reason', async () => {
  const abort = new AbortController()
  const wait = abortable(NEVER, abort.signal)
  abort.abort(new Error('enough'))
  await assert.rejects(wait, { message: 'enough' })
  await assert.rejects(abortable(NEVER, abort.signal), { message: 'enough' }, 'also one that came before')
})
