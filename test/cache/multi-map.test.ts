import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MultiMap } from '../../src/cache/multi-map.ts'

const [A, B, C] = [{ name: 'a' }, { name: 'b' }, { name: 'c' }]

type Step = readonly [what: 'add' | 'remove', value: { readonly name: string }]
const lives: [what: string, steps: readonly Step[], left: readonly { readonly name: string }[]][] = [
  ['nothing', [], []],
  ['one', [['add', A]], [A]],
  [
    'one twice',
    [
      ['add', A],
      ['add', A],
    ],
    [A],
  ],
  [
    'several, in the order in which they came',
    [
      ['add', B],
      ['add', A],
      ['add', C],
      ['add', B],
    ],
    [B, A, C],
  ],
  [
    'one that went',
    [
      ['add', A],
      ['remove', A],
    ],
    [],
  ],
  [
    'another one that went',
    [
      ['add', A],
      ['remove', B],
    ],
    [A],
  ],
  [
    'one of two',
    [
      ['add', A],
      ['add', B],
      ['remove', A],
    ],
    [B],
  ],
  [
    'two that went',
    [
      ['add', A],
      ['add', B],
      ['remove', A],
      ['remove', B],
    ],
    [],
  ],
  [
    'one that came back',
    [
      ['add', A],
      ['add', B],
      ['remove', A],
      ['remove', B],
      ['add', A],
    ],
    [A],
  ],
  ['none that ever was', [['remove', A]], []],
]
for (const [what, steps, left] of lives) {
  test(`A key of ${what} has ${left.length} value(s)`, () => {
    const map = new MultiMap<string, { readonly name: string }>()
    map.add('other', C)
    for (const [how, value] of steps) map[how]('key', value)
    assert.deepEqual([...map.get('key')], left)
    assert.equal(map.has('key'), left.length > 0)
    assert.deepEqual([...map.keys()], left.length > 0 ? ['other', 'key'] : ['other'])
  })
}
