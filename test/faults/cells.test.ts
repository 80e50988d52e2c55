import assert from 'node:assert/strict'
import { test } from 'node:test'
import { allCells, type Cell, expectedOf, nameOf, somePairs } from './cells.ts'
import { FAULTS } from './faults.ts'

const find = (name: string, what: Cell['what'], state: Cell['state'], clients = 1): Cell => {
  const fault = FAULTS.find((known) => known.name === name)
  assert(fault !== undefined, name)
  return { fault, what, state, clients }
}

test('the matrix has every fault with every question in every state, and a name of its own for each cell', () => {
  const names = allCells().map(nameOf)
  assert.equal(names.length, FAULTS.length * 4 * 3 * 2)
  assert.equal(new Set(names).size, names.length)
})

test('the pairs are cells of the matrix: each fault meets each question, each state, one client and many', () => {
  const names = new Set(allCells().map(nameOf))
  const cells = somePairs()
  assert(cells.every((cell) => names.has(nameOf(cell))))
  assert(cells.length < names.size / 3)
  for (const fault of FAULTS) {
    const its = cells.filter((cell) => cell.fault === fault)
    assert.deepEqual([...new Set(its.map(({ what }) => what))].sort(), ['blob', 'digest', 'range', 'tag'])
    assert.deepEqual([...new Set(its.map(({ state }) => state))].sort(), ['cached', 'cold', 'half'])
    assert.deepEqual([...new Set(its.map(({ clients }) => clients))].sort(), [1, 8])
  }
})

const refuses = 'the registry resets every connection'
const expected: [Cell, ReturnType<typeof expectedOf>][] = [
  [find(refuses, 'tag', 'cold'), 'refused'],
  [find(refuses, 'tag', 'cached'), 'stale'],
  [find(refuses, 'digest', 'cached'), 'hit'],
  [find(refuses, 'range', 'cached'), 'hit'],
  [find(refuses, 'blob', 'half'), 'refused'],
  [find('the registry names wrong types', 'tag', 'cached'), 'served'],
  [find('the registry names wrong digests', 'tag', 'cold'), 'refused'],
  [find('the registry names wrong digests', 'digest', 'cold'), 'served'],
  [find('the registry cuts bodies in order', 'blob', 'cold'), 'served'],
  [find('the registry cuts bodies in order', 'digest', 'cold'), 'refused'],
  [find('bodies of the registry trickle', 'range', 'half'), 'awaited'],
  [find('the registry declares more bytes than it sends', 'blob', 'half'), 'honest'],
]
for (const [cell, want] of expected) test(`expected: ${nameOf(cell)}`, () => assert.equal(expectedOf(cell), want))

test('the names of cells are sentences', () => {
  assert.equal(
    nameOf(find(refuses, 'tag', 'cached', 8)),
    'a cached manifest by tag that 8 clients at once ask for while the registry resets every connection is served as it was, and the answer says so',
  )
  assert.equal(
    nameOf(find('look-ups hang', 'range', 'half')),
    'a half-downloaded range of a blob that one client asks for while look-ups hang is refused with the status of the table',
  )
})
