import assert from 'node:assert/strict'
import test from 'node:test'
import { chooseRuns, tableOfRuns } from '../../scripts/node-runs.mjs'

const versions = new Map([
  [20, '20.1.0'],
  [22, '22.1.0'],
])

const cases: [args: string[], nodes: string[], testArgs: string[]][] = [
  [[], ['20.1.0', '22.1.0'], ['unit', 'faults', 'e2e']],
  [['22'], ['22.1.0'], ['unit', 'faults', 'e2e']],
  [['22', 'unit'], ['22.1.0'], ['unit']],
  [['oci/range'], ['20.1.0', '22.1.0'], ['oci/range']],
  [['20', '--test-name-pattern=x'], ['20.1.0'], ['unit', 'faults', 'e2e', '--test-name-pattern=x']],
]
for (const [args, nodes, testArgs] of cases) {
  test(`test:nodes ${args.join(' ')}`, () => assert.deepEqual(chooseRuns(args, versions), { nodes, testArgs }))
}

test('test:nodes names the versions of Node that there are', () => {
  assert.throws(() => chooseRuns(['18', 'unit'], versions), /^Error: no Node 18; there are 20, 22$/)
})

test('test:nodes ends with a line for each version, also where a run broke off', () => {
  const output = 'much\n12 passed, 0 failed, 1 skipped for want of a package, 0 skipped because this machine refuses a privilege\n'
  const runs = [
    { version: '20.1.0', ok: true, seconds: 61.4, output },
    { version: '22.1.0', ok: false, seconds: 2, output: 'killed' },
  ]
  assert.deepEqual(tableOfRuns(runs).split('\n'), [
    'node            passed  failed  no package  no privilege  seconds',
    '20.1.0  ok          12       0           1             0       61',
    '22.1.0  FAILED       -       -           -             -        2',
    '',
  ])
})
