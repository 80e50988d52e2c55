import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Finding } from '../../src/cache/store-check.ts'
import { isComplete, isSound, type Outcome, type VerifyReport, verifyDocument, verifyTable } from '../../src/cli/verify-report.ts'
import { digestOf } from '../../src/oci/digest.ts'

const DIGEST = digestOf(Buffer.from('x'))
const NOTHING = { files: 0, bytes: 0 }

function finding(more: Partial<Finding> = {}): Finding {
  return { verdict: 'wrong', kind: 'blob', digest: DIGEST, path: 'blobs/x', why: 'it is empty', references: [], sources: [], ...more }
}

function report(findings: readonly Finding[], outcomes?: ReadonlyMap<Finding, Outcome>): VerifyReport {
  const checked = { blobs: { files: 1, bytes: 1536 }, records: NOTHING, references: { files: 2, bytes: 300 } }
  const check = {
    checked,
    images: { complete: 0, incomplete: 0 },
    spool: { files: 3, bytes: 5 * 1024 ** 3 },
    quarantine: NOTHING,
    findings,
  }
  return { store: '/srv', check, ...(outcomes === undefined ? {} : { outcomes }) }
}

test('The totals are in words that fit their numbers', () => {
  assert.equal(
    verifyTable(report([])),
    'checked /srv: 1 blob (1.5 KiB), 0 records, 2 references\nimages: 0 complete, 0 incomplete\n' +
      'not checked: 3 files in pulls/ (5.0 GiB), 0 files in quarantine/\nwrong: 0\n',
  )
})

const rows: [what: string, found: Partial<Finding>, row: RegExp][] = [
  ['without references', {}, /^blob {2}sha256:\S+ {2}- +it is empty$/m],
  ['with few references', { references: ['a.io/b:1', 'a.io/b:2'] }, / a\.io\/b:1, a\.io\/b:2 +it is empty$/m],
  ['with many references', { references: ['a', 'b', 'c', 'd', 'e'] }, / a, b, c, and 2 more +it is empty$/m],
  ['of a reference', { kind: 'reference', path: 'refs/abc' }, /^reference +refs\/abc +-/m],
  ['of something incomplete', { verdict: 'incomplete', kind: 'image', why: '1 blob' }, / incomplete: 1 blob$/m],
  ['of something unused', { verdict: 'unused', kind: 'record', why: 'old' }, / not wrong, but not served: old$/m],
  ['whose text would steer a terminal', { why: 'a\u001b[2Jb\nc' }, / a\\u001b\[2Jb\\nc$/m],
]
for (const [what, found, row] of rows) {
  test(`A finding ${what} is one row`, () => {
    const lines = verifyTable(report([finding(found)])).split('\n')
    assert.match(lines[1] ?? '', row)
    assert.equal(lines[2], '')
  })
}

const lacking: [sentence: string, found: Partial<Finding>[], complete: boolean][] = [
  ['A store of which nothing is told is complete', [], true],
  ['What is unused makes no store incomplete', [{ verdict: 'unused' }], true],
  ['An image that lacks something does', [{ verdict: 'unused' }, { verdict: 'incomplete', kind: 'image' }], false],
]
for (const [sentence, found, complete] of lacking) test(sentence, () => assert.equal(isComplete(report(found.map(finding))), complete))

test('Who reads of incomplete images reads what completes them', () => {
  const line = '\nincomplete images are completed by ociregistry load, or when they are pulled from the server\n'
  assert.ok(verifyTable(report([finding({ verdict: 'incomplete', kind: 'image' })])).endsWith(line))
})

const verdicts: [sentence: string, found: Partial<Finding>, outcome: Outcome | undefined, sound: boolean][] = [
  ['What is wrong is not sound', {}, undefined, false],
  ['What is incomplete is sound', { verdict: 'incomplete' }, undefined, true],
  ['What is unused is sound', { verdict: 'unused' }, undefined, true],
  ['What was mended is sound', {}, { is: 'mended' }, true],
  ['What was quarantined, and nothing needs, is sound', {}, { is: 'quarantined' }, true],
  ['What remains wrong is not sound', {}, { is: 'remains', why: 'nobody has it' }, false],
]
for (const [sentence, found, outcome, sound] of verdicts) {
  test(sentence, () => {
    const one = finding(found)
    const whole = report([one], outcome === undefined ? undefined : new Map([[one, outcome]]))
    assert.equal(isSound(whole), sound)
    assert.equal(JSON.parse(verifyDocument(whole)).wrong, sound ? 0 : 1)
    if (outcome !== undefined) assert.deepEqual(JSON.parse(verifyDocument(whole)).findings[0].outcome, outcome)
  })
}
