import assert from 'node:assert/strict'
import { test } from 'node:test'
import { OciError } from '../../src/oci/error.ts'
import { nextPageLink, type Page, pageLimit, pageOf } from '../../src/server/paging.ts'

const TAGS = ['1', '2', '3', 'A', 'a', 'b']

const cases: [n: string | null, last: string | null, want: Page][] = [
  [null, null, { tags: TAGS, more: false }],
  // distribution-spec, "Listing Tags"
  ['2', null, { tags: ['1', '2'], more: true }],
  ['6', null, { tags: TAGS, more: false }],
  ['5', null, { tags: TAGS.slice(0, 5), more: true }],
  ['1000', null, { tags: TAGS, more: false }], // crane
  ['0', null, { tags: [], more: false }], // empty and without a Link
  ['0', '2', { tags: [], more: false }],
  ['2', '2', { tags: ['3', 'A'], more: true }], // last is not included
  ['2', 'a', { tags: ['b'], more: false }],
  ['2', 'b', { tags: [], more: false }],
  // conformance `read-only/tag-list`: last without n gives all that follow
  [null, '3', { tags: ['A', 'a', 'b'], more: false }],
  // last is a value, not an index: it need not exist
  [null, '25', { tags: ['3', 'A', 'a', 'b'], more: false }],
  [null, '0', { tags: TAGS, more: false }],
  ['1', '25', { tags: ['3'], more: true }],
  [null, 'zzz', { tags: [], more: false }],
  // ASCIIbetical: upper case before lower
  [null, 'Z', { tags: ['a', 'b'], more: false }],
  // an empty parameter counts as none
  ['', '', { tags: TAGS, more: false }],
  ['002', null, { tags: ['1', '2'], more: true }],
  ['999999999', null, { tags: TAGS, more: false }],
]

for (const [n, last, want] of cases) test(`page n=${n} last=${last}`, () => assert.deepEqual(pageOf(TAGS, pageLimit(n), last), want))

for (const n of ['-1', '1.5', 'x', '1e3', ' 1', '0x10', '٣', '1'.repeat(400)]) {
  test(`page n=${n.slice(0, 20)} is refused`, () => {
    assert.throws(
      () => pageLimit(n),
      (error) => error instanceof OciError && error.status === 400 && error.message.length < 200,
    )
  })
}

test('page of no tags at all', () => assert.deepEqual(pageOf([], 1, null), { tags: [], more: false }))

const links: [path: string, query: string, last: string, want: string][] = [
  ['/v2/a/tags/list', 'n=2', 'x', '</v2/a/tags/list?n=2&last=x>; rel="next"'],
  ['/v2/a/tags/list', 'n=2&last=w', 'x', '</v2/a/tags/list?n=2&last=x>; rel="next"'],
  // ns and the shape of the path are kept, so that the next page is of the same list
  ['/v2/a/tags/list', 'ns=reg.example%3A5000&n=2', 'x', '</v2/a/tags/list?ns=reg.example%3A5000&n=2&last=x>; rel="next"'],
  ['/docker.io/v2/a/tags/list', 'n=1', '1', '</docker.io/v2/a/tags/list?n=1&last=1>; rel="next"'],
  // whatever an upstream calls a tag, it does not break out of the header
  ['/v2/a/tags/list', 'n=1', '>; rel="x"\r\ny', '</v2/a/tags/list?n=1&last=%3E%3B+rel%3D%22x%22%0D%0Ay>; rel="next"'],
]

for (const [path, query, last, want] of links) {
  test(`next page of ${path}?${query}`, () => assert.equal(nextPageLink(path, new URLSearchParams(query), last), want))
}

test('pages put together are the list, whatever their size', () => {
  for (let n = 1; n <= TAGS.length + 1; n++) {
    const seen: string[] = []
    let page = pageOf(TAGS, n, null)
    seen.push(...page.tags)
    while (page.more) {
      page = pageOf(TAGS, n, seen.at(-1) ?? null)
      seen.push(...page.tags)
    }
    assert.deepEqual(seen, TAGS)
  }
})
