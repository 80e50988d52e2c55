/** The examples of `docs/admin.md` are taken at their word. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { ADMIN_ROUTES } from '../../../src/server/admin/routes.ts'
import { layAdmin } from './support.ts'

const page = readFileSync(new URL('../../../docs/admin.md', import.meta.url), 'utf8')
/** `curl -X DELETE 'http://127.0.0.1:8080/cmd/…'`, with a body or without. */
const EXAMPLE = /^curl (?:-X (\w+) )?'?http:\/\/127\.0\.0\.1:8080(\/cmd\/[^'\s]+)'?(?: -d '([^']+)')?$/gm
const examples = Array.from(page.matchAll(EXAMPLE), ([line, method, target = '', body]) => ({ line, method, target, body }))

test('Every curl example of docs/admin.md works', async (t) => {
  const { ask } = await layAdmin(t)
  assert.equal(examples.length, page.split('\n').filter((line) => line.startsWith('curl ') && line.includes('127.0.0.1')).length)
  for (const { line, method, target, body } of examples) {
    const { status } = await ask(target, {
      method: method ?? (body === undefined ? 'GET' : 'POST'),
      ...(body === undefined ? {} : { body }),
    })
    assert.ok(status < 300, `${line}: ${status}`)
  }
})

test('docs/admin.md has an example for every path of the admin API, and names every parameter', () => {
  for (const { path, parameters } of ADMIN_ROUTES) {
    assert.ok(
      examples.some(({ target }) => target.split('?')[0] === path),
      path,
    )
    for (const name of parameters) assert.ok(page.includes(`\`${name}\``), `${path} ${name}`)
  }
})
