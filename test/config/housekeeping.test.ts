/** Settings of loading, listing and removing images. */
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Config } from '../../src/config/config.ts'
import { temporaryDirectory } from '../support/files.ts'
import { loadText } from './load-text.ts'

const DAY_MS = 24 * 3600_000
const GIB = 1024 ** 3

const values: [text: string, args: string[], pick: (config: Config) => unknown, want: unknown][] = [
  [
    'pruneConfig: {enabled: true}',
    [],
    ({ prune }) => [prune.enabled, prune.type, prune.durationMs, prune.frequencyMs, prune.count],
    [true, 'accessed', 30 * DAY_MS, DAY_MS, undefined],
  ],
  [
    'pruneConfig: {enabled: true, type: Created, duration: 12h, frequency: 2d, count: 5}',
    [],
    ({ prune }) => [prune.type, prune.durationMs, prune.frequencyMs, prune.count],
    ['created', DAY_MS / 2, 2 * DAY_MS, 5],
  ],
  ['pruneConfig: {count: 0}', [], ({ prune }) => prune.count, undefined],
  ['pruneConfig: {dryRun: true}', [], ({ prune }) => prune.dryRun, true],
  ['pruneConfig: {dryrun: true}', [], ({ prune }) => prune.dryRun, true],
  ['pruneConfig: {dryRun: false, dryrun: true}', [], ({ prune }) => prune.dryRun, true],
  [
    'pruneConfig: {enabled: true, type: pattern, expr: "a.io,^b"}',
    [],
    ({ prune }) => ['a.io/x:1', 'b.io/x:1', 'c.io/b:1'].map((name) => prune.patterns?.matches(name)),
    [true, true, false],
  ],
  ['pruneConfig: {enabled: false, type: pattern, duration: -1h, frequency: 0s}', [], ({ prune }) => prune.enabled, false],
  [
    'maxSize: 10GiB',
    [],
    ({ budget }) => budget,
    { maxBytes: 10 * GIB, highBytes: Math.floor((10 * GIB * 95) / 100), lowBytes: Math.floor((10 * GIB * 85) / 100) },
  ],
  [
    'maxSize: 1GiB\nhighWatermark: 50%\nlowWatermark: 25',
    ['--max-size', '4GiB'],
    ({ budget }) => budget,
    { maxBytes: 4 * GIB, highBytes: 2 * GIB, lowBytes: GIB },
  ],
  [
    'pins: [^registry\\.k8s\\.io/, pause]',
    [],
    ({ pins }) => ['registry.k8s.io/x:1', 'a.io/pause:3', 'a.io/x:1'].map((name) => pins?.matches(name)),
    [true, true, false],
  ],
  ['pins: []', [], ({ pins }) => pins, undefined],
  [
    'platforms: [linux/arm64, Linux/ARM/v7]',
    [],
    ({ load }) => load.platforms,
    [
      { os: 'linux', architecture: 'arm64' },
      { os: 'linux', architecture: 'arm', variant: 'v7' },
    ],
  ],
  ['platforms: [linux/arm64]', ['--platform', 'all', '--platform', 'linux/amd64'], ({ load }) => load.platforms, 'all'],
  ['os: windows\narch: arm64', [], ({ load }) => load.platforms, [{ os: 'windows', architecture: 'arm64' }]],
  [
    'preloadImages: a.txt,b/*.txt\nreferrers: true\nconcurrency: 2',
    [],
    ({ load: { preloadImages, referrers, concurrency } }) => [preloadImages, referrers, concurrency],
    ['a.txt,b/*.txt', true, 2],
  ],
  [
    'listConfig: {header: true, shortDigest: true, expr: "x,y"}',
    [],
    ({ list }) => [list.header, list.shortDigest, list.patterns?.source],
    [true, true, 'x,y'],
  ],
  ['admin: {port: 8082}', [], ({ admin }) => admin, { tokenFile: undefined, port: 8082 }],
]
for (const [text, args, pick, want] of values) {
  test(`${[text.replaceAll('\n', '; '), ...args].join(' ')} counts`, async (t) =>
    assert.deepEqual(pick((await loadText(t, text, { args })).config), want))
}

const EXPRESSIONS = "want Go's regular expressions, separated by commas"
const mistakes: [text: string, message: string][] = [
  [
    'pruneConfig:\n  enabled: true\n  type: pattern',
    'config.yaml:1: pruneConfig.expr: found nothing beside type pattern, want expressions',
  ],
  [
    'pruneConfig:\n  enabled: true\n  type: pattern\n  expr: "a,("',
    `config.yaml:4: pruneConfig.expr: found "(": missing closing ): \`(\`, ${EXPRESSIONS}`,
  ],
  ['pruneConfig: {enabled: true, duration: -1d}', 'config.yaml:1: pruneConfig.duration: found less than nothing, want an age such as 30d'],
  ['pruneConfig: {enabled: true, frequency: 0s}', 'config.yaml:1: pruneConfig.frequency: found less than 1s, want a duration such as 1d'],
  ['pruneConfig: {count: -2}', 'config.yaml:1: pruneConfig.count: found -2, want a whole number from -1 to 2147483647'],
  ['maxSize: 80%', 'config.yaml:1: maxSize: found "80%", want a size such as 500MiB or 2GB, more than 0'],
  ['highWatermark: 101%', 'config.yaml:1: highWatermark: found "101%", want a part from 1% to 100%'],
  [
    'maxSize: 1GiB\nlowWatermark: 96%',
    'config.yaml:2: lowWatermark: found a low watermark of 96% above the high one of 95%, want it below',
  ],
  ['highWatermark: 80', 'config.yaml:1: highWatermark: found a low watermark of 85% above the high one of 80%, want it below'],
  ['pins: [a, "*"]', `config.yaml:1: pins[1]: found "*": missing argument to repetition operator: \`*\`, ${EXPRESSIONS}`],
  ['listConfig: {expr: "["}', `config.yaml:1: listConfig.expr: found "[": missing closing ]: \`[\`, ${EXPRESSIONS}`],
  [
    `pins: ["${'x'.repeat(200)}("]`,
    `config.yaml:1: pins[0]: found "${'x'.repeat(60)}…": missing closing ): \`${'x'.repeat(60)}…\`, ${EXPRESSIONS}`,
  ],
  ['platforms: [linux]', 'config.yaml:1: platforms[0]: found "linux", want a platform such as linux/amd64 or linux/arm/v7, or all'],
  [
    'admin: {tokenFile: /nowhere/token}',
    'config.yaml:1: admin.tokenFile: cannot read /nowhere/token: no such file or directory, want a readable file',
  ],
]
for (const [text, message] of mistakes) {
  test(`${text.replaceAll('\n', '; ')} is a mistake`, async (t) => assert.rejects(loadText(t, text), { name: 'ConfigError', message }))
}

test('A token that is too short to be one is a mistake', async (t) => {
  const file = join(await temporaryDirectory(t), 'token')
  await writeFile(file, 'short\n')
  const message = `config.yaml:1: admin.tokenFile: found a token of 5 characters in ${file}, want at least 16`
  await assert.rejects(loadText(t, `admin: {tokenFile: ${file}}`), { message })
  await writeFile(file, `${'x'.repeat(16)}\n`)
  assert.equal((await loadText(t, `admin: {tokenFile: ${file}}`)).config.admin.tokenFile, file)
})
