import assert from 'node:assert/strict'
import { test } from 'node:test'
import { etagOf, ifRangeHolds, noneMatchHits } from '../../src/oci/conditional.ts'
import { parseDigest } from '../../src/oci/digest.ts'

const digest = parseDigest(`sha256:${'a'.repeat(64)}`)
const other = parseDigest(`sha256:${'b'.repeat(64)}`)
const long = parseDigest(`sha512:${'a'.repeat(128)}`)

test('The entity tag of content is its digest in quotes', () => {
  assert.equal(etagOf(digest), `"sha256:${'a'.repeat(64)}"`)
  assert.equal(etagOf(long), `"sha512:${'a'.repeat(128)}"`)
})

const noneMatch: [string, string | undefined, boolean][] = [
  ['without the header', undefined, false],
  ['with an empty header', '', false],
  ['with its own tag', `"${digest}"`, true],
  ['with its own tag, weak', `W/"${digest}"`, true],
  ['with its own tag behind another', `"${other}", "${digest}"`, true],
  ['with its own tag between others and no blanks', `"x","${digest}",W/"y"`, true],
  ['with a star', '*', true],
  ['with a star in blanks', ' * ', true],
  ['with a quoted star', '"*"', false],
  ['with another tag', `"${other}"`, false],
  ['with its digest, but no quotes', digest, false],
  ['with half of its digest', `"${digest.slice(0, 40)}"`, false],
  ['with its digest in capitals', `"${digest.toUpperCase()}"`, false],
  ['with its own tag behind a weak mark in the middle', `xW/"${digest}"`, false],
  ['with nothing but commas', ',,,', false],
]
for (const [when, header, want] of noneMatch) {
  test(`Content ${when} in If-None-Match is ${want ? 'not sent again' : 'sent'}`, () => {
    assert.equal(noneMatchHits(header, digest), want)
  })
}

const ifRange: [string, string | undefined, boolean][] = [
  ['no If-Range', undefined, true],
  ['its own tag', `"${digest}"`, true],
  ['its own tag in blanks', ` "${digest}" `, true],
  ['its own tag, weak', `W/"${digest}"`, false],
  ['another tag', `"${other}"`, false],
  ['no quotes', digest, false],
  ['a date', 'Wed, 21 Oct 2015 07:28:00 GMT', false],
  ['a star', '*', false],
  ['nothing', '', false],
]
for (const [what, header, want] of ifRange) {
  test(`A range beside ${what === 'no If-Range' ? what : `an If-Range of ${what}`} is ${want ? 'honoured' : 'ignored'}`, () => {
    assert.equal(ifRangeHolds(header, digest), want)
  })
}
