import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { withDeadline } from '../../src/async/deadline.ts'
import { ManualClock } from '../support/clock.ts'

const timeoutError = () => new Error('too late')

/** Work that ends when its signal says so, and remembers why. */
function endless(): { run: (signal: AbortSignal) => Promise<never>; reasons: unknown[] } {
  const reasons: unknown[] = []
  const run = (signal: AbortSignal) =>
    new Promise<never>((_, reject) => {
      signal.addEventListener('abort', () => {
        reasons.push(signal.reason)
        reject(signal.reason)
      })
    })
  return { run, reasons }
}

test('Work that ends in time is not disturbed, and its clock is left', async () => {
  const clock = new ManualClock()
  let seen: AbortSignal | undefined
  const result = await withDeadline({ clock, ms: 100, timeoutError }, async (signal) => {
    seen = signal
    return 'done'
  })
  assert.equal(result, 'done')
  assert.equal(clock.sleeping, 0)
  await clock.advance(1000)
  assert.equal(seen?.aborted, false)
})

test('Work that fails in time fails with its own error', async () => {
  const clock = new ManualClock()
  const failing = withDeadline({ clock, ms: 100, timeoutError }, () => Promise.reject(new Error('its own')))
  await assert.rejects(failing, /its own/)
  const throwing = withDeadline({ clock, ms: 100, timeoutError }, () => {
    throw new Error('thrown')
  })
  await assert.rejects(throwing, /thrown/)
  assert.equal(clock.sleeping, 0)
})

test('Work that takes too long is told to stop, with the error that its caller gets', async () => {
  const [clock, work] = [new ManualClock(), endless()]
  const rejection = assert.rejects(withDeadline({ clock, ms: 100, timeoutError }, work.run), /too late/)
  await clock.advance(99)
  assert.equal(work.reasons.length, 0)
  await clock.advance(1)
  await rejection
  assert.deepEqual(work.reasons.map(String), ['Error: too late'])
})

test('A caller is told in time also of work that does not listen', async () => {
  const clock = new ManualClock()
  const rejection = assert.rejects(
    withDeadline({ clock, ms: 100, timeoutError }, () => new Promise(() => {})),
    /too late/,
  )
  await clock.advance(100)
  await rejection
})

test('Work whose caller goes away is told to stop, with the reason of the caller', async () => {
  const [clock, work, caller] = [new ManualClock(), endless(), new AbortController()]
  const rejection = assert.rejects(withDeadline({ clock, ms: 100, signal: caller.signal, timeoutError }, work.run), /client is gone/)
  caller.abort(new Error('the client is gone'))
  await rejection
  assert.deepEqual(work.reasons.map(String), ['Error: the client is gone'])
  assert.equal(clock.sleeping, 0)
})

test('Work whose caller has gone already is not begun', async () => {
  const clock = new ManualClock()
  let begun = false
  const run = async () => {
    begun = true
  }
  const options = { clock, ms: 100, signal: AbortSignal.abort(new Error('the client is gone')), timeoutError }
  await assert.rejects(withDeadline(options, run), /client is gone/)
  assert.equal(begun, false)
  assert.equal(clock.sleeping, 0)
})

test('A caller that goes away after the work has ended disturbs nothing', async () => {
  const [clock, caller] = [new ManualClock(), new AbortController()]
  let seen: AbortSignal | undefined
  await withDeadline({ clock, ms: 100, signal: caller.signal, timeoutError }, async (signal) => {
    seen = signal
  })
  caller.abort(new Error('the client is gone'))
  assert.equal(seen?.aborted, false)
})

test('Work that fails after its deadline harms nobody', async () => {
  const clock = new ManualClock()
  let fail = () => {}
  const run = () =>
    new Promise<never>((_, reject) => {
      fail = () => reject(new Error('nobody hears this'))
    })
  const rejection = assert.rejects(withDeadline({ clock, ms: 100, timeoutError }, run), /too late/)
  await clock.advance(100)
  await rejection
  fail()
  await turn() // an unhandled rejection would end the test now
})
