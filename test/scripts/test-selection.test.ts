import assert from 'node:assert/strict'
import test from 'node:test'
import { select } from '../../scripts/test-selection.mjs'

const unit = ['test/oci/digest.test.ts', 'test/oci/range.test.ts']
const e2e = ['test/e2e/skopeo.test.ts']
const nothing = { types: false, lint: false, unit: [], e2e: [], flags: [], unknown: [] }

const cases: [args: string[], chosen: ReturnType<typeof select>][] = [
  [[], { ...nothing, types: true, lint: true, unit, e2e }],
  [['unit'], { ...nothing, unit }],
  [['e2e'], { ...nothing, e2e }],
  [['types', 'unit'], { ...nothing, types: true, unit }],
  [['oci/range'], { ...nothing, unit: ['test/oci/range.test.ts'] }],
  [['test/oci/range.test.ts'], { ...nothing, unit: ['test/oci/range.test.ts'] }],
  [['./test/oci/range.test.ts'], { ...nothing, unit: ['test/oci/range.test.ts'] }],
  [['oci/*.test.ts'], { ...nothing, unit }],
  [['skopeo'], { ...nothing, e2e }],
  [['lint', 'skopeo'], { ...nothing, lint: true, e2e }],
  [['unit', '--test-name-pattern=x'], { ...nothing, unit, flags: ['--test-name-pattern=x'] }],
  [['--test-only'], { ...nothing, types: true, lint: true, unit, e2e, flags: ['--test-only'] }],
  [['nosuch'], { ...nothing, unknown: ['nosuch'] }],
]

for (const [args, chosen] of cases) {
  test(`npm test -- ${args.join(' ')}`, () => assert.deepEqual(select(args, [...unit, ...e2e]), chosen))
}
