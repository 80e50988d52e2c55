import assert from 'node:assert/strict'
import { test } from 'node:test'
import { LruMap } from '../../src/upstream/lru.ts'

test('an LruMap drops what was used longest ago, and says so', () => {
  const dropped: number[] = []
  const map = new LruMap<string, number>(2, (value) => dropped.push(value))
  map.set('a', 1)
  map.set('b', 2)
  map.get('a')
  map.set('c', 3)
  assert.deepEqual([map.get('a'), map.get('b'), map.get('c'), dropped], [1, undefined, 3, [2]])
})

test('an LruMap does not drop for a value that is set again, or for one that was deleted', () => {
  const dropped: number[] = []
  const map = new LruMap<string, number>(2, (value) => dropped.push(value))
  map.set('a', 1)
  map.set('b', 2)
  map.set('a', 3)
  map.delete('b')
  map.set('c', 4)
  assert.deepEqual([[...map.values()], dropped], [[3, 4], []])
})
