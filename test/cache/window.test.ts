/** A download that cannot be stored goes by in a window: who reads in time gets every byte, and nobody holds up the others for long. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Window, type WindowReader } from '../../src/cache/window.ts'
import { ManualClock } from '../support/clock.ts'

const CAPACITY = 100

function ground(start = 0) {
  const clock = new ManualClock()
  const readers = new Set<WindowReader>()
  let end = start
  const window = new Window({ start, capacityBytes: CAPACITY, readers, patienceMs: 10_000, clock })
  return {
    clock,
    window,
    reader(offset = start): WindowReader {
      const reader = { offset }
      readers.add(reader)
      return reader
    },
    leave(reader: WindowReader) {
      readers.delete(reader)
      window.moved()
    },
    write(bytes: number): Promise<void> {
      const chunk = Buffer.from(Array.from({ length: bytes }, (_, i) => (end + i) % 251))
      end += bytes
      window.add([chunk])
      return window.room()
    },
    /** What `reader` gets up to `to`. */
    async read(reader: WindowReader, to: number): Promise<Buffer> {
      const chunks: Buffer[] = []
      for await (const chunk of window.read(reader, to, () => to)) chunks.push(Buffer.from(chunk))
      return Buffer.concat(chunks)
    },
  }
}

function content(from: number, to: number): Buffer {
  return Buffer.from(Array.from({ length: to - from }, (_, i) => (from + i) % 251))
}

async function isPending(promise: Promise<unknown>): Promise<boolean> {
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve))
  return (await Promise.race([promise.then(() => 'over'), Promise.resolve('pending')])) === 'pending'
}

test('A window gives every reader what came, from where it began', async () => {
  const { reader, write, read } = ground(1000)
  const [one, other] = [reader(), reader(1030)]
  await write(40)
  await write(40)
  assert.deepEqual(await read(one, 1080), content(1000, 1080))
  assert.deepEqual(await read(other, 1060), content(1030, 1060))
})

test('A window lets go of what everybody has read, and never of more than it must', async () => {
  const { window, reader, write, read } = ground()
  const one = reader()
  await write(100)
  assert.deepEqual(await read(one, 100), content(0, 100))
  assert.ok(window.isWhole, 'whoever comes now can still read all of it')
  await write(100)
  assert.ok(!window.isWhole)
  assert.deepEqual(await read(one, 200), content(100, 200))
})

test('A writer waits for a reader that is behind, and goes on as soon as that has caught up', async () => {
  const { reader, write, read } = ground()
  const one = reader()
  const writing = write(150)
  assert.ok(await isPending(writing))
  await read(one, 150)
  await writing
})

test('A reader that holds up a window for too long is cut, and the others get everything', async () => {
  const { clock, reader, write, read } = ground()
  const [slow, quick] = [reader(), reader()]
  const writing = write(150)
  await read(quick, 150)
  assert.ok(await isPending(writing))
  await clock.advance(10_000)
  await writing
  await write(60)
  assert.deepEqual(await read(quick, 210), content(150, 210))
  await assert.rejects(read(slow, 10), /too slow/)
})

test('A reader that leaves holds nothing up any more', async () => {
  const { reader, leave, write } = ground()
  const one = reader()
  const writing = write(150)
  assert.ok(await isPending(writing))
  leave(one)
  await writing
})

test('Nobody reads: everything goes by', async () => {
  const { write } = ground()
  for (let i = 0; i < 10; i++) await write(90)
})
