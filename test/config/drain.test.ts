import assert from 'node:assert/strict'
import { test } from 'node:test'
import { assertMistake, loadText } from './load-text.ts'

const values: [text: string, args: string[], drainTimeoutMs: number | undefined][] = [
  ['', [], undefined],
  ['drainTimeout: 45s', [], 45_000],
  ['drainTimeout: 1h', [], 3_600_000],
  ['drainTimeout: 0', [], 0],
  ['drainTimeout: 45s', ['--drain-timeout', '200ms'], 200],
]
for (const [text, args, drainTimeoutMs] of values) {
  test(`${text || 'No drainTimeout'} ${args.join(' ')}: ${drainTimeoutMs === undefined ? 'as suits where it listens' : `${drainTimeoutMs} ms`}`, async (t) => {
    assert.equal((await loadText(t, text, { args })).config.drainTimeoutMs, drainTimeoutMs)
  })
}

for (const wrong of ['61m', '-1s', 'soon']) {
  test(`drainTimeout: ${wrong} is a mistake`, (t) =>
    assertMistake(t, `drainTimeout: ${wrong}`, `config.yaml:1: drainTimeout: found "${wrong}", want a duration of at most 1h, such as 30s`))
}
