import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Tally, Times } from '../../src/observe/tally.ts'

test('A counter without labels is there from the start', () => {
  const counter = new Tally('x_total', 'help')
  assert.deepEqual(counter.get(), { name: 'x_total', help: 'help', type: 'counter', values: [{ labels: {}, value: 0 }] })
  counter.add()
  counter.add(41)
  assert.deepEqual(counter.get().values, [{ labels: {}, value: 42 }])
})

test('A counter with labels counts each combination by itself', () => {
  const counter = new Tally('x_total', 'help', ['route', 'status', 'cache'])
  assert.deepEqual(counter.get().values, [])
  counter.addToThree('blob', '200', 'hit')
  counter.addToThree('blob', '200', 'miss')
  counter.addToThree('blob', '200', 'hit')
  assert.deepEqual(counter.get().values, [
    { labels: { route: 'blob', status: '200', cache: 'hit' }, value: 2 },
    { labels: { route: 'blob', status: '200', cache: 'miss' }, value: 1 },
  ])
})

test('Labels that are known beforehand begin at 0, so that their first increase is one', () => {
  const counter = new Tally('x_total', 'help', ['cause'], [['corrupt'], ['dns']])
  counter.addTo('dns', 3)
  assert.deepEqual(counter.get().values, [
    { labels: { cause: 'corrupt' }, value: 0 },
    { labels: { cause: 'dns' }, value: 3 },
  ])
})

test('A bucket of a histogram holds all that took no longer', () => {
  const times = new Times('x_seconds', 'help', 'route', [0.1, 1])
  for (const seconds of [0.05, 0.1, 0.5, 7]) times.add('blob', seconds)
  const found = times.get()
  assert.equal(found.type, 'histogram')
  assert.deepEqual(
    found.values.map(({ metricName, labels, value }) => [metricName, labels.le, value]),
    [
      ['x_seconds_bucket', 0.1, 2],
      ['x_seconds_bucket', 1, 3],
      ['x_seconds_bucket', '+Inf', 4],
      ['x_seconds_sum', undefined, 7.65],
      ['x_seconds_count', undefined, 4],
    ],
  )
})
