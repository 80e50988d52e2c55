import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { Limiter } from '../../src/async/limiter.ts'

for (const limit of [1, 2, 5]) {
  test(`At most ${limit} run at once, the others in the order in which they came`, async () => {
    const limiter = new Limiter(limit)
    let [running, peak] = [0, 0]
    const began: number[] = []
    const work = async (index: number) => {
      began.push(index)
      peak = Math.max(peak, ++running)
      for (let turns = index % 3; turns >= 0; turns--) await turn()
      running--
      return index
    }
    const results = await Promise.all(Array.from({ length: 20 }, (_, index) => limiter.run(() => work(index))))
    assert.equal(peak, limit)
    assert.deepEqual(began, results)
    assert.deepEqual(
      results,
      Array.from({ length: 20 }, (_, index) => index),
    )
  })
}

test('Work begins at once where a place is free', () => {
  let began = false
  void new Limiter(1).run(async () => {
    began = true
  })
  assert.equal(began, true)
})

test('Work that fails frees its place and tells its caller', async () => {
  const limiter = new Limiter(1)
  const rejecting = limiter.run(() => Promise.reject(new Error('failed')))
  const throwing = limiter.run(() => {
    throw new Error('threw')
  })
  const succeeding = limiter.run(async () => 'done')
  await assert.rejects(rejecting, /failed/)
  await assert.rejects(throwing, /threw/)
  assert.equal(await succeeding, 'done')
  assert.equal(await limiter.run(async () => 'again'), 'again')
})

test('A place that became free goes to whoever waits, not to whoever comes then', async () => {
  const limiter = new Limiter(1)
  const order: string[] = []
  let finish = () => {}
  const first = limiter.run(() => new Promise<void>((resolve) => (finish = resolve)))
  const waiting = limiter.run(async () => order.push('waited'))
  finish()
  await first
  await Promise.all([limiter.run(async () => order.push('came later')), waiting])
  assert.deepEqual(order, ['waited', 'came later'])
})

test('A place that was handed on is taken, for whoever comes then', async () => {
  const limiter = new Limiter(1)
  let [finishFirst, finishSecond] = [() => {}, () => {}]
  const first = limiter.run(
    () =>
      new Promise<void>((resolve) => {
        finishFirst = resolve
      }),
  )
  const second = limiter.run(
    () =>
      new Promise<void>((resolve) => {
        finishSecond = resolve
      }),
  )
  finishFirst()
  await first
  await turn()
  let began = false
  const third = limiter.run(async () => {
    began = true
  })
  await turn()
  assert.equal(began, false)
  finishSecond()
  await Promise.all([second, third])
  assert.equal(began, true)
})
