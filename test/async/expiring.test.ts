import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Expiring } from '../../src/async/expiring.ts'
import { ManualClock } from '../support/clock.ts'

test('A value is there until its time is over', async () => {
  const clock = new ManualClock()
  const kept = new Expiring<string, number>(clock, 10)
  kept.set('a', 1, 1000)
  kept.set('b', 2, 2000)
  await clock.advance(999)
  assert.deepEqual([kept.get('a'), kept.get('b'), kept.get('c')], [1, 2, undefined])
  await clock.advance(1)
  assert.deepEqual([kept.get('a'), kept.get('b')], [undefined, 2])
})

test('A value that is set again has its time anew', async () => {
  const clock = new ManualClock()
  const kept = new Expiring<string, number>(clock, 10)
  kept.set('a', 1, 1000)
  await clock.advance(900)
  kept.set('a', 2, 1000)
  await clock.advance(900)
  assert.equal(kept.get('a'), 2)
  kept.delete('a')
  assert.equal(kept.get('a'), undefined)
})

test('Of too many values those unused for longest go', () => {
  const kept = new Expiring<number, number>(new ManualClock(), 3)
  for (let i = 1; i <= 3; i++) kept.set(i, i, 1000)
  kept.get(1)
  kept.set(4, 4, 1000)
  assert.deepEqual(
    [1, 2, 3, 4].map((key) => kept.get(key)),
    [1, undefined, 3, 4],
  )
})
