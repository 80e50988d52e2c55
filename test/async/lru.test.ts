import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Lru } from '../../src/async/lru.ts'
import { forAll } from '../support/property.ts'

test('What was not used for the longest time is forgotten first', () => {
  const lru = new Lru<string, number>({ capacity: 4 })
  for (const [index, key] of ['a', 'b', 'c', 'd'].entries()) lru.set(key, index, 1)
  assert.equal(lru.get('a'), 0)
  lru.set('e', 4, 1)
  assert.deepEqual(
    ['a', 'b', 'c', 'd', 'e'].map((key) => lru.get(key)),
    [0, undefined, 2, 3, 4],
  )
})

test('A value that replaces another counts in its stead', () => {
  const lru = new Lru<string, string>({ capacity: 8, heaviest: 2 })
  for (const key of ['a', 'b', 'c', 'd']) lru.set(key, 'old', 2)
  lru.set('a', 'new', 1)
  lru.set('e', 'e', 1)
  assert.deepEqual(
    ['a', 'b', 'c', 'd', 'e'].map((key) => lru.get(key)),
    ['new', 'old', 'old', 'old', 'e'],
  )
})

test('What weighs more than the heaviest that is wanted is not kept, and drives nothing out but its own older value', () => {
  const lru = new Lru<string, string>({ capacity: 8, heaviest: 2 })
  lru.set('a', 'a', 2)
  lru.set('b', 'b', 2)
  lru.set('c', 'c', 3)
  lru.set('b', 'heavy', 3)
  assert.deepEqual(
    ['a', 'b', 'c'].map((key) => lru.get(key)),
    ['a', undefined, undefined],
  )
})

test('What was deleted is gone, and its weight is free', () => {
  const lru = new Lru<string, string>({ capacity: 4 })
  for (const key of ['a', 'b', 'c', 'd']) lru.set(key, key, 1)
  lru.delete('d')
  lru.delete('d')
  lru.delete('none')
  lru.set('e', 'e', 1)
  assert.deepEqual(
    ['a', 'b', 'c', 'd', 'e'].map((key) => lru.get(key)),
    ['a', 'b', 'c', undefined, 'e'],
  )
})

test('What is kept never weighs more than the capacity, and is what was used last', () => {
  forAll(
    (random) =>
      Array.from({ length: 60 }, () => ({
        key: random.below(12),
        weight: random.below(9),
        what: random.pick(['set', 'set', 'get', 'delete'] as const),
      })),
    (steps) => {
      const lru = new Lru<number, number>({ capacity: 32, heaviest: 8 })
      let used: { key: number; weight: number }[] = [] // the last one was used last
      for (const { key, weight, what } of steps) {
        const known = used.find((entry) => entry.key === key)
        used = used.filter((entry) => entry.key !== key)
        if (what === 'delete') lru.delete(key)
        if (what === 'set') {
          lru.set(key, key * 100, weight)
          if (weight <= 8) used.push({ key, weight })
          while (used.reduce((sum, entry) => sum + entry.weight, 0) > 32) used.shift()
        }
        if (what === 'get') {
          assert.equal(lru.get(key), known && key * 100)
          if (known !== undefined) used.push(known)
        }
      }
      const kept = used.map(({ key }) => key)
      assert.deepEqual(
        kept.map((key) => lru.get(key)),
        kept.map((key) => key * 100),
      )
      for (let key = 0; key < 12; key++) if (!kept.includes(key)) assert.equal(lru.get(key), undefined)
    },
    500,
  )
})

test('Whoever has to go to make room is told of, but not what was replaced or deleted', () => {
  const gone: number[] = []
  const lru = new Lru<string, number>({ capacity: 2, onEvicted: (value) => gone.push(value) })
  lru.set('a', 1)
  lru.set('b', 2)
  lru.get('a')
  lru.set('c', 3)
  assert.deepEqual([lru.values(), gone], [[1, 3], [2]])
  lru.set('a', 4)
  lru.delete('c')
  lru.set('d', 5)
  assert.deepEqual([lru.values(), gone], [[4, 5], [2]])
})
