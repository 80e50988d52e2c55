import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FLAGS } from '../../src/config/flags.ts'
import type { Setting } from '../../src/config/section.ts'
import { settings } from '../../src/config/settings.ts'

const rows = Object.entries<Setting<unknown>>(settings)

test('The settings are those of the issue and of the seeds', () => {
  const keys =
    'imagePath configFile logLevel logFile logFormat host port os arch pullTimeout alwaysPullLatest airGapped prefetch allowUnconfigured defaultNs ' +
    'registries credsFile dockerConfig preloadImages imageFile resolveRef health metrics helloWorld pruneConfig listConfig serverTlsConfig'
  assert.equal(rows.map(([key]) => key).join(' '), keys)
})

test('A flag is called as its key, with dashes', () => {
  for (const { flag, key } of FLAGS) assert.equal(flag, `--${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`)
})

for (const { flag, type, default: value } of FLAGS) {
  if (value === undefined) continue
  test(`The default of ${flag} is allowed by its own type`, () => {
    assert.equal(type.parse({ text: String(value), quoted: false, isText: true }), value)
  })
}

test('Every setting has a help that is one sentence', () => {
  for (const [key, { help }] of rows) assert.match(help, /^[A-Z\d/].*\.$/, key)
})
