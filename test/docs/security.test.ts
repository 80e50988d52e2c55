/** docs/security.md points at tests: they are there. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { test } from 'node:test'

const page = readFileSync(new URL('../../docs/security.md', import.meta.url), 'utf8')

test('Every test that docs/security.md names is there', () => {
  const paths = Array.from(page.matchAll(/`(test\/[^`]*\.test\.ts)`/g), ([, path = '']) => path)
  assert(paths.length > 30, 'they were found')
  assert.deepEqual(
    paths.filter((path) => !existsSync(new URL(`../../${path}`, import.meta.url))),
    [],
  )
})
