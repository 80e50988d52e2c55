/** What the configuration says of cached tags: globs, durations, expressions, names of registries; and the line of each mistake. */
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { parseExpression } from '../../src/config/expression.ts'
import { anyDuration, duration } from '../../src/config/value-types.ts'
import { assertMistake, loadText } from './load-text.ts'

test('The rules that docs/configuration.md shows are some', async (t) => {
  const page = await readFile(new URL('../../docs/configuration.md', import.meta.url), 'utf8')
  const [, example = ''] = /```yaml\n(tagPolicy:.*?)```/s.exec(page) ?? []
  const { tagPolicy } = (await loadText(t, example)).config
  assert.deepEqual(
    tagPolicy.map(({ revalidate }) => revalidate),
    ['never', 'always', 43_200_000],
  )
})

test('Rules are read in order, under the names that references have', async (t) => {
  const text = `
registries:
  - name: registry.example:5000
    aliases: [example]
  - {name: site, url: "https://10.0.0.1"}
tagPolicy:
  - match: 'example/**'
    revalidate: 1h30m
  - {match: "index.docker.io/alpine:*", revalidate: Never}
  - {match: 'site/**', revalidate: 7d}
  - {match: '**:latest', revalidate: always}`
  const { config } = await loadText(t, text)
  assert.deepEqual(
    config.tagPolicy.map(({ match, revalidate }) => [match.text, revalidate]),
    [
      ['registry.example:5000/**', 5_400_000],
      ['docker.io/library/alpine:*', 'never'],
      ['site/**', 604_800_000],
      ['**:latest', 'always'],
    ],
  )
  assert.ok(Object.isFrozen(config.tagPolicy[0]?.match.parts))
})

test('Private registries are known by the names that references have', async (t) => {
  const text = 'registries: [{name: "registry.example:5000", aliases: [example]}]\nprivateRegistries: [example, Quay.IO]'
  assert.deepEqual((await loadText(t, text)).config.privateRegistries, ['registry.example:5000', 'quay.io'])
  const args = ['--private-registry', 'a.io', '--private-registry', 'example']
  assert.deepEqual((await loadText(t, text, { args })).config.privateRegistries, ['a.io', 'registry.example:5000'])
})

test('An expression matches anywhere in a tag, unless it says otherwise', async (t) => {
  const matches = async (text: string, args: string[] = []) => {
    const { skipTags } = (await loadText(t, text, { args })).config
    return ['latest', 'latest-alpine', '3-latest', '3'].filter((tag) => skipTags?.matches(tag) === true)
  }
  assert.deepEqual(await matches('skipTags: latest'), ['latest', 'latest-alpine', '3-latest'])
  assert.deepEqual(await matches('skipTags: ^latest$'), ['latest'])
  assert.deepEqual(await matches('skipTags: 3'), ['3-latest', '3'])
  assert.deepEqual(await matches('skipTags: ""'), [])
  assert.deepEqual(await matches('skipTags: latest', ['-t', '(?i)^LATEST-']), ['latest-alpine'])
})

test('An expression that backtracking would never end with ends', async () => {
  const { matches } = await parseExpression('^(a+)+$')
  assert.equal(matches(`${'a'.repeat(10_000)}b`), false)
})

const WANT_EXPRESSION = "want Go's regular expression, such as ^latest$, or .* for all"
const mistakes: [sentence: string, text: string, line: string][] = [
  [
    'An expression that is none is a mistake',
    'port: 1\nskipTags: "("',
    `config.yaml:2: skipTags: found "(" (missing closing ): \`(\`), ${WANT_EXPRESSION}`,
  ],
  [
    "JavaScript's look-ahead is no expression of Go's",
    'skipTags: a(?!b)',
    `config.yaml:1: skipTags: found "a(?!b)" (invalid or unsupported Perl syntax: \`(?!\`), ${WANT_EXPRESSION}`,
  ],
  [
    'Of a long expression that is none the beginning is shown',
    `skipTags: "${'x'.repeat(200)}("`,
    `config.yaml:1: skipTags: found "${'x'.repeat(60)}…" (missing closing ): \`${'x'.repeat(60)}…\`), ${WANT_EXPRESSION}`,
  ],
  ['A list of expressions is a mistake', 'skipTags: [a, b]', `config.yaml:1: skipTags: found a list, ${WANT_EXPRESSION}`],
  [
    'A glob without a tag would match nothing',
    "tagPolicy:\n- match: 'quay.io/*'\n  revalidate: always",
    "config.yaml:2: tagPolicy[0].match: found \"quay.io/*\", want a glob on registry/repository:tag, such as 'quay.io/**' or '**:latest'",
  ],
  [
    'A glob is no expression',
    "tagPolicy: [{match: '.*:latest$', revalidate: always}]",
    "config.yaml:1: tagPolicy[0].match: found \".*:latest$\", want a glob on registry/repository:tag, such as 'quay.io/**' or '**:latest'",
  ],
  [
    'A repository alone names no registry',
    'tagPolicy: [{match: "grafana/*:latest", revalidate: always}]',
    'config.yaml:1: tagPolicy[0].match: found grafana as its registry, which has no entry, want one first: docker.io/grafana/*:latest',
  ],
  [
    'A rule says when',
    'tagPolicy:\n- match: "**"\n',
    'config.yaml:2: tagPolicy[0].revalidate: found nothing, want never, always or a duration',
  ],
  [
    'A rule says what',
    'tagPolicy:\n- revalidate: 1h',
    'config.yaml:2: tagPolicy[0].match: found nothing, want a glob on registry/repository:tag',
  ],
  [
    'A rule has a word or a duration',
    'tagPolicy: [{match: "**", revalidate: often}]',
    'config.yaml:1: tagPolicy[0].revalidate: found "often", want never, always or a duration such as 30d, 12h or 1h30m',
  ],
  [
    'A rule has no negative duration',
    'tagPolicy: [{match: "**", revalidate: -1h}]',
    'config.yaml:1: tagPolicy[0].revalidate: found "-1h", want never, always or a duration such as 30d, 12h or 1h30m',
  ],
  [
    'A rule has no other keys',
    'tagPolicy: [{pattern: "**", revalidate: 1h}]',
    'config.yaml:1: tagPolicy[0].pattern: found an unknown key, want match, revalidate',
  ],
  ['Rules are a list', 'tagPolicy: {match: "**"}', 'config.yaml:1: tagPolicy: found a map, want a list'],
  [
    'A private registry is a registry',
    'privateRegistries:\n- quay.io\n- a/b',
    'config.yaml:3: privateRegistries[1]: found "a/b", want a registry: host or host:port',
  ],
  ['A time to remember has a unit', 'negativeTtl: 10', 'config.yaml:1: negativeTtl: found 10, want a duration such as 30d, 12h or 1h30m'],
  [
    'A time to remember is not negative',
    'negativeTtl: -1s',
    'config.yaml:1: negativeTtl: found "-1s", want a duration such as 30d, 12h or 1h30m',
  ],
]
for (const [sentence, text, line] of mistakes) test(sentence, (t) => assertMistake(t, text, line))

const durations: [text: string, ms: number | undefined][] = [
  ['30d', 2_592_000_000],
  ['12h', 43_200_000],
  ['1h30m', 5_400_000],
  ['1.5h', 5_400_000],
  ['1m0.5s', 60_500],
  ['250ms', 250],
  ['1500us', 1.5],
  ['1µs', 0.001],
  ['0', 0],
  ['0s', 0],
  ['-2h', undefined],
  ['10', undefined],
  ['1d12h', undefined],
  ['1 h', undefined],
  ['h', undefined],
  ['', undefined],
  ['1.2.3s', undefined],
]
for (const [text, ms] of durations) {
  test(`The duration '${text}' is ${ms === undefined ? 'none' : `${ms} ms`}`, () =>
    assert.equal(duration.parse({ text, quoted: false, isText: true }), ms))
}

test('Where an older program took a negative duration, it is read', () => {
  assert.equal(anyDuration.parse({ text: '-2h', quoted: false, isText: true }), -7_200_000)
  assert.equal(anyDuration.parse({ text: '-1d', quoted: false, isText: true }), -86_400_000)
})
