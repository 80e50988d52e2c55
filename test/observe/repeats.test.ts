import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { LogFields } from '../../src/observe/log.ts'
import { kindOfLine, Repeats, summarised } from '../../src/observe/repeats.ts'
import { ManualClock } from '../support/clock.ts'
import { MemoryLog } from '../support/log.ts'

function ground() {
  const memory = new MemoryLog()
  const clock = new ManualClock()
  const log = summarised(memory, clock)
  return { log, clock, said: () => memory.lines.map(({ level, message, fields }) => [level, message, fields.url]) }
}

test('Of a warning that comes again and again the first five of a minute are written, and then how many more there were', async () => {
  const { log, clock, said } = ground()
  for (let i = 1; i <= 62; i++) log.warn('upstream failed', { kind: 'dns', url: `/${i}` })
  const few = [1, 2, 3, 4, 5].map((i) => ['warn', 'upstream failed', `/${i}`])
  assert.deepEqual(said(), few)
  await clock.advance(60_000)
  assert.deepEqual(said(), [...few, ['warn', 'upstream failed: repeated 57 times', '/62']])
  log.warn('upstream failed', { kind: 'dns', url: '/63' })
  assert.deepEqual(said().at(-1), ['warn', 'upstream failed', '/63'], 'a new minute')
})

test('What came no more than five times is not summed up', async () => {
  const { log, clock, said } = ground()
  for (let i = 0; i < 5; i++) log.error('no', {})
  await clock.advance(60_000)
  assert.equal(said().length, 5)
})

test('Lines for information are written as they come', () => {
  const { log, said } = ground()
  for (let i = 0; i < 20; i++) log.info('GET /')
  for (let i = 0; i < 20; i++) log.debug('x')
  assert.equal(said().length, 40)
})

test('What is still only counted is told when the program ends', () => {
  const { log, said } = ground()
  for (let i = 0; i < 7; i++) log.error('no', {})
  log.tellRest()
  assert.deepEqual(said().at(-1)?.slice(0, 2), ['error', 'no: repeated 2 times'])
})

const pairs: [sentence: string, one: LogFields, other: LogFields, same: boolean][] = [
  ['another URL', { kind: 'dns', url: '/a' }, { kind: 'dns', url: '/b' }, true],
  ['another repository of the same registry', { source: 'quay.io/a' }, { source: 'quay.io/b' }, true],
  ['another registry', { source: 'quay.io/a' }, { source: 'gcr.io/a' }, false],
  ['another kind of trouble', { kind: 'dns' }, { kind: 'tls' }, false],
]
for (const [sentence, one, other, same] of pairs) {
  test(`Lines that differ in ${sentence} are ${same ? 'the same trouble' : 'two troubles'}`, () =>
    assert.equal(kindOfLine('warn', 'x', one) === kindOfLine('warn', 'x', other), same))
}

test('Lines of more kinds than can be counted are written', () => {
  const repeats = new Repeats(2)
  assert.deepEqual(
    ['a', 'b', 'c', 'c', 'a'].map((key) => repeats.count(key)),
    [1, 1, 0, 0, 2],
  )
  assert.equal(repeats.end('a'), 2)
  assert.equal(repeats.count('c'), 1)
})
