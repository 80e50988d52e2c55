import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Pace } from '../../src/cache/pace.ts'
import { ManualClock } from '../support/clock.ts'
import { isSettled, later, MIB, turns } from './support.ts'

test('Reading waits until what was read has been paid for', async () => {
  const clock = new ManualClock()
  const pace = new Pace(clock, 20 * MIB)
  const paid = later(pace.spend(MIB))
  await clock.advance(49)
  assert.equal(await isSettled(paid), false)
  await clock.advance(1)
  await paid
})

test('So many bytes take the time that the rate gives them, however they are cut', async () => {
  const clock = new ManualClock()
  const pace = new Pace(clock, MIB)
  const reading = later(
    (async () => {
      for (let i = 0; i < 1024; i++) await pace.spend(1024)
      await pace.spend(MIB)
    })(),
  )
  await turns(1)
  await clock.advance(1_990)
  assert.equal(await isSettled(reading), false)
  await clock.advance(11) // the last few ms are a matter of rounding
  await reading
})

test('Time in which nothing was read is no credit', async () => {
  const clock = new ManualClock()
  const pace = new Pace(clock, MIB)
  await clock.advance(3_600_000)
  const paid = later(pace.spend(MIB))
  await clock.advance(999)
  assert.equal(await isSettled(paid), false)
  await clock.advance(1)
  await paid
})

test('Without a rate nothing waits', async () => {
  await new Pace(new ManualClock(), undefined).spend(1024 * MIB)
})

test('A stop ends the wait at once', async () => {
  const clock = new ManualClock()
  const stop = new AbortController()
  const waiting = later(new Pace(clock, 1).spend(MIB, stop.signal))
  stop.abort(new Error('the server stops'))
  await assert.rejects(waiting, /the server stops/)
  assert.equal(clock.sleeping, 0)
  await assert.rejects(new Pace(clock, undefined).spend(1, stop.signal), /the server stops/)
})
