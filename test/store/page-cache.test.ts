import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PageCache } from '../support/page-cache.ts'
import { Random } from '../support/property.ts'

const BYTES = Buffer.alloc(3000, 'x')
const LOSSES = 100

/** All that may be there after a power loss. */
async function outcomes(prepare: (disk: PageCache) => Promise<void>, look: (disk: PageCache) => Promise<string>): Promise<string[]> {
  const found = new Set<string>()
  for (let seed = 1; seed <= LOSSES; seed++) {
    const disk = new PageCache()
    await prepare(disk)
    found.add(await look(disk.powerLoss(new Random(seed))))
  }
  return [...found].sort()
}

async function write(disk: PageCache, path: string, bytes = BYTES): Promise<number> {
  const fd = await disk.open(path, 'wx', 0o644)
  await disk.writev(fd, [bytes], 0)
  return fd
}

async function syncDirectory(disk: PageCache, path: string): Promise<void> {
  const fd = await disk.open(path, 'r')
  await disk.fsync(fd)
  await disk.close(fd)
}

async function contentOf(disk: PageCache, path: string): Promise<Buffer> {
  const fd = await disk.open(path, 'r')
  const buffer = Buffer.alloc(10_000)
  const length = await disk.read(fd, buffer, buffer.byteLength, 0)
  await disk.close(fd)
  return buffer.subarray(0, length)
}

const names = async (disk: PageCache) => (await disk.readdir('/')).sort().join(' ')

test('A name that was not synced survives a power loss or not, one that was always does', async () => {
  assert.deepEqual(await outcomes(async (disk) => void (await disk.fsync(await write(disk, '/a'))), names), ['', 'a'])
  const synced = async (disk: PageCache) => {
    await write(disk, '/a')
    await syncDirectory(disk, '/')
  }
  assert.deepEqual(await outcomes(synced, names), ['a'])
})

test('A rename that was not synced may be half done', async () => {
  const renamed = async (disk: PageCache) => {
    await write(disk, '/a')
    await syncDirectory(disk, '/')
    await disk.rename('/a', '/b')
  }
  assert.deepEqual(await outcomes(renamed, names), ['', 'a', 'a b', 'b'])
})

test('A file that was removed comes back unless its directory was synced', async () => {
  const removed = async (disk: PageCache) => {
    await write(disk, '/a')
    await syncDirectory(disk, '/')
    await disk.unlink('/a')
  }
  assert.deepEqual(await outcomes(removed, names), ['', 'a'])
})

test('Bytes that were not synced survive whole, in part, as zeroes or not at all; ones that were, and what else is there, stay', async () => {
  const appended = async (disk: PageCache) => {
    const fd = await write(disk, '/a')
    await disk.fdatasync(fd)
    await syncDirectory(disk, '/')
    await disk.writev(fd, [Buffer.alloc(3000, 'y')], 3000)
  }
  const found = await outcomes(appended, async (disk) => (await contentOf(disk, '/a')).toString())
  assert.ok(found.every((text) => text.startsWith('x'.repeat(3000))))
  const tails = found.map((text) => text.slice(3000))
  assert.ok(tails.includes('') && tails.includes('y'.repeat(3000)))
  assert.ok(tails.some((tail) => tail.includes('\0') && tail.includes('y')))
  assert.ok(tails.some((tail) => /^y+$/.test(tail) && tail.length < 3000))
})

test('What is below a directory that was never synced into its own is lost with it', async () => {
  const made = async (disk: PageCache) => {
    await disk.mkdir('/d')
    await disk.fsync(await write(disk, '/d/a'))
    await syncDirectory(disk, '/d')
  }
  assert.deepEqual(await outcomes(made, names), ['', 'd'])
})

test('A power loss ends everything that is under way, and the same seed gives the same disk', async () => {
  const run = async () => {
    const disk = new PageCache(new Random(1))
    disk.lostAt = 6
    const writes = Promise.allSettled(['/a', '/b', '/c', '/d', '/e'].map((path) => write(disk, path)))
    const ended = (await writes).map(({ status }) => status)
    assert.ok(ended.includes('rejected'))
    await assert.rejects(disk.readdir('/'), { name: 'PowerLoss' })
    const survivors = disk.powerLoss(new Random(3))
    const listed = await survivors.readdir('/')
    return Promise.all(listed.map(async (name) => `${name}: ${(await contentOf(survivors, `/${name}`)).byteLength}`))
  }
  assert.deepEqual(await run(), await run())
})

test('A process that is killed loses nothing that was written', async () => {
  const disk = new PageCache()
  await write(disk, '/a')
  const survivors = disk.kill()
  assert.deepEqual(await contentOf(survivors, '/a'), BYTES)
  await assert.rejects(write(disk, '/b'), { name: 'PowerLoss' })
})
