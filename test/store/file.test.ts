import assert from 'node:assert/strict'
import fs from 'node:fs'
import { mkdir, open, readFile, writeFile } from 'node:fs/promises'
import { syncBuiltinESMExports } from 'node:module'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { errorCode, isMissing, readChunks, removeFile, SharedFile, writeAll } from '../../src/store/file.ts'
import { systemFiles } from '../../src/store/file-system.ts'
import { bytesOf, PoisonedBuffers } from '../support/buffers.ts'
import { temporaryDirectory } from '../support/files.ts'
import { Random } from '../support/property.ts'
import { content } from './contract.ts'

async function fileOf(t: TestContext, bytes: Uint8Array, flags = 'r'): Promise<{ path: string; fd: number }> {
  const path = join(await temporaryDirectory(t), 'file')
  await writeFile(path, bytes)
  return { path, fd: await systemFiles.open(path, flags) }
}

/** Lets the system take or give no more than `most` bytes at a time, as it may. */
function limitCalls(t: TestContext, most: () => number): void {
  const { read, writev } = fs
  const shortRead = (fd: number, buffer: Buffer, offset: number, length: number, position: number, done: () => void) =>
    read(fd, buffer, offset, Math.min(length, most()), position, done)
  const shortWrite = (fd: number, chunks: Uint8Array[], position: number, done: () => void) =>
    writev(fd, [Buffer.concat(chunks).subarray(0, most())], position, done)
  t.mock.method(fs, 'read', shortRead as unknown as typeof fs.read)
  t.mock.method(fs, 'writev', shortWrite as unknown as typeof fs.writev)
  syncBuiltinESMExports()
  t.after(() => {
    t.mock.restoreAll()
    syncBuiltinESMExports()
  })
}

const OPTIONS = [{ sizeBytes: 16 }, { sizeBytes: 16, aheadBytes: 16 }]

for (const options of OPTIONS) {
  const how = 'aheadBytes' in options ? 'reading ahead' : 'without reading ahead'

  test(`A file is read whole however little the system gives at a time, ${how}`, async (t) => {
    const bytes = content(1000)
    const { fd } = await fileOf(t, bytes)
    const random = new Random(1)
    limitCalls(t, () => random.between(1, 9))
    const buffers = new PoisonedBuffers(options)
    assert.deepEqual(await bytesOf(readChunks(fd, 0, 1000, buffers)), bytes)
    assert.equal(buffers.outstanding, 0)
    await systemFiles.close(fd)
  })

  test(`A file that shrinks while it is read ends the reading with an error, ${how}`, async (t) => {
    const { path, fd } = await fileOf(t, content(100))
    const buffers = new PoisonedBuffers(options)
    const reading = async () => {
      for await (const _ of readChunks(fd, 0, 100, buffers)) fs.truncateSync(path, 50)
    }
    await assert.rejects(reading, /ended at byte \d+, expected 100/)
    assert.equal(buffers.outstanding, 0)
    await systemFiles.close(fd)
  })

  test(`A read that fails is told after the chunks before it, and gives every buffer back, ${how}`, async (t) => {
    const { path } = await fileOf(t, content(100))
    const writeOnly = await systemFiles.open(path, 'a')
    const buffers = new PoisonedBuffers(options)
    await assert.rejects(bytesOf(readChunks(writeOnly, 0, 100, buffers)), { code: 'EBADF' })
    assert.equal(buffers.outstanding, 0)
    await systemFiles.close(writeOnly)
  })

  test(`A limit beyond the end of a range does not move the end, ${how}`, async (t) => {
    const bytes = content(100)
    const { fd } = await fileOf(t, bytes)
    const buffers = new PoisonedBuffers(options)
    assert.deepEqual(await bytesOf(readChunks(fd, 10, 50, buffers, () => 1_000_000)), bytes.subarray(10, 50))
    assert.equal(buffers.outstanding, 0)
    await systemFiles.close(fd)
  })
}

test('A reader that is not asked to read ahead holds one buffer, one that is holds two, whatever it reads', async (t) => {
  const { fd } = await fileOf(t, content(1000))
  for (const [options, held] of [
    [OPTIONS[0], 1],
    [OPTIONS[1], 2],
  ] as const) {
    const buffers = new PoisonedBuffers(options)
    await bytesOf(readChunks(fd, 0, 1000, buffers))
    assert.equal(buffers.peak, held)
  }
  await systemFiles.close(fd)
})

test('A reader takes its first buffer only when there is something to read', async (t) => {
  const { fd } = await fileOf(t, content(10))
  const buffers = new PoisonedBuffers()
  let allow = (_: number) => {}
  const allowed = new Promise<number>((resolve) => {
    allow = resolve
  })
  const reader = readChunks(fd, 0, 10, buffers, () => allowed)
  const first = reader.next()
  await new Promise((resolve) => setImmediate(resolve))
  assert.equal(buffers.taken, 0)
  allow(4)
  assert.deepEqual((await first).value, content(10).subarray(0, 4))
  await reader.return()
  assert.equal(buffers.outstanding, 0)
  await systemFiles.close(fd)
})

const writes: readonly (readonly [string, Buffer[]])[] = [
  ['nothing', []],
  ['empty chunks only', [Buffer.alloc(0), Buffer.alloc(0)]],
  ['one chunk', [content(100)]],
  ['empty chunks between others', [Buffer.alloc(0), content(5), Buffer.alloc(0), content(6, 1), Buffer.alloc(0)]],
  ['as many chunks as one call takes', Array.from({ length: 1024 }, (_, seed) => content(3, seed))],
  ['more chunks than one call takes', Array.from({ length: 1025 }, (_, seed) => content(3, seed))],
  ['many times as many', Array.from({ length: 5000 }, (_, seed) => content(1 + (seed % 5), seed))],
]
for (const [what, chunks] of writes) {
  test(`Writing ${what} at a position changes those bytes and no others`, async (t) => {
    const { path, fd } = await fileOf(t, Buffer.alloc(20, 'x'), 'r+')
    await writeAll(fd, chunks, 10)
    const written = Buffer.concat(chunks)
    const rest = Buffer.alloc(Math.max(0, 10 - written.byteLength), 'x')
    assert.deepEqual(await readFile(path), Buffer.concat([Buffer.alloc(10, 'x'), written, rest]))
    await systemFiles.close(fd)
  })
}

test('Everything is written however little the system takes at a time', async (t) => {
  for (let seed = 1; seed <= 20; seed++) {
    const random = new Random(seed)
    const { path, fd } = await fileOf(t, Buffer.alloc(7, 'x'), 'r+')
    const chunks = Array.from({ length: random.between(1, 30) }, () => content(random.between(0, 20), seed))
    limitCalls(t, () => random.between(1, 50))
    await writeAll(fd, chunks, 7)
    t.mock.restoreAll()
    assert.deepEqual(await readFile(path), Buffer.concat([Buffer.alloc(7, 'x'), ...chunks]), `seed ${seed}`)
    await systemFiles.close(fd)
  }
})

test('A write that finds the disk full says so', async () => {
  const fd = await systemFiles.open('/dev/full', 'r+')
  await assert.rejects(writeAll(fd, [content(100)], 0), { code: 'ENOSPC' })
  await systemFiles.close(fd)
})

test('The chunks that are written are left as they were', async (t) => {
  const { fd } = await fileOf(t, Buffer.alloc(0), 'r+')
  const chunks = [content(10), content(20, 1)]
  limitCalls(t, () => 3)
  await writeAll(fd, chunks, 0)
  assert.deepEqual(chunks, [content(10), content(20, 1)])
  await systemFiles.close(fd)
})

test('A shared file is closed when the last of its holders lets go', async (t) => {
  const { fd } = await fileOf(t, content(10))
  const file = new SharedFile(fd)
  assert.equal(file.hold(), file)
  await file.release()
  assert.equal((await systemFiles.fstat(fd)).size, 10)
  await file.release()
  await assert.rejects(systemFiles.fstat(fd), { code: 'EBADF' })
  assert.throws(() => file.hold(), /closed/)
})

test('A shared file stays open while it is being read, and is closed when its last reader ends, however it ends', async (t) => {
  const endings: readonly ((reader: AsyncGenerator<Buffer>) => Promise<unknown>)[] = [
    (reader) => bytesOf(reader),
    (reader) => reader.return(undefined),
    (reader) => assert.rejects(reader.throw(new Error('the client is gone'))),
  ]
  for (const end of endings) {
    const { fd } = await fileOf(t, content(100))
    const file = new SharedFile(fd)
    const reader = file.read(0, 100, new PoisonedBuffers({ aheadBytes: 16 }))
    await reader.next()
    await file.release()
    assert.equal((await systemFiles.fstat(fd)).size, 100)
    await end(reader)
    await assert.rejects(systemFiles.fstat(fd), { code: 'EBADF' })
  }
})

test('A shared file that was closed cannot be read any more', async (t) => {
  const { fd } = await fileOf(t, content(10))
  const file = new SharedFile(fd)
  await file.release()
  await assert.rejects(bytesOf(file.read(0, 10, new PoisonedBuffers())), /closed/)
})

test('A reader that was made and never started holds nothing', async (t) => {
  const { fd } = await fileOf(t, content(10))
  const file = new SharedFile(fd)
  const reader = file.read(0, 10, new PoisonedBuffers())
  await reader.return()
  await file.release()
  await assert.rejects(systemFiles.fstat(fd), { code: 'EBADF' })
})

test('Removing a file that is not there is as good as removing it', async (t) => {
  const { path, fd } = await fileOf(t, content(10))
  await removeFile(path)
  await removeFile(path)
  await removeFile(join(path, 'below'))
  await systemFiles.close(fd)
  const directory = await temporaryDirectory(t)
  await mkdir(join(directory, 'full'))
  await assert.rejects(removeFile(join(directory, 'full')))
})

test('System errors are told from others by their codes', async () => {
  const missing = await open('/nowhere/at/all').catch((error: unknown) => error)
  assert.equal(errorCode(missing), 'ENOENT')
  assert.equal(isMissing(missing), true)
  const below = await open('/dev/null/x').catch((error: unknown) => error)
  assert.equal(errorCode(below), 'ENOTDIR')
  assert.equal(isMissing(below), true)
  for (const other of [new Error('ENOENT'), Object.assign(new Error(), { code: 5 }), 'ENOENT', { code: 'ENOENT' }, undefined, null]) {
    assert.equal(errorCode(other), undefined)
    assert.equal(isMissing(other), false)
  }
})
