import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type LoadRow, type LoadView, timeText, viewLines } from '../../src/cli/load-view.ts'
import { Rate } from '../../src/cli/rate.ts'

const KIB = 1024
const row = (more: Partial<LoadRow>): LoadRow => ({
  name: 'quay.io/x:1',
  phase: 'blobs',
  totalBytes: 100 * KIB,
  presentBytes: 0,
  fetchedBytes: 25 * KIB,
  bytesPerSecond: undefined,
  ...more,
})
const view = (rows: readonly LoadRow[], more: Partial<LoadView> = {}): LoadView => ({
  rows,
  images: { all: 12, over: 3, failed: 0 },
  totalBytes: 400 * KIB,
  presentBytes: 100 * KIB,
  fetchedBytes: 100 * KIB,
  bytesPerSecond: undefined,
  ...more,
})

const views: [sentence: string, view: LoadView, columns: number, lines: readonly string[]][] = [
  ['Nothing has begun', view([], { totalBytes: 0, presentBytes: 0, fetchedBytes: 0 }), 80, ['3 of 12 images']],
  [
    'Images with bytes, rate and time left, one below the other',
    view([row({ bytesPerSecond: 5 * KIB }), row({ name: 'docker.io/library/y:1', bytesPerSecond: 25 * KIB })], {
      bytesPerSecond: 10 * KIB,
    }),
    100,
    [
      'quay.io/x:1            25.0 KiB of 100.0 KiB (25%)  5.0 KiB/s, 0:15 left',
      'docker.io/library/y:1  25.0 KiB of 100.0 KiB (25%)  25.0 KiB/s, 0:03 left',
      '3 of 12 images; 200.0 KiB of 400.0 KiB (50%); 10.0 KiB/s, 0:20 left',
    ],
  ],
  [
    'What it waits for, and what has failed',
    view([row({ phase: 'manifests', totalBytes: 0, fetchedBytes: 0 }), row({ phase: 'retrying' })], {
      images: { all: 12, over: 4, failed: 2 },
    }),
    100,
    [
      'quay.io/x:1                                 manifests',
      'quay.io/x:1  25.0 KiB of 100.0 KiB (25%)    waiting for the registry',
      '4 of 12 images, 2 failed; 200.0 KiB of 400.0 KiB (50%)',
    ],
  ],
  ['A narrow terminal', view([row({})]), 20, ['quay.io/x:1  25.0 …', '3 of 12 images; 20…']],
  [
    'A name that would steer the terminal',
    view([row({ name: 'a\u001b[2J' })]),
    80,
    ['a\\u001b[2J  25.0 KiB of 100.0 KiB (25%)', '3 of 12 images; 200.0 KiB of 400.0 KiB (50%)'],
  ],
]
for (const [sentence, seen, columns, lines] of views) {
  test(`${sentence}: a terminal shows it`, () =>
    assert.deepEqual(
      viewLines(seen, columns).map((line) => line.trimEnd()),
      lines.map((line) => line.trimEnd()),
    ))
}

test('More images than a terminal is high are counted', () => {
  const lines = viewLines(view(Array.from({ length: 40 }, () => row({}))), 80)
  assert.deepEqual([lines.length, lines.at(-2)], [18, 'and 24 more'])
})

for (const [seconds, text] of [
  [0, '0:00'],
  [0.4, '0:01'],
  [59, '0:59'],
  [60, '1:00'],
  [754, '12:34'],
  [3600, '1:00:00'],
  [100_000, '27:46:40'],
] as const) {
  test(`${seconds} s are ${text}`, () => assert.equal(timeText(seconds), text))
}

test('A rate is that of the last seconds', () => {
  const rate = new Rate()
  assert.equal(rate.note(0, 0), undefined)
  assert.equal(rate.note(1000, 5000), 5000)
  assert.equal(rate.note(5000, 5000), 1000)
  assert.equal(rate.note(10_000, 5000), 0)
  assert.equal(rate.note(11_000, 6000), 1000)
  assert.equal(rate.note(12_000, 10), undefined, 'it began again')
  assert.equal(rate.note(13_000, 110), 100)
})
