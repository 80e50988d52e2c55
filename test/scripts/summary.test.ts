import assert from 'node:assert/strict'
import test from 'node:test'
import type { Outcome } from '../../scripts/skip-reporter.mjs'
import { summarize } from '../../scripts/summary.mjs'

const file = 'test/x.test.ts'
const passed: Outcome = { outcome: 'passed', name: 'a', file }
const failed: Outcome = { outcome: 'failed', name: 'b', file }
const skipped = (reason: string): Outcome => ({ outcome: 'skipped', name: 'c', file, reason })
const step = (ok: boolean) => ({ name: 'types', ok, seconds: 1 })

const cases: [what: string, outcomes: Outcome[], steps: boolean[], requirePackages: boolean, ok: boolean, says: RegExp][] = [
  ['all well', [passed], [true], true, true, /^1 passed, 0 failed, 0 skipped for want of a package, 0 skipped because/m],
  ['a failed test', [passed, failed], [true], false, false, /^1 passed, 1 failed.*\nfailed:\n {2}test\/x.test.ts > b$/m],
  ['a failed step', [passed], [true, false], false, false, /^FAILED types/m],
  ['a package is missing on a machine of somebody', [skipped('package: no skopeo')], [], false, true, /1 skipped for want of a package/],
  [
    'a package is missing where all are required',
    [skipped('package: no skopeo')],
    [],
    true,
    false,
    /FAILED: skipped for want.*\n.*no skopeo/,
  ],
  ['a privilege is refused', [skipped('privilege: mount')], [], true, true, /1 skipped because this machine refuses a privilege/],
  ['a skip with another reason', [skipped('later')], [], false, false, /FAILED: skipped without a reason/],
  ['a skip without reason', [skipped('')], [], false, false, /\(no reason\)/],
]

for (const [what, outcomes, steps, requirePackages, ok, says] of cases) {
  test(`the summary of a run: ${what}`, () => {
    const summary = summarize(steps.map(step), outcomes, { requirePackages })
    assert.equal(summary.ok, ok)
    assert.match(summary.text, says)
  })
}
