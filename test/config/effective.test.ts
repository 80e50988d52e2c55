import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { changesBetween } from '../../src/config/changes.ts'
import { LiveConfig } from '../../src/config/live-config.ts'
import { pemPair } from '../support/certificates.ts'
import { temporaryDirectory } from '../support/files.ts'
import { loadText } from './load-text.ts'

type Row = [key: string, text: string | undefined, from: string]
const cases: [sentence: string, yaml: string, args: readonly string[], rows: readonly Row[]][] = [
  ['a default', '', [], [['port', '8080', 'default']]],
  ['a default of this machine', '', [], [['arch', 'mips', 'default']]],
  ['a default that is none', '', [], [['credsFile', undefined, 'default']]],
  ['a default in words', '', [], [['logFile', 'stderr', 'default']]],
  ['a key of the file, with its line', '\nlogLevel: info', [], [['logLevel', 'info', 'config.yaml:2']]],
  ['a flag, which wins', 'port: 1', ['--port', '2'], [['port', '2', '--port']]],
  ['a flag under another name', '', ['-p', '2'], [['port', '2', '--port']]],
  ['an empty flag, which is the default whatever the file says', 'credsFile: /x', ['--creds-file='], [['credsFile', undefined, 'default']]],
  ['a duration, as one writes it', 'negativeTtl: 90m', [], [['negativeTtl', '1h30m', 'config.yaml:1']]],
  ['a size', 'maxSize: 2GB', [], [['maxSize', '2GB', 'config.yaml:1']]],
  ['a part of the disk', 'minFree: 7%', [], [['minFree', '7%', 'config.yaml:1']]],
  ['both parts of the default of minFree', '', [], [['minFree', '5% or 1GiB, whichever is less', 'default']]],
  ['a list of globs', 'deny: [ghcr.io, "quay.io/a/**"]', [], [['deny', '[ghcr.io/**, quay.io/a/**]', 'config.yaml:1']]],
  ['a list', 'pins: [a, b]', [], [['pins', '[a, b]', 'config.yaml:1']]],
  [
    'a flag that is given more than once',
    '',
    ['--platform', 'linux/arm/v7', '--platform', 'all'],
    [['platforms', '[linux/arm/v7, all]', '--platform']],
  ],
  [
    'a key in a map, and the defaults beside it',
    'scrub:\n  every: 0s',
    [],
    [
      ['scrub.every', '0s', 'config.yaml:2'],
      ['scrub.rate', '20MiB', 'default'],
    ],
  ],
  [
    'an entry by its name, and only what it says',
    'registries:\n- name: a.io\n  url: http://b.io:1',
    [],
    [
      ['registries[a.io].name', 'a.io', 'config.yaml:2'],
      ['registries[a.io].url', 'http://b.io:1', 'config.yaml:3'],
    ],
  ],
  ['a rule by its place', "tagPolicy: [{match: '**:latest', revalidate: 1h}]", [], [['tagPolicy[0].revalidate', '1h', 'config.yaml:1']]],
  [
    'no password',
    'registries: [{name: a.io, auth: {user: me, password: x}}]',
    [],
    [['registries[a.io].auth.password', '(hidden)', 'config.yaml:1']],
  ],
]
for (const [sentence, yaml, args, rows] of cases) {
  test(`An effective setting is ${sentence}`, async (t) => {
    const { settings } = await loadText(t, yaml, { args })
    const found = rows.map(([key]) => settings.find((setting) => setting.key === key))
    assert.deepEqual(
      found.map((setting) => [setting?.key, setting?.text, setting?.from]),
      rows,
    )
  })
}

test('What an entry does not say is no effective setting', async (t) => {
  const { settings } = await loadText(t, 'registries: [{name: a.io, auth: {user: me, password: x}}]')
  const keys = settings.map(({ key }) => key).filter((key) => key.startsWith('registries'))
  assert.deepEqual(keys, ['registries[a.io].name', 'registries[a.io].auth.user', 'registries[a.io].auth.password'])
})

test('A proxy of the environment is among the effective settings, without its password', async (t) => {
  const { settings } = await loadText(t, '', { env: { HTTPS_PROXY: 'http://me:secret@proxy.example:3128' } })
  const { key, text, from } = settings.at(-1) ?? {}
  assert.deepEqual([key, text, from], ['HTTPS_PROXY', 'http://proxy.example:3128', 'environment'])
})

const changes: [sentence: string, before: string, after: string, live: readonly string[], waiting: readonly string[]][] = [
  ['nothing', 'logLevel: info', '\n\nlogLevel: info', [], []],
  ['a value', 'logLevel: info', 'logLevel: debug', ['logLevel: info -> debug'], []],
  ['a value that is a default now', 'negativeTtl: 1m', '', ['negativeTtl: 1m -> 10s'], []],
  ['the same value in other words', 'negativeTtl: 60s', 'negativeTtl: 1m', [], []],
  ['a key in a map', 'scrub: {every: 1d}', 'scrub: {every: 2d}', ['scrub.every: 1d -> 2d'], []],
  [
    'a new entry above others',
    'registries: [{name: b.io}]',
    'registries: [{name: a.io}, {name: b.io}]',
    ['registries[a.io].name: nothing -> a.io'],
    [],
  ],
  [
    'a password, which is not shown',
    'registries: [{name: a.io, auth: {user: me, password: x}}]',
    'registries: [{name: a.io, auth: {user: me, password: y}}]',
    ['registries[a.io].auth.password: (hidden) -> (hidden)'],
    [],
  ],
  ['what waits for a restart', 'port: 1\nimagePath: /a', 'port: 2\nimagePath: /b', [], ['imagePath', 'port']],
  ['a port in a map whose token may change', 'admin: {port: 1}', 'admin: {port: 2}', [], ['admin.port']],
]
for (const [sentence, before, after, live, waiting] of changes) {
  test(`A reading differs from the one before by ${sentence}`, async (t) => {
    const [running, read] = [await loadText(t, before), await loadText(t, after)]
    const found = changesBetween(running.settings, read.settings)
    const withoutFile = (keys: readonly string[]) => keys.filter((key) => !key.startsWith('configFile'))
    assert.deepEqual([withoutFile(found.live), withoutFile(found.waiting)], [live, waiting])
    const again = changesBetween(found.settings, read.settings)
    assert.deepEqual([withoutFile(again.live), withoutFile(again.waiting)], [[], waiting], 'what waits is said each time, the rest once')
  })
}

/** `one` and `two` are files that hold a certificate and its key. */
const ON = 'cert: one, key: one'
const tlsChanges: [sentence: string, before: string | undefined, after: string | undefined, live: string[], waiting: string[]][] = [
  ['other files count at once', ON, 'cert: two, key: two', ['cert: one -> two', 'key: one -> two'], []],
  ['other authorities count at once', `${ON}, ca: one, clientAuth: verify`, `${ON}, ca: two, clientAuth: verify`, ['ca: one -> two'], []],
  ['TLS that is switched on waits for a restart', undefined, ON, [], ['cert', 'key']],
  ['TLS that is switched off waits for a restart', ON, undefined, [], ['cert', 'key']],
  [
    'with another clientAuth all of it waits for a restart',
    ON,
    'cert: two, key: two, ca: two, clientAuth: verify',
    [],
    ['cert', 'key', 'ca', 'clientAuth'],
  ],
]
for (const [sentence, before, after, live, waiting] of tlsChanges) {
  test(`Of serverTlsConfig: ${sentence}`, async (t) => {
    const directory = await temporaryDirectory(t)
    const pem = await pemPair(t)
    for (const name of ['one', 'two']) await writeFile(join(directory, name), pem)
    const yamlOf = (map: string | undefined) =>
      map === undefined ? '' : `serverTlsConfig: {${map.replaceAll(/\b(?:one|two)\b/g, (name) => join(directory, name))}}`
    const [running, read] = [await loadText(t, yamlOf(before)), await loadText(t, yamlOf(after))]
    const brief = (texts: readonly string[]) =>
      texts
        .filter((text) => text.startsWith('serverTlsConfig.'))
        .map((text) => text.replace('serverTlsConfig.', '').replaceAll(`${directory}/`, ''))
    const found = changesBetween(running.settings, read.settings)
    assert.deepEqual([brief(found.live), brief(found.waiting)], [live, waiting])
    const again = changesBetween(found.settings, read.settings)
    assert.deepEqual([brief(again.live), brief(again.waiting)], [[], waiting], 'what waits is said each time, the rest once')
    const config = new LiveConfig(running.config)
    config.replace(read.config)
    assert.deepEqual(config.view.serverTls, (waiting.length === 0 ? read : running).config.serverTls, 'and it is so')
  })
}
