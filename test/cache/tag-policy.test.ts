/** When cached tags are checked: the user's list, then what older programs' settings ask for, then the rest. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isDue, TagPolicy, type TagSettings } from '../../src/cache/tag-policy.ts'
import type { Revalidate, TagRule } from '../../src/config/config.ts'
import { parseExpression } from '../../src/config/expression.ts'
import { parseReference } from '../../src/oci/reference.ts'
import { parseReferenceGlob, type ReferenceGlob } from '../../src/oci/reference-glob.ts'
import { CACHE_SETTINGS } from '../support/cache-settings.ts'

const HOUR_MS = 3600_000
const MACHINERY = `quay.io/some/app:sha256-${'a'.repeat(64)}.sig`

function rule(match: string, revalidate: Revalidate): TagRule {
  return { match: parseReferenceGlob(match) as ReferenceGlob, revalidate }
}

const rules = [rule('quay.io/pinned/**', 'never'), rule('quay.io/**:latest', 'always'), rule('quay.io/**', 5000)]
const latest = { alwaysPullLatest: true }
const expression = await parseExpression('^(3|edge)')

const cases: [what: string, settings: Partial<TagSettings>, reference: string, want: Revalidate][] = [
  ['Out of the box', {}, 'quay.io/some/app:1', 'never'],
  ['Out of the box', {}, 'quay.io/some/app:latest', 'never'],
  ['Out of the box', {}, MACHINERY, HOUR_MS],
  ['With alwaysPullLatest', latest, 'quay.io/some/app:latest', 'always'],
  ['With alwaysPullLatest', latest, 'quay.io/some/app:latest-alpine', 'never'],
  ['With rules', { tagPolicy: rules }, 'quay.io/some/app:1', 5000],
  ['With rules', { tagPolicy: rules }, 'quay.io/some/app:latest', 'always'],
  ['With rules', { tagPolicy: rules }, 'quay.io/pinned/app:latest', 'never'],
  ['With rules', { tagPolicy: rules }, 'docker.io/library/alpine:latest', 'never'],
  ['With rules', { tagPolicy: rules }, MACHINERY, 5000],
  ['With a rule for all', { tagPolicy: [rule('**', 'never')] }, MACHINERY, 'never'],
  ['With rules before alwaysPullLatest', { ...latest, tagPolicy: rules }, 'quay.io/pinned/app:latest', 'never'],
  ['With skipTags', { skipTags: expression }, 'quay.io/some/app:3.20', 'always'],
  ['With skipTags', { skipTags: expression }, 'quay.io/some/app:4', 'never'],
  ['With skipTags', { skipTags: expression }, MACHINERY, HOUR_MS],
  ['With rules before skipTags', { skipTags: expression, tagPolicy: rules }, 'quay.io/pinned/app:3', 'never'],
  ['With skipTags and alwaysPullLatest', { ...latest, skipTags: expression }, 'quay.io/some/app:latest', 'always'],
  ['With cacheManifests: false', { cacheManifests: false }, 'quay.io/some/app:1', 'always'],
  ['With cacheManifests: false', { cacheManifests: false }, MACHINERY, 'always'],
  ['With rules before cacheManifests: false', { cacheManifests: false, tagPolicy: rules }, 'quay.io/pinned/app:1', 'never'],
]
for (const [what, settings, reference, want] of cases) {
  test(`${what} ${reference.slice(0, 40)} is checked ${typeof want === 'number' ? `after ${want} ms` : want}`, () => {
    const policy = new TagPolicy({ ...CACHE_SETTINGS, ...settings })
    const { tag } = parseReference(reference)
    assert.ok(tag !== undefined)
    assert.deepEqual([policy.of(tag, reference), policy.of(tag, reference)], [want, want], 'the first time, and when it is remembered')
  })
}

const due: [revalidate: Revalidate, checkedMs: number, nowMs: number, want: boolean][] = [
  ['never', 0, 1e12, false],
  ['always', 1e12, 1e12, true],
  [1000, 5000, 5999, false],
  [1000, 5000, 6000, true],
  [0, 5000, 5000, true],
  [1000, 7000, 6000, true],
]
for (const [revalidate, checkedMs, nowMs, want] of due) {
  test(`With revalidate: ${revalidate} a tag checked at ${checkedMs} is ${want ? '' : 'not '}to be checked at ${nowMs}`, () =>
    assert.equal(isDue(revalidate, checkedMs, nowMs), want))
}
