/** Bodies that are read whole: within their bounds, or not at all. */
import assert from 'node:assert/strict'
import { PassThrough } from 'node:stream'
import { test } from 'node:test'
import { type Answer, discard, readAll } from '../../src/upstream/answer.ts'
import { ManualClock } from '../support/clock.ts'

type Setup = { readonly clock: ManualClock; readonly body: PassThrough; readonly answer: Answer; readonly trickle: () => Promise<void> }

function setUp(): Setup {
  const clock = new ManualClock()
  const body = new PassThrough()
  const answer: Answer = { url: new URL('https://registry.example/'), status: 200, header: () => undefined, body }
  const trickle = async (): Promise<void> => {
    for (let seconds = 0; seconds < 30; seconds += 5) {
      body.write(' ')
      await new Promise((resolve) => setImmediate(resolve))
      await clock.advance(5_000)
    }
  }
  return { clock, body, answer, trickle }
}

test('a body that trickles is given up when its time is over', async () => {
  const { clock, body, answer, trickle } = setUp()
  const message = 'the answer was not complete within 30000 ms'
  const read = assert.rejects(readAll(answer, { maxBytes: 100, idleMs: 10_000, totalMs: 30_000, clock }), { kind: 'timeout', message })
  await trickle()
  await read
  assert.deepEqual([body.destroyed, clock.sleeping], [true, 0])
})

test('a body that is complete in time is read, and leaves no timer behind', async () => {
  const { clock, body, answer } = setUp()
  const read = readAll(answer, { maxBytes: 100, idleMs: 10_000, totalMs: 30_000, clock })
  body.end('all')
  assert.equal(String(await read), 'all')
  assert.equal(clock.sleeping, 0)
})

test('a body that nobody needs, and that trickles, lets go of its connection', async () => {
  const { clock, body, answer, trickle } = setUp()
  const gone = discard(answer, { idleMs: 10_000, clock })
  await trickle()
  await gone
  assert.deepEqual([body.destroyed, clock.sleeping], [true, 0])
})
