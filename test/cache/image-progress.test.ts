/** What counts as fetched, and what was there, while blobs come. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { BlobProgress, type Download } from '../../src/cache/image-progress.ts'

const download = (writtenBytes: number, receivedBytes: number): Download => ({ writtenBytes, receivedBytes })
const [whole, half] = [download(100, 100), download(50, 50)]

type Numbers = readonly [present: number, fetched: number]
const cases: [what: string, downloads: readonly Download[], is: BlobProgress['is'], numbers: Numbers][] = [
  ['is wanted', [], 'wanted', [0, 0]],
  ['was there', [], 'there', [100, 0]],
  ['comes', [half], 'fetching', [0, 50]],
  ['has come', [whole], 'fetched', [0, 100]],
  ['is taken up by hashing what an earlier run left', [download(30, 0)], 'fetching', [30, 0]],
  ['goes on from what an earlier run left', [download(80, 50)], 'fetching', [30, 50]],
  ['has come in two runs', [download(100, 70)], 'fetched', [30, 70]],
  ['had come whole, but was not stored', [download(100, 0)], 'fetched', [100, 0]],
  ['is followed by two images', [half, half], 'fetching', [0, 50]],
  ['is tried again, and goes on from the first try', [half, download(80, 30)], 'fetching', [0, 80]],
  ['is tried again from its first byte', [half, download(20, 20)], 'fetching', [0, 20]],
  ['was fetched twice, since what came first was wrong', [half, download(100, 150)], 'fetched', [0, 100]],
  ['goes on from an earlier run and from a first try', [download(60, 30), download(100, 40)], 'fetched', [30, 70]],
  ['has more bytes than its size says', [download(120, 120)], 'fetching', [0, 100]],
  ['has come, but is not written yet', [download(20, 50)], 'fetching', [0, 20]],
]
for (const [what, downloads, is, [presentBytes, fetchedBytes]] of cases) {
  test(`The amounts of a blob that ${what}`, () => {
    const blob = new BlobProgress(100)
    for (const each of downloads) blob.follow(each)
    blob.is = is
    assert.deepEqual(blob.amounts(), { totalBytes: 100, presentBytes, fetchedBytes })
  })
}
