/** The marks in the table of settings and the keys of the live configuration are about the same. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Config } from '../../src/config/config.ts'
import { LiveConfig } from '../../src/config/live-config.ts'
import { isAvailable, type Setting } from '../../src/config/section.ts'
import { settings } from '../../src/config/settings.ts'
import { loadText } from './load-text.ts'

/** Another value than the default, and the key of `Config` that has it. */
const samples: Readonly<Record<string, readonly [yaml: string, key: keyof Config]>> = {
  imagePath: ['/x', 'imagePath'],
  logLevel: ['debug', 'logLevel'],
  logFile: ['/x', 'logFile'],
  logFormat: ['json', 'logFormat'],
  host: ['127.0.0.1', 'host'],
  port: ['9000', 'port'],
  drainTimeout: ['7s', 'drainTimeoutMs'],
  os: ['linux', 'os'],
  arch: ['riscv64', 'arch'],
  pullTimeout: ['5000', 'pullTimeoutMs'],
  alwaysPullLatest: ['true', 'alwaysPullLatest'],
  tagPolicy: ["[{match: '**:latest', revalidate: always}]", 'tagPolicy'],
  skipTags: ['latest', 'skipTags'],
  cacheManifests: ['false', 'cacheManifests'],
  privateRegistries: ['[a.io]', 'privateRegistries'],
  negativeTtl: ['1s', 'negativeTtlMs'],
  airGapped: ['true', 'airGapped'],
  prefetch: ['false', 'prefetch'],
  allowUnconfigured: ['false', 'allowUnconfigured'],
  defaultNs: ['quay.io', 'defaultNs'],
  registries: ['[{name: a.io}]', 'registries'],
  platforms: ['[all]', 'load'],
  referrers: ['true', 'load'],
  preloadImages: ['/x', 'load'],
  imageFile: ['/x', 'load'],
  concurrency: ['7', 'load'],
  minFree: ['1MiB', 'minFree'],
  scrub: ['{every: 1d}', 'scrub'],
  maxSize: ['1GiB', 'budget'],
  highWatermark: ['90', 'budget'],
  lowWatermark: ['10', 'budget'],
  pins: ['[alpine]', 'pins'],
  health: ['8081', 'health'],
  helloWorld: ['true', 'helloWorld'],
  pruneConfig: ['{enabled: true}', 'prune'],
  listConfig: ['{header: true}', 'list'],
  maxConnections: ['7', 'limits'],
  maxRequestsPerClient: ['7', 'limits'],
  allow: ['[quay.io]', 'nameRules'],
  deny: ['[quay.io]', 'nameRules'],
}
/** Their values are files, which have to be there, or maps of which one key is live: below. */
const APART = ['credsFile', 'dockerConfig', 'admin']

const rows = Object.entries<Setting<unknown>>(settings).filter(([key, row]) => isAvailable(row) && samples[key] !== undefined)
for (const [key, row] of rows) {
  const [yaml, configKey] = samples[key] ?? ['', 'port']
  test(`A reload ${row.live === true ? 'changes' : 'does not change'} ${key}`, async (t) => {
    const started = (await loadText(t, 'maxSize: 1MiB')).config
    const next = (await loadText(t, `${key === 'maxSize' ? '' : 'maxSize: 1MiB\n'}${key}: ${yaml}`)).config
    assert.notDeepEqual(next[configKey], started[configKey], 'the sample is another value')
    const live = new LiveConfig(started)
    const changed = live.replace(next)
    assert.equal(changed.has(configKey), row.live === true)
    assert.deepEqual(live.view[configKey], row.live === true ? next[configKey] : started[configKey])
  })
}

for (const key of ['credsFile', 'dockerConfig'] as const) {
  test(`A reload changes ${key}`, async (t) => {
    const { config } = await loadText(t, '')
    const live = new LiveConfig(config)
    assert.deepEqual([...live.replace({ ...config, [key]: '/x' })], [key])
    assert.equal(live.view[key], '/x')
  })
}

test('A reload changes the file of the token, but not the port of the admin API', async (t) => {
  const { config } = await loadText(t, '')
  const live = new LiveConfig(config)
  const changed = live.replace({ ...config, admin: { tokenFile: '/x', port: 8082 } })
  assert.deepEqual([...changed], ['admin'])
  assert.deepEqual(live.view.admin, { tokenFile: '/x', port: 0 })
})

test('Every key that a reload changes has a sample above', () => {
  const missing = Object.entries<Setting<unknown>>(settings).filter(([key, { live }]) => live === true && samples[key] === undefined)
  assert.deepEqual(
    missing.map(([key]) => key).filter((key) => !APART.includes(key)),
    [],
  )
})
