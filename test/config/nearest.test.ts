import assert from 'node:assert/strict'
import { test } from 'node:test'
import { distanceBetween, nearest } from '../../src/config/nearest.ts'

const distances: [string, string, number][] = [
  ['', '', 0],
  ['port', 'port', 0],
  ['port', 'prt', 1],
  ['prt', 'port', 1],
  ['port', 'pork', 1],
  ['prot', 'port', 1],
  ['', 'port', 4],
  ['kitten', 'sitting', 3],
  ['ab', 'ba', 1],
  ['abc', 'cab', 2],
]
for (const [from, to, want] of distances)
  test(`From '${from}' to '${to}' it is ${want} letters`, () => assert.equal(distanceBetween(from, to), want))

const slips: [word: string, want: string | undefined][] = [
  ['prot', 'port'],
  ['Port', 'port'],
  ['imagepath', 'imagePath'],
  ['image-path', 'imagePath'],
  ['pulTimeot', 'pullTimeout'],
  ['zzz', undefined],
  ['storage', undefined],
  ['x', undefined],
]
for (const [word, want] of slips) {
  test(`'${word}' ${want === undefined ? 'is no slip of anything' : `looks like a slip of '${want}'`}`, () => {
    assert.equal(nearest(word, ['imagePath', 'port', 'pullTimeout']), want)
  })
}
