/** How often a broken download is continued, and after what pauses. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Tries } from '../../src/cache/tries.ts'

const MIB = 1024 * 1024
const waitsMs = [250, 500, 1_000, 2_000, 4_000]
const tries = (random = 0.5) => new Tries({ waitsMs, random: () => random })

test('A download that makes no progress is continued five times, after longer and longer pauses', () => {
  const some = tries()
  assert.deepEqual(
    Array.from({ length: 7 }, () => some.take(0)),
    [...waitsMs, undefined, undefined],
  )
})

test('Pauses are up to a fifth shorter or longer', () => {
  assert.equal(tries(0).take(0), 200)
  assert.equal(tries(1).take(0), 300)
})

test('Each MiB of progress earns all tries anew, and less does not', () => {
  const some = tries()
  for (const bytes of [10, 10, 10 + MIB - 1]) some.take(bytes)
  assert.equal(some.take(10 + MIB - 1), 2_000)
  assert.equal(some.take(10 + MIB), 250)
  assert.equal(some.take(10 + 2 * MIB - 1), 500)
})

test('Tries that are used up come back with progress', () => {
  const some = tries()
  for (let i = 0; i < 6; i++) some.take(0)
  assert.equal(some.take(0), undefined)
  assert.equal(some.take(MIB), 250)
})

test('A pause that the registry asks for is kept when it is the longer one', () => {
  const some = tries()
  assert.equal(some.take(0, 7_000), 7_000)
  assert.equal(some.take(0, 100), 500)
})
