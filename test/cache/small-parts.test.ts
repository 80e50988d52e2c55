/** The small parts of the cache: progress, sources, time limits, budgets. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { defaultBudgets } from '../../src/cache/budgets.ts'
import { HELD_BACK_BYTES, Progress } from '../../src/cache/progress.ts'
import { Sources, sourceName } from '../../src/cache/sources.ts'
import { within } from '../../src/cache/within.ts'
import { ManualClock } from '../support/clock.ts'
import { isKind, isSettled, later, source, turns } from './support.ts'

const [A, B, C] = ['a.example', 'b.example', 'c.example'].map((name) => source(name)) as [ReturnType<typeof source>, never, never]
const SIZE = 200_000

type Step = (progress: Progress) => void
const progressCases: [what: string, size: number | undefined, steps: Step[], want: number][] = [
  ['nothing written', SIZE, [], 0],
  ['some written', SIZE, [(p) => p.advance(1000)], 1000],
  ['up to the tail', SIZE, [(p) => p.advance(SIZE - HELD_BACK_BYTES)], SIZE - HELD_BACK_BYTES],
  ['all written, not verified', SIZE, [(p) => p.advance(SIZE)], SIZE - HELD_BACK_BYTES],
  ['all written, verified', SIZE, [(p) => p.advance(SIZE), (p) => p.markVerified()], SIZE],
  ['the size unknown', undefined, [(p) => p.advance(SIZE)], 0],
  ['no longer than the tail', HELD_BACK_BYTES, [(p) => p.advance(HELD_BACK_BYTES)], 0],
  ['one byte longer than the tail', HELD_BACK_BYTES + 1, [(p) => p.advance(HELD_BACK_BYTES + 1)], 1],
]
for (const [what, size, steps, want] of progressCases) {
  test(`Readers may go ${want} bytes far with ${what}`, async () => {
    const progress = new Progress(() => size)
    for (const step of steps) step(progress)
    if (want > 0) assert.equal(progress.beyond(want - 1), want)
    const further = progress.beyond(want)
    assert.ok(further instanceof Promise)
    assert.ok(!(await isSettled(further)))
    progress.fail(new Error('the end'))
    await assert.rejects(further, /the end/)
  })
}

test('A reader that waits goes on as soon as there is more, and not before', async () => {
  const progress = new Progress(() => SIZE)
  progress.advance(10)
  const further = Promise.resolve(progress.beyond(50))
  progress.advance(40)
  assert.ok(!(await isSettled(further)))
  progress.advance(1)
  assert.equal(await further, 51)
})

test('After a failure no reader goes on, wherever it is', async () => {
  const progress = new Progress(() => SIZE)
  progress.advance(1000)
  progress.fail(new Error('cut'))
  for (const offset of [0, 500, 1000, 5000]) await assert.rejects(Promise.resolve(progress.beyond(offset)), /cut/)
})

test('Sources are tried in order, each once; slow ones again at the end', () => {
  const sources = new Sources()
  assert.deepEqual([sources.add(A), sources.add(B), sources.add(A)], [true, true, false])
  assert.equal(sources.next(), A)
  assert.ok(sources.hasFresh)
  sources.putBack(A)
  assert.equal(sources.next(), B)
  assert.ok(!sources.hasFresh, 'a slow one is not fresh')
  sources.add(C)
  assert.ok(sources.hasFresh)
  assert.deepEqual([sources.next(), sources.next(), sources.next()], [C, A, undefined])
  assert.equal(sources.add(A), false, 'who was tried is known for good')
})

test('A source is named by registry and repository', () => {
  assert.equal(sourceName(source('docker.io', 'alpine')), 'docker.io/library/alpine')
  assert.notEqual(sourceName(source('a.example:1', 'b/c')), sourceName(source('a.example', '1/b/c')))
})

test('Work that is done in time is its result, and leaves no sleeper', async () => {
  const clock = new ManualClock()
  assert.equal(await within(clock, 1000, 'it did not answer', async () => 5), 5)
  await assert.rejects(
    within(clock, 1000, 'it did not answer', async () => assert.fail('its own error')),
    /its own error/,
  )
  assert.equal(clock.sleeping, 0)
})

test('Work that takes too long is a timeout, and is told so', async () => {
  const clock = new ManualClock()
  let told: unknown
  const result = later(
    within(clock, 1000, 'quay.io did not answer', (signal) => {
      signal.addEventListener('abort', () => {
        told = signal.reason
      })
      return new Promise(() => {})
    }),
  )
  await clock.advance(999)
  assert.ok(!(await isSettled(result)))
  await clock.advance(1)
  await assert.rejects(result, isKind('timeout'))
  await assert.rejects(result, /quay\.io did not answer within 1000 ms/)
  assert.ok(isKind('timeout')(told))
})

test('Work that fails after its time is nobody else’s concern', async () => {
  const clock = new ManualClock()
  let fail = (): void => {}
  const result = later(
    within(
      clock,
      1000,
      'it did not answer',
      () =>
        new Promise((_resolve, reject) => {
          fail = () => reject(new Error('late'))
        }),
    ),
  )
  await clock.advance(1000)
  fail()
  await turns(3)
  await assert.rejects(result, isKind('timeout'))
})

for (const [pullTimeoutMs, firstByteMs] of [
  [60_000, 20_000],
  [20_000, 20_000],
  [5000, 5000],
] as const) {
  test(`With pullTimeout ${pullTimeoutMs} a client’s first byte waits ${firstByteMs} ms at most`, () => {
    assert.equal(defaultBudgets({ pullTimeoutMs }).firstByteMs, firstByteMs)
  })
}
