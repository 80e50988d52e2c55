import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FLAGS } from '../../src/config/flags.ts'
import type { Setting } from '../../src/config/section.ts'
import { settings } from '../../src/config/settings.ts'

const rows = Object.entries<Setting<unknown>>(settings)

test('The settings are those of the issue and of the seeds', () => {
  const keys =
    'imagePath configFile logLevel logFile logFormat host port drainTimeout os arch pullTimeout alwaysPullLatest tagPolicy skipTags cacheManifests ' +
    'privateRegistries negativeTtl airGapped prefetch allowUnconfigured defaultNs ' +
    'registries credsFile dockerConfig platforms referrers preloadImages imageFile concurrency resolveRef minFree scrub maxSize highWatermark lowWatermark pins admin health metrics helloWorld pruneConfig listConfig serverTlsConfig maxConnections maxRequestsPerClient allow deny'
  assert.equal(rows.map(([key]) => key).join(' '), keys)
})

test('A flag is called as its key, with dashes; one that is given once for each item of a list, as one of them', () => {
  for (const { flag, key, repeated } of FLAGS) {
    const name = repeated ? key.replace(/ies$/, 'y').replace(/s$/, '') : key
    assert.equal(flag, `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`)
  }
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
