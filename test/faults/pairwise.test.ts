import assert from 'node:assert/strict'
import { test } from 'node:test'
import { allPairs, pairsOf, pairwise } from './pairwise.ts'

const factors: [sizes: number[], atMost: number][] = [
  [[2, 2], 4],
  [[3, 3, 3], 12],
  [[2, 2, 2, 2, 2], 8],
  [[1, 4, 1], 4],
  [[30, 4, 3, 2], 130],
  [[4, 2, 30, 3], 130],
]

for (const [sizes, atMost] of factors) {
  test(`pairwise: all pairs of ${sizes.join(' x ')} values meet, in at most ${atMost} combinations`, () => {
    const combinations = pairwise(sizes)
    assert.deepEqual([...new Set(combinations.flatMap(pairsOf))].sort(), allPairs(sizes).sort())
    assert(combinations.length <= atMost, `${combinations.length}`)
    for (const combination of combinations) {
      assert.equal(combination.length, sizes.length)
      assert(combination.every((value, factor) => value < (sizes[factor] ?? 0)))
    }
    assert.deepEqual(pairwise(sizes), combinations, 'the same on every run')
  })
}

test('pairwise: two factors of two and three values make six pairs', () => {
  assert.deepEqual(allPairs([2, 3]), ['0=0 1=0', '0=0 1=1', '0=0 1=2', '0=1 1=0', '0=1 1=1', '0=1 1=2'])
})
