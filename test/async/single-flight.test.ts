import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { SingleFlight } from '../../src/async/single-flight.ts'

function deferred<T>(): { promise: Promise<T>; resolve: (value: T) => void; reject: (error: Error) => void } {
  let [resolve, reject]: [(value: T) => void, (error: Error) => void] = [() => {}, () => {}]
  const promise = new Promise<T>((...settle) => {
    ;[resolve, reject] = settle
  })
  return { promise, resolve, reject }
}

test('Work that several want at the same time is done once, and all get its result', async () => {
  const flights = new SingleFlight<string>()
  const { promise, resolve } = deferred<string>()
  let runs = 0
  const work = () => {
    runs++
    return promise
  }
  const all = [flights.run('a', work), flights.run('a', work), flights.run('a', work)]
  assert.deepEqual(
    all.map(({ joined }) => joined),
    [false, true, true],
  )
  resolve('result')
  assert.deepEqual(await Promise.all(all.map(({ result }) => result)), ['result', 'result', 'result'])
  assert.equal(runs, 1)
})

test('Work under different names does not wait for each other', async () => {
  const flights = new SingleFlight<string>()
  const never = flights.run('a', () => new Promise(() => {}))
  const other = flights.run('b', async () => 'b')
  assert.deepEqual([never.joined, other.joined], [false, false])
  assert.equal(await other.result, 'b')
})

test('Work that has ended is done again for whoever comes then, well or not', async () => {
  const flights = new SingleFlight<number>()
  let runs = 0
  const work = async () => {
    runs++
    if (runs === 2) throw new Error('failed')
    return runs
  }
  assert.equal(await flights.run('a', work).result, 1)
  await assert.rejects(flights.run('a', work).result, /failed/)
  const third = flights.run('a', work)
  assert.equal(third.joined, false)
  assert.equal(await third.result, 3)
})

test('A failure reaches all who joined, and harms nobody when nobody waits for it any more', async () => {
  const flights = new SingleFlight<string>()
  const { promise, reject } = deferred<string>()
  const [first, second] = [flights.run('a', () => promise), flights.run('a', () => promise)]
  reject(new Error('failed'))
  await assert.rejects(first.result, /failed/)
  await assert.rejects(second.result, /failed/)
  flights.run('b', () => Promise.reject(new Error('nobody hears this')))
  await turn() // an unhandled rejection would end the test now
})

test('Work that throws before it begins leaves nothing to join', async () => {
  const flights = new SingleFlight<string>()
  assert.throws(
    () =>
      flights.run('a', () => {
        throw new Error('threw')
      }),
    /threw/,
  )
  const next = flights.run('a', async () => 'done')
  assert.equal(next.joined, false)
  assert.equal(await next.result, 'done')
})

test('It is idle when everything that ran has ended, well or not', async () => {
  const flights = new SingleFlight<string>()
  await flights.idle()
  const [good, bad] = [deferred<string>(), deferred<string>()]
  flights.run('good', () => good.promise)
  flights.run('bad', () => bad.promise)
  let idle = false
  const waiting = flights.idle().then(() => {
    idle = true
  })
  good.resolve('x')
  await turn()
  assert.equal(idle, false)
  bad.reject(new Error('failed'))
  await waiting
})
