import assert from 'node:assert/strict'
import test from 'node:test'
import { select } from '../../scripts/test-selection.mjs'

const unit = ['test/oci/digest.test.ts', 'test/oci/range.test.ts']
const faults = ['test/faults/matrix.test.ts']
const e2e = ['test/crash/kill.test.ts', 'test/e2e/skopeo.test.ts']
const nothing = { types: false, lint: false, unit: [], faults: [], e2e: [], flags: [], unknown: [] }

const cases: [args: string[], chosen: ReturnType<typeof select>][] = [
  [[], { ...nothing, types: true, lint: true, unit, faults, e2e }],
  [['unit'], { ...nothing, unit }],
  [['faults'], { ...nothing, faults }],
  [['e2e'], { ...nothing, e2e }],
  [['types', 'unit'], { ...nothing, types: true, unit }],
  [['oci/range'], { ...nothing, unit: ['test/oci/range.test.ts'] }],
  [['test/oci/range.test.ts'], { ...nothing, unit: ['test/oci/range.test.ts'] }],
  [['./test/oci/range.test.ts'], { ...nothing, unit: ['test/oci/range.test.ts'] }],
  [['oci/*.test.ts'], { ...nothing, unit }],
  [['skopeo'], { ...nothing, e2e: ['test/e2e/skopeo.test.ts'] }],
  [['lint', 'skopeo'], { ...nothing, lint: true, e2e: ['test/e2e/skopeo.test.ts'] }],
  [['crash'], { ...nothing, e2e: ['test/crash/kill.test.ts'] }],
  [['unit', '--test-name-pattern=x'], { ...nothing, unit, flags: ['--test-name-pattern=x'] }],
  [['--test-only'], { ...nothing, types: true, lint: true, unit, faults, e2e, flags: ['--test-only'] }],
  [['nosuch'], { ...nothing, unknown: ['nosuch'] }],
]

for (const [args, chosen] of cases) {
  test(`npm test -- ${args.join(' ')}`, () => assert.deepEqual(select(args, [...unit, ...faults, ...e2e]), chosen))
}
