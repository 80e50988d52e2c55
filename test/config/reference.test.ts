import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { withReference } from '../../scripts/settings-reference.ts'

test('The reference of settings in docs/operations.md is that of the table; `npm run docs` makes it so', () => {
  const page = readFileSync(new URL('../../docs/operations.md', import.meta.url), 'utf8')
  assert.equal(withReference(page), page)
})
