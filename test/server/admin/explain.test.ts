/** What an explanation says of checks. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type CachedFacts, type ExplainFacts, explain } from '../../../src/cache/explanation.ts'
import { digestOf } from '../../../src/oci/digest.ts'
import { OCI_MANIFEST } from '../../../src/oci/media-type.ts'
import { parseRegistry } from '../../../src/oci/name.ts'
import { explanationText } from '../../../src/server/admin/explain.ts'

const at = (hour: number) => new Date(2026, 10, 30, hour).getTime()
const pulled = (checkedMs: number) => ({ createdMs: at(8), pulledMs: at(20), checkedMs })

const IMAGE: CachedFacts = {
  digest: digestOf(Buffer.from('x')),
  kind: 'image',
  mediaType: OCI_MANIFEST,
  sizeBytes: 1,
  suppliedBy: 'quay.io/app',
  bytesIn: 'store',
  times: undefined,
  blobs: [],
  platforms: [],
}

function textFor(policy: ExplainFacts['policy'], times: CachedFacts['times'], isCached = true): string {
  const explanation = explain({
    reference: 'quay.io/app:1',
    registry: parseRegistry('quay.io'),
    airGapped: false,
    needsConsent: false,
    cached: isCached ? { ...IMAGE, times } : undefined,
    isHidden: false,
    policy,
    isDue: false,
    upstream: { state: 'well' },
    isKnownAbsent: false,
  })
  return explanationText(explanation, { url: 'https://quay.io', credentials: 'none: anonymous' })
}

const FIRST = 'last check: none; the pull of 2026-11-30T08:00:00 confirmed it'
const NEVER = 'check policy: never: it is served as it was pulled'
const ALWAYS = 'check policy: always: each time that it is asked for'
const cases: [what: string, text: string, lines: readonly string[]][] = [
  ['a tag that is never to be checked', textFor('never', pulled(at(8))), [FIRST, NEVER]],
  ['a tag that was just pulled', textFor('always', pulled(at(8))), [FIRST, ALWAYS]],
  ['a tag that was checked', textFor('always', pulled(at(9))), ['last check: 2026-11-30T09:00:00', ALWAYS]],
  [
    'a tag whose check may be old',
    textFor(60_000, pulled(at(9))),
    ['last check: 2026-11-30T09:00:00', 'check policy: when the last check is 60 s old'],
  ],
  ['a tag that was checked, and is never to be now', textFor('never', pulled(at(9))), ['last check: 2026-11-30T09:00:00', NEVER]],
  ['a tag with a check before its pull, by a clock that was wrong', textFor('never', pulled(at(7))), [FIRST, NEVER]],
  ['a tag that is not cached', textFor('never', undefined, false), [NEVER]],
  ['a digest', textFor(undefined, pulled(at(8))), []],
  ['a digest that no reference names', textFor(undefined, undefined), []],
]
for (const [what, text, lines] of cases) {
  test(`What is said of checks of ${what}`, () => {
    const said = text.split('\n').filter((line) => /^[^:]*check/.test(line))
    assert.deepEqual(said, lines)
  })
}
