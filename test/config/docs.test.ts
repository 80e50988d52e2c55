import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { FLAGS } from '../../src/config/flags.ts'
import { isAvailable } from '../../src/config/section.ts'
import { registryKeys, settings } from '../../src/config/settings.ts'

const page = readFileSync(new URL('../../docs/configuration.md', import.meta.url), 'utf8')

for (const key of [...Object.keys(settings), ...registryKeys]) {
  test(`docs/configuration.md names the key ${key}`, () => assert.ok(page.includes(`\`${key}\``)))
}

for (const flag of FLAGS.filter(isAvailable)) {
  test(`docs/configuration.md names the flag ${flag.flag}`, () => assert.ok(page.includes(`\`${flag.flag}\``)))
}
