import assert from 'node:assert/strict'
import { test } from 'node:test'
import { BoundedNames, OTHER } from '../../src/observe/bounded-names.ts'

test('Names of the configuration are always kept, and as many others as are allowed', () => {
  const names = new BoundedNames(['docker.io'], 2)
  const asked: [name: string, isReal: boolean, want: string][] = [
    ['a.example', true, 'a.example'],
    ['invented.example', false, OTHER],
    ['b.example', true, 'b.example'],
    ['c.example', true, OTHER],
    ['docker.io', false, 'docker.io'],
    ['a.example', false, 'a.example'],
  ]
  for (const [name, isReal, want] of asked) assert.equal(names.of(name, isReal), want, name)
})
