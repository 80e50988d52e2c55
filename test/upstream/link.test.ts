import assert from 'node:assert/strict'
import { test } from 'node:test'
import { nextLink } from '../../src/upstream/link.ts'

const cases: [header: string | undefined, next: string | undefined][] = [
  ['</v2/a/tags/list?n=2&last=b>; rel="next"', '/v2/a/tags/list?n=2&last=b'],
  ['</v2/a/tags/list?last=b>; rel=next', '/v2/a/tags/list?last=b'],
  ['<https://r.example/v2/a/tags/list?last=b>;rel="next"', 'https://r.example/v2/a/tags/list?last=b'],
  ['</a,b>; rel="prev", </c>; title="x, y"; rel="next"', '/c'],
  ['</c>; rel="first next"', '/c'],
  ['</c>; rel="nextish"', undefined],
  ['</c>; rel=prev', undefined],
  ['</c>', undefined],
  ['nonsense', undefined],
  [undefined, undefined],
]
for (const [header, next] of cases) test(`Link: ${header}`, () => assert.equal(nextLink(header), next))
