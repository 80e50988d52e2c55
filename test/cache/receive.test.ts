/** From the network to a file: in order, without a gap, no faster than the disk, and complete up to what was accepted even when it fails. */
import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import { HeldBytes, receive } from '../../src/cache/receive.ts'
import { UpstreamError } from '../../src/upstream/error.ts'
import { Gate } from '../support/scripted-upstream.ts'
import { isKind, isSettled, later, turns } from './support.ts'

const CHUNK = Buffer.alloc(100_000, 'x')
const all = (chunk: Buffer): Buffer => chunk

/** A file that takes what is written, at its own pace. */
class Disk {
  written = Buffer.alloc(0)
  writes = 0
  writing = 0
  before = async (): Promise<void> => {}

  readonly write = async (chunks: readonly Buffer[]): Promise<void> => {
    this.writes++
    assert.equal(++this.writing, 1, 'one write at a time')
    await this.before()
    this.written = Buffer.concat([this.written, ...chunks])
    this.writing--
  }
}

function body(chunks: Iterable<Buffer>): Readable {
  return Readable.from(chunks, { objectMode: false })
}

test('A body is written whole and in order, many chunks in one write while the last is on its way', async () => {
  const disk = new Disk()
  disk.before = () => turns(3)
  const chunks = Array.from({ length: 500 }, (_, i) => Buffer.from(`chunk ${i},`))
  await receive(body(chunks), all, disk.write)
  assert.deepEqual(disk.written, Buffer.concat(chunks))
  assert.ok(disk.writes < 250, `${disk.writes} writes`)
})

test('Only what is accepted is written', async () => {
  const disk = new Disk()
  let skip = 5
  const accept = (chunk: Buffer) => {
    const known = Math.min(skip, chunk.byteLength)
    skip -= known
    return chunk.subarray(known)
  }
  await receive(body([Buffer.from('abc'), Buffer.from('def'), Buffer.from('ghi')]), accept, disk.write)
  assert.equal(disk.written.toString(), 'fghi')
})

test('An empty body is nothing to write', async () => {
  const disk = new Disk()
  await receive(body([]), all, disk.write)
  assert.equal(disk.writes, 0)
})

test('The network waits for a slow disk', async () => {
  const disk = new Disk()
  const gate = new Gate()
  disk.before = () => gate.opened
  let sent = 0
  const source = new Readable({
    read() {
      sent += CHUNK.byteLength
      this.push(sent > 50_000_000 ? null : CHUNK)
    },
  })
  const received = receive(source, all, disk.write)
  await turns(200)
  const waiting = sent
  assert.ok(waiting > 3_000_000 && waiting < 5_000_000, `${waiting} bytes`)
  await turns(200)
  assert.equal(sent, waiting)
  gate.open()
  await received
  assert.equal(disk.written.byteLength, 50_000_000)
})

test('Many networks that wait for a slow disk hold little each, and nothing when all is written or given up', async () => {
  const gate = new Gate()
  const held = new HeldBytes()
  let fails = false
  const sources = Array.from({ length: 40 }, () => {
    let sent = 0
    return new Readable({
      read() {
        sent += CHUNK.byteLength
        this.push(sent > 6_000_000 ? null : CHUNK)
      },
    })
  })
  const write = async () => {
    await gate.opened
    fails = !fails
    if (fails) assert.fail('ENOSPC')
  }
  const received = sources.map((source) => later(receive(source, all, write, held)))
  await turns(300)
  assert.ok(held.total > 32_000_000 && held.total < 60_000_000, `${held.total} bytes`)
  gate.open()
  await Promise.allSettled(received)
  assert.equal(held.total, 0)
})

test('What was accepted before a failure of the network is written before it is told', async () => {
  const disk = new Disk()
  const gate = new Gate()
  disk.before = () => gate.opened
  const source = new Readable({ read() {} })
  for (let i = 0; i < 5; i++) source.push(CHUNK)
  const received = later(receive(source, all, disk.write))
  await turns(5)
  source.destroy(new UpstreamError('timeout', 'no byte for a while'))
  await turns(5)
  assert.ok(!(await isSettled(received)))
  gate.open()
  await assert.rejects(received, isKind('timeout'))
  assert.equal(disk.written.byteLength, 5 * CHUNK.byteLength)
})

test('A body that is closed before its end is cut', async () => {
  const source = new Readable({ read() {} })
  const received = later(receive(source, all, new Disk().write))
  source.destroy()
  await assert.rejects(received, isKind('unreachable'))
})

test('Nothing is accepted after a chunk that was refused: there would be a gap', async () => {
  const disk = new Disk()
  const seen: string[] = []
  const accept = (chunk: Buffer) => {
    seen.push(chunk.toString())
    if (chunk.byteLength > 3) throw new UpstreamError('corrupt', 'too long')
    return chunk
  }
  const source = new Readable({ read() {} })
  for (const chunk of ['abc', 'defghi', 'j', 'k']) source.push(Buffer.from(chunk))
  await assert.rejects(receive(source, accept, disk.write), isKind('corrupt'))
  assert.deepEqual(seen, ['abc', 'defghi'])
  assert.equal(disk.written.toString(), 'abc')
})

for (const also of [undefined, new UpstreamError('unreachable', 'cut')]) {
  test(`A disk that fails ends the body at once, and is what is told${also === undefined ? '' : ', whatever the network does'}`, async () => {
    const disk = new Disk()
    const gate = new Gate()
    disk.before = () => gate.opened.then(() => assert.fail('ENOSPC'))
    const source = new Readable({ read() {} })
    source.push(CHUNK)
    const received = later(receive(source, all, disk.write))
    await turns(3)
    if (also !== undefined) source.destroy(also)
    gate.open()
    await assert.rejects(received, /ENOSPC/)
    assert.ok(source.destroyed)
    assert.equal(disk.writes, 1)
  })
}

test('Whatever comes of it, the body is read to its end or destroyed', async () => {
  const ended = body([CHUNK])
  await receive(ended, all, new Disk().write)
  assert.ok(ended.readableEnded && ended.destroyed)
  const refused = body([CHUNK])
  await assert.rejects(
    receive(refused, () => assert.fail('refused'), new Disk().write),
    /refused/,
  )
  assert.ok(refused.destroyed)
})
