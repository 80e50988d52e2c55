/** `allow` and `deny`: globs on repositories, with canonical names. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { assertMistake, loadText } from './load-text.ts'

test('allow and deny are globs on registry/repository, in canonical names; an alias stands for its entry', async (t) => {
  const text = [
    'registries: [{name: registry.example:5000, aliases: [example]}]',
    "allow: [ghcr.io, 'index.docker.io/*', docker.io/bitnami/nginx, 'example/team/**', '**/public/*']",
    "deny: ['*/secret/**']",
  ].join('\n')
  const { nameRules } = (await loadText(t, text)).config
  assert.deepEqual(
    nameRules.allow.map((glob) => glob.text),
    ['ghcr.io/**', 'docker.io/library/*', 'docker.io/bitnami/nginx', 'registry.example:5000/team/**', '**/public/*'],
  )
  assert.deepEqual(
    nameRules.deny.map((glob) => glob.text),
    ['*/secret/**'],
  )
})

const want = "want a glob on registry/repository, such as ghcr.io, 'quay.io/org/**' or docker.io/library/alpine"
const mistakes: [sentence: string, text: string, line: string][] = [
  ['A tag', 'allow: [ghcr.io/a/b:latest]', `config.yaml:1: allow[0]: found "ghcr.io/a/b:latest", ${want}`],
  ['An expression', "deny: ['^ghcr.io/.*$']", `config.yaml:1: deny[0]: found "^ghcr.io/.*$", ${want}`],
  ['No repository', 'deny: [ghcr.io/]', `config.yaml:1: deny[0]: found "ghcr.io/", ${want}`],
  [
    'A registry that nobody knows',
    'deny: [library/alpine]',
    'config.yaml:1: deny[0]: found library as its registry, which has no entry, want one first: docker.io/library/alpine',
  ],
]
for (const [sentence, text, line] of mistakes) test(`${sentence} is a mistake in allow and deny`, (t) => assertMistake(t, text, line))
