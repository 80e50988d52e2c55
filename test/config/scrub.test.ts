import assert from 'node:assert/strict'
import { test } from 'node:test'
import { loadText } from './load-text.ts'

const DAY_MS = 24 * 3600_000
const MIB = 1024 ** 2

const values: [text: string, everyMs: number, bytesPerSecond: number][] = [
  ['scrub: {}', 7 * DAY_MS, 20 * MIB],
  ['scrub: {every: 1d, rate: 5MiB}', DAY_MS, 5 * MIB],
  ['scrub: {every: 36h}', 1.5 * DAY_MS, 20 * MIB],
  ['scrub: {every: 0}', 0, 20 * MIB],
  ['scrub: {rate: 1000000}', 7 * DAY_MS, 1_000_000],
]
for (const [text, everyMs, bytesPerSecond] of values) {
  test(`${text} reads all that is stored ${everyMs === 0 ? 'never' : `every ${everyMs / DAY_MS} days`}, at ${bytesPerSecond} bytes a second`, async (t) => {
    assert.deepEqual((await loadText(t, text)).config.scrub, { everyMs, bytesPerSecond })
  })
}

const mistakes: [text: string, message: string][] = [
  ['scrub: {rate: 0}', 'config.yaml:1: scrub.rate: found 0, want bytes a second such as 20MiB, more than 0'],
  ['scrub: {rate: fast}', 'config.yaml:1: scrub.rate: found "fast", want bytes a second such as 20MiB, more than 0'],
  ['scrub: {every: -1d}', 'config.yaml:1: scrub.every: found "-1d", want a duration such as 30d, 12h or 1h30m'],
  ['scrub: {evry: 1d}', 'config.yaml:1: scrub.evry: found an unknown key, want every (the nearest) or another of every, rate'],
  ['scrub: weekly', 'config.yaml:1: scrub: found a single value, want a map with the keys every, rate'],
]
for (const [text, message] of mistakes) {
  test(`${text} is a mistake`, async (t) => assert.rejects(loadText(t, text), { name: 'ConfigError', message }))
}
