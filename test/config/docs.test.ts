import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { parseCredsFile } from '../../src/config/creds-file.ts'
import { FLAGS } from '../../src/config/flags.ts'
import { isAvailable } from '../../src/config/section.ts'
import { registryKeys, settings } from '../../src/config/settings.ts'

const page = readFileSync(new URL('../../docs/configuration.md', import.meta.url), 'utf8')

for (const key of [...Object.keys(settings), ...registryKeys]) {
  test(`docs/configuration.md names the key ${key}`, () => assert.ok(page.includes(`\`${key}\``)))
}

test('The credentials file that docs/configuration.md shows is one', async () => {
  const [, example = ''] = /\*\*`credsFile`\*\*[^`]*(?:`[^`]+`[^`]*)*?```yaml\n(.*?)```/s.exec(page) ?? []
  const { credentials } = await parseCredsFile('creds.yaml', Buffer.from(example))
  assert.deepEqual(
    credentials.map(({ prefix: { registry, path } }) => [registry, path]),
    [
      ['docker.io', ''],
      ['docker.io', 'library'],
      ['registry.example:5000', ''],
    ],
  )
})

for (const { key, flag, aliases = [] } of FLAGS.filter(isAvailable)) {
  const rows = page.split('\n').filter((line) => line.startsWith('|') && line.includes(`\`${flag}\``))
  for (const name of [flag, ...aliases]) {
    test(`docs/configuration.md names the flag ${name} beside ${key}`, () => assert.ok(rows.some((row) => row.includes(`\`${name}\``))))
  }
}
