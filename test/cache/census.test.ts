import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Census } from '../../src/cache/census.ts'
import { digestOf } from '../../src/oci/digest.ts'
import type { ListedBlob } from '../../src/store/store.ts'
import { settled } from '../cli/fake-io.ts'
import { ManualClock } from '../support/clock.ts'
import { MemoryLog } from '../support/log.ts'

function ground() {
  const clock = new ManualClock()
  const log = new MemoryLog()
  const blobs: ListedBlob[] = []
  let counts = 0
  async function* listBlobs() {
    counts++
    yield* blobs
  }
  const add = (text: string) => blobs.push({ digest: digestOf(Buffer.from(text)), sizeBytes: text.length, writtenMs: 0, verified: true })
  const census = new Census({ store: { listBlobs }, quarantined: async () => 2, clock, log })
  return { census, clock, log, add, counts: () => counts }
}

test('What lies in the store is counted when somebody asks, who gets the count of the time before', async () => {
  const { census, clock, add } = ground()
  add('abc')
  assert.equal(census.look(), undefined)
  await settled()
  assert.deepEqual(census.look(), { blobs: 1, bytes: 3, quarantined: 2 })
  add('defg')
  await clock.advance(10_000)
  assert.deepEqual(census.look(), { blobs: 1, bytes: 3, quarantined: 2 })
  await settled()
  assert.deepEqual(census.look(), { blobs: 2, bytes: 7, quarantined: 2 })
})

test('It is not counted again at once, nor twice at the same time', async () => {
  const { census, counts } = ground()
  census.look()
  census.look()
  await settled()
  census.look()
  await settled()
  assert.equal(counts(), 1)
})

test('A store that cannot be read leaves the last count as it is', async () => {
  const clock = new ManualClock()
  const log = new MemoryLog()
  const fails = async () => {
    throw new Error('no')
  }
  async function* listBlobs() {}
  const census = new Census({ store: { listBlobs }, quarantined: fails, clock, log })
  census.look()
  await settled()
  assert.equal(census.look(), undefined)
  assert.equal(log.lines.length, 1)
})
