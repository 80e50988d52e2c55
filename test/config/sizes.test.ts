import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Reserve } from '../../src/config/config.ts'
import { diskReserve, size } from '../../src/config/sizes.ts'
import { assertMistake, loadText } from './load-text.ts'

const scalar = (text: string) => ({ text, quoted: false, isText: true })

const sizes: [text: string, bytes: number | undefined][] = [
  ['0', 0],
  ['4096', 4096],
  ['4096B', 4096],
  ['1kB', 1000],
  ['2GB', 2_000_000_000],
  ['500MiB', 524_288_000],
  ['500 MiB', 524_288_000],
  ['500Mi', 524_288_000],
  ['500mib', 524_288_000],
  ['1.5GiB', 1_610_612_736],
  ['3TiB', 3 * 1024 ** 4],
  ['', undefined],
  ['-1', undefined],
  ['5%', undefined],
  ['MiB', undefined],
  ['1XB', undefined],
  ['1constructor', undefined],
  ['1e9', undefined],
  ['99999999999TiB', undefined],
]
for (const [text, bytes] of sizes) test(`A size of "${text}"`, () => assert.equal(size.parse(scalar(text)), bytes))

const reserves: [text: string, reserve: Reserve | undefined][] = [
  ['0', { bytes: 0, percent: 100 }],
  ['500MiB', { bytes: 524_288_000, percent: 100 }],
  ['5%', { bytes: Number.MAX_SAFE_INTEGER, percent: 5 }],
  ['2.5 %', { bytes: Number.MAX_SAFE_INTEGER, percent: 2.5 }],
  ['0%', { bytes: Number.MAX_SAFE_INTEGER, percent: 0 }],
  ['101%', undefined],
  ['%', undefined],
  ['-5%', undefined],
]
for (const [text, reserve] of reserves) test(`A reserve of "${text}"`, () => assert.deepEqual(diskReserve.parse(scalar(text)), reserve))

test('What is kept free of the disk is a size or a percentage, in the file and as a flag', async (t) => {
  assert.deepEqual((await loadText(t, 'minFree: 10%')).config.minFree, { bytes: Number.MAX_SAFE_INTEGER, percent: 10 })
  assert.deepEqual((await loadText(t, 'minFree: 10%', { args: ['--min-free', '2GiB'] })).config.minFree, {
    bytes: 2 * 1024 ** 3,
    percent: 100,
  })
  assert.deepEqual((await loadText(t, 'minFree: 0')).config.minFree, { bytes: 0, percent: 100 })
  await assertMistake(
    t,
    'minFree: lots',
    'config.yaml:1: minFree: found "lots", want a size such as 500MiB or 2GB, or a part of the disk such as 5%',
  )
})
