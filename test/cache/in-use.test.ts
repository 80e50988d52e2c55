import assert from 'node:assert/strict'
import { test } from 'node:test'
import { InUse } from '../../src/cache/in-use.ts'
import type { ReadableBlob } from '../../src/store/store.ts'
import { ManualClock } from '../support/clock.ts'
import { d } from './sketch.ts'

const KEPT_MS = 1000

test('What was served is in use for as long as it was said, and no longer than twice that', async () => {
  const clock = new ManualClock()
  const inUse = new InUse(clock, KEPT_MS)
  await clock.advance(900)
  inUse.touch(d('a'))
  assert.deepEqual([inUse.has(d('a')), inUse.has(d('b'))], [true, false])
  await clock.advance(KEPT_MS)
  assert.equal(inUse.has(d('a')), true)
  await clock.advance(KEPT_MS)
  assert.equal(inUse.has(d('a')), false)
})

test('After a long silence nothing is in use', async () => {
  const clock = new ManualClock()
  const inUse = new InUse(clock, KEPT_MS)
  inUse.touch(d('a'))
  await clock.advance(100 * KEPT_MS)
  assert.equal(inUse.has(d('a')), false)
})

test('What somebody reads is in use until the last one has closed it, and a while longer', async () => {
  const clock = new ManualClock()
  const inUse = new InUse(clock, KEPT_MS)
  let closed = 0
  const blob: ReadableBlob = {
    sizeBytes: 3,
    async *read(start, end) {
      yield Buffer.from('abc').subarray(start, end)
    },
    close: () => {
      closed++
    },
  }
  const [one, other] = [inUse.lend(d('a'), blob), inUse.lend(d('a'), blob)]
  for await (const chunk of one.read(1, 3, { take: () => Buffer.alloc(1), takeAhead: () => undefined, give: () => {} }))
    assert.equal(String(chunk), 'bc')
  assert.equal(one.sizeBytes, 3)
  await clock.advance(100 * KEPT_MS)
  one.close()
  await clock.advance(100 * KEPT_MS)
  assert.equal(inUse.has(d('a')), true)
  other.close()
  await clock.advance(KEPT_MS / 2)
  assert.deepEqual([inUse.has(d('a')), closed], [true, 2])
  await clock.advance(3 * KEPT_MS)
  assert.equal(inUse.has(d('a')), false)
})
