/** The two bounds on waiting: a deadline for an answer, a watch over a body. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { withDeadline } from '../../src/async/deadline.ts'
import { StallWatch } from '../../src/upstream/stall.ts'
import { ManualClock } from '../support/clock.ts'

const timeoutError = (): Error => new Error('too late')

/** Never resolves by itself; rejects with its signal. */
function untilAborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
}

test('withDeadline gives the result, and leaves no sleeper behind', async () => {
  const clock = new ManualClock()
  assert.equal(await withDeadline({ clock, ms: 100, timeoutError }, async () => 'done'), 'done')
  assert.equal(clock.sleeping, 0)
})

test('withDeadline rejects in time and aborts what it bounds, even if that does not listen', async () => {
  const clock = new ManualClock()
  let inner: AbortSignal | undefined
  const late = withDeadline({ clock, ms: 100, timeoutError }, (signal) => {
    inner = signal
    return new Promise<never>(() => {})
  })
  const rejected = assert.rejects(late, /too late/)
  await clock.advance(99)
  assert.equal(inner?.aborted, false)
  await clock.advance(1)
  await rejected
  assert.equal(inner?.aborted, true)
})

test("withDeadline rejects with the caller's own reason", async () => {
  const clock = new ManualClock()
  const caller = new AbortController()
  const gone = withDeadline({ clock, ms: 100, signal: caller.signal, timeoutError }, untilAborted)
  const reason = new Error('client left')
  caller.abort(reason)
  await assert.rejects(gone, (error) => error === reason)
  assert.equal(clock.sleeping, 0)
})

test('withDeadline does not begin for a caller who left already', async () => {
  const begun = withDeadline({ clock: new ManualClock(), ms: 1, signal: AbortSignal.abort('left'), timeoutError }, async () =>
    assert.fail(),
  )
  await assert.rejects(begun, (error) => error === 'left')
})

test('withDeadline does not abort after success: the signal may guard a body by then', async () => {
  const clock = new ManualClock()
  const caller = new AbortController()
  const signal = await withDeadline({ clock, ms: 100, signal: caller.signal, timeoutError }, async (bounded) => bounded)
  caller.abort()
  await clock.advance(200)
  assert.equal(signal.aborted, false)
})

function watch(): { clock: ManualClock; stalls: () => number; watch: StallWatch } {
  const clock = new ManualClock()
  let stalls = 0
  return { clock, stalls: () => stalls, watch: new StallWatch(clock, 100, () => stalls++) }
}

test('a StallWatch calls once, a full span after the last touch', async () => {
  const { clock, stalls, watch: watched } = watch()
  await clock.advance(60)
  watched.touch()
  await clock.advance(99)
  assert.equal(stalls(), 0)
  await clock.advance(1)
  assert.equal(stalls(), 1)
  await clock.advance(500)
  assert.deepEqual([stalls(), clock.sleeping], [1, 0])
})

test('a StallWatch does not blame the sender while the reader pauses', async () => {
  const { clock, stalls, watch: watched } = watch()
  watched.pause()
  await clock.advance(500)
  watched.resume()
  await clock.advance(99)
  assert.equal(stalls(), 0)
  await clock.advance(101)
  assert.equal(stalls(), 1)
})

test('a stopped StallWatch never calls', async () => {
  const { clock, stalls, watch: watched } = watch()
  watched.stop()
  await clock.advance(1_000)
  assert.deepEqual([stalls(), clock.sleeping], [0, 0])
})
