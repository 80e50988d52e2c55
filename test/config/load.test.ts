import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { parseCommandLine } from '../../src/config/flags.ts'
import { loadConfig } from '../../src/config/load.ts'
import { systemClock } from '../../src/observe/clock.ts'
import { loadText, PLATFORM } from './load-text.ts'

/** What the settings of loading, listing and removing images are, where nobody says otherwise. */
const HOUSEKEEPING = {
  prune: {
    enabled: false,
    type: 'accessed',
    durationMs: 30 * 24 * 3600_000,
    patterns: undefined,
    frequencyMs: 24 * 3600_000,
    count: undefined,
    dryRun: false,
  },
  budget: { maxBytes: undefined, highBytes: 0, lowBytes: 0 },
  pins: undefined,
  admin: { tokenFile: undefined, port: 0 },
  load: {
    preloadImages: undefined,
    imageFile: undefined,
    platforms: [{ os: 'plan9', architecture: 'mips' }],
    referrers: false,
    concurrency: 4,
  },
  list: { header: false, shortDigest: false, patterns: undefined },
  serverTls: undefined,
  limits: { maxConnections: 4096, maxRequestsPerClient: 256 },
  nameRules: { allow: [], deny: [] },
  drainTimeoutMs: undefined,
}

const DEFAULTS = {
  ...HOUSEKEEPING,
  imagePath: '/var/lib/ociregistry',
  logLevel: 'error',
  logFile: undefined,
  logFormat: 'text',
  host: '0.0.0.0',
  port: 8080,
  os: 'plan9',
  arch: 'mips',
  pullTimeoutMs: 60000,
  alwaysPullLatest: false,
  tagPolicy: [],
  skipTags: undefined,
  cacheManifests: true,
  privateRegistries: [],
  negativeTtlMs: 10_000,
  airGapped: false,
  prefetch: true,
  allowUnconfigured: true,
  defaultNs: 'docker.io',
  registries: [],
  credsFile: undefined,
  dockerConfig: undefined,
  proxies: { exceptions: [] },
  minFree: { bytes: 1024 ** 3, percent: 5 },
  scrub: { everyMs: 7 * 24 * 3600_000, bytesPerSecond: 20 * 1024 ** 2 },
  health: 0,
  metrics: 0,
  helloWorld: false,
}

test('Without a file and flags everything has its default', async () => {
  const { config, warnings } = await loadConfig({ flags: parseCommandLine([]), env: {}, platform: PLATFORM, clock: systemClock })
  assert.deepEqual({ config, warnings }, { config: DEFAULTS, warnings: [] })
})

test('The full configuration file of 1.8.3 loads unchanged, gives the defaults, and warns of nothing', async (t) => {
  const text = await readFile(new URL('fixtures/full-1.8.3.yaml', import.meta.url))
  const { config, warnings } = await loadText(t, text)
  assert.deepEqual({ config, warnings }, { config: DEFAULTS, warnings: [] })
})

const empty: [sentence: string, text: string][] = [
  ['An empty file means the defaults', ''],
  ['A file with only comments means the defaults', '# nothing\n\n# yet\n'],
  ['A file with only a document mark means the defaults', '---\n'],
  ['An empty map means the defaults', '{}'],
  [
    'Empty values mean the defaults',
    'imagePath:\nlogLevel: ""\nport: ~\nairGapped: null\nregistries:\ndefaultNs: \'\'\npruneConfig:\nos:\n',
  ],
  ['An empty list in place of all means the defaults', '[]'],
  ['Empty lists and maps mean the defaults', 'registries: []\npruneConfig: {}\nserverTlsConfig: {}\nlistConfig: []\nport: {}\n'],
  ['A port 0 in the file means the default', 'port: 0\n'],
  ['A configFile within the file means nothing', 'configFile: /etc/other.yaml\n'],
  ['A byte order mark and Windows line ends do no harm', '\ufeffport: 8080\r\nlogLevel: error\r\n'],
]
for (const [sentence, text] of empty) {
  test(sentence, async (t) => {
    const { config, warnings } = await loadText(t, text)
    assert.deepEqual({ config, warnings }, { config: DEFAULTS, warnings: [] })
  })
}

test('Every plain setting of the file counts', async (t) => {
  const text = `
    imagePath: /srv/images
    logLevel: INFO
    logFile: /tmp/x.log
    logFormat: json
    host: "::"
    port: 9000
    os: linux
    arch: 386
    pullTimeout: 1500
    alwaysPullLatest: yes
    cacheManifests: 0
    privateRegistries: [Quay.IO, index.docker.io, docker.io]
    negativeTtl: 1m30s
    airGapped: On
    scrub: {every: 1d, rate: 1MiB}
    prefetch: false
    allowUnconfigured: no
    defaultNs: Quay.IO
    minFree: 2GB
    health: 8081
    metrics: 9090
    helloWorld: on`
  const { config, warnings } = await loadText(t, text)
  assert.deepEqual(config, {
    ...HOUSEKEEPING,
    load: { ...HOUSEKEEPING.load, platforms: [{ os: 'linux', architecture: '386' }] },
    imagePath: '/srv/images',
    logLevel: 'info',
    logFile: '/tmp/x.log',
    logFormat: 'json',
    host: '::',
    port: 9000,
    os: 'linux',
    arch: '386',
    pullTimeoutMs: 1500,
    alwaysPullLatest: true,
    tagPolicy: [],
    skipTags: undefined,
    cacheManifests: false,
    privateRegistries: ['quay.io', 'docker.io'],
    negativeTtlMs: 90_000,
    airGapped: true,
    scrub: { everyMs: 24 * 3600_000, bytesPerSecond: 1024 ** 2 },
    prefetch: false,
    allowUnconfigured: false,
    defaultNs: 'quay.io',
    registries: [],
    credsFile: undefined,
    dockerConfig: undefined,
    proxies: { exceptions: [] },
    minFree: { bytes: 2_000_000_000, percent: 100 },
    health: 8081,
    metrics: 9090,
    helloWorld: true,
  })
  assert.deepEqual(warnings, [])
})

test('A flag wins over the file, the file over the default', async (t) => {
  const { config } = await loadText(t, 'port: 1\nhost: 127.0.0.1\nlogFile: /x\nairGapped: true', {
    args: ['--port', '2', '--air-gapped=false', '--log-file='],
  })
  assert.deepEqual(
    [config.port, config.host, config.logFile, config.airGapped, config.logLevel],
    [2, '127.0.0.1', undefined, false, 'error'],
  )
})

test('Port 0 on the command line stays 0, whatever the file says', async (t) => {
  assert.equal((await loadText(t, 'port: 9000', { args: ['--port', '0'] })).config.port, 0)
})

test('airGapped beside alwaysPullLatest is no mistake', async (t) => {
  const { config, warnings } = await loadText(t, 'airGapped: true\nalwaysPullLatest: true')
  assert.deepEqual([config.airGapped, config.alwaysPullLatest, warnings], [true, true, []])
})

test('The configuration is frozen through and through', async (t) => {
  const { config } = await loadText(t, 'registries: [{name: quay.io, auth: {user: a, password: b}}]')
  const [entry] = config.registries
  for (const part of [config, config.registries, entry, entry?.aliases, entry?.auth, entry?.tls, ...Object.values(entry?.auth ?? {})])
    assert.ok(Object.isFrozen(part))
})

test('Entries may share parts by anchor and alias', async (t) => {
  const text = 'registries:\n- name: a.io\n  auth: &me {user: a, password: b}\n- name: b.io\n  auth: *me\n'
  const { config } = await loadText(t, text)
  assert.deepEqual(config.registries[0]?.auth, config.registries[1]?.auth)
})

const WARNING = 'this version does not have what these settings ask for, and goes on without: '
const later: [sentence: string, text: string, args: string[], names: string | undefined][] = [
  [
    'One warning names every setting whose feature comes later',
    'preloadImages: /x\nimageFile: /y\nresolveRef: a.b/c:1\npruneConfig: {enabled: true}\nregistries: [{name: a.io, auth: {token: {provider: ecr}}}]\nlistConfig:\n  header: true',
    [],
    'resolveRef (config.yaml:3), registries[0].auth.token (config.yaml:5)',
  ],
  [
    'What does not switch a later feature on needs no warning',
    'health: 0\nmetrics: 0\npruneConfig: {enabled: false, duration: 12h, dryRun: true, dryrun: true, type: created, expr: x, count: 5, frequency: 1h30m}\n' +
      'listConfig: {header: false, expr: ""}\nserverTlsConfig: {clientAuth: none}\n',
    ['--metrics=0', '--preload-images='],
    undefined,
  ],
  [
    "A registry's token source is warned about",
    'registries:\n- name: a.io\n  auth:\n    token: {provider: ecr, providerOpts: "profile=x", expiry: 6h}',
    [],
    'registries[0].auth.token (config.yaml:4)',
  ],
  ['Metrics are no later feature, by key or by flag', 'metrics: 1', ['--metrics', '2'], undefined],
]
for (const [sentence, text, args, names] of later) {
  test(sentence, async (t) => {
    assert.deepEqual((await loadText(t, text, { args })).warnings, names === undefined ? [] : [WARNING + names])
  })
}
