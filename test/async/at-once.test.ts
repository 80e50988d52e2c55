import assert from 'node:assert/strict'
import { test } from 'node:test'
import { atOnce } from '../../src/async/at-once.ts'

const turn = () => new Promise((resolve) => setImmediate(resolve))

test('no more items are worked on at once than the limit, and all are', async () => {
  let [running, most] = [0, 0]
  const done: number[] = []
  await atOnce(3, [1, 2, 3, 4, 5, 6, 7, 8], async (item) => {
    most = Math.max(most, ++running)
    await turn()
    running--
    done.push(item)
  })
  assert.equal(most, 3)
  assert.deepEqual(done, [1, 2, 3, 4, 5, 6, 7, 8])
})

test('after a failure nothing new is begun, and what was begun comes to its end first', async () => {
  const [begun, ended]: [number[], number[]] = [[], []]
  const work = async (item: number) => {
    begun.push(item)
    if (item === 2) throw new Error('two')
    await turn()
    ended.push(item)
  }
  await assert.rejects(atOnce(2, [1, 2, 3, 4], work), { message: 'two' })
  assert.deepEqual([begun, ended], [[1, 2], [1]])
})

test('nothing to do is done at once', () => atOnce(4, [], async () => assert.fail('there was nothing')))
