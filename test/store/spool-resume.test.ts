import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { appendFile, chmod, lstat, mkdir, readdir, readFile, stat, symlink, truncate, unlink, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { promisify } from 'node:util'
import { digestFileName, digestOf } from '../../src/oci/digest.ts'
import { DirectoryStore } from '../../src/store/directory-store.ts'
import { OWN_TO_READ } from '../../src/store/file-system.ts'
import { SpoolDirectory, type SpoolNote } from '../../src/store/spool.ts'
import { bytesOf, PoisonedBuffers } from '../support/buffers.ts'
import { MemoryLog } from '../support/log.ts'
import { blobBytes, content } from './contract.ts'
import { DIGEST, SpoolGround, UNKNOWN } from './support/spool-ground.ts'

const MIB = 1024 * 1024
const KNOWN: SpoolNote = { ...UNKNOWN, sizeBytes: 2 * MIB }

/** A spool with a note, as a download that goes on or was killed leaves it; `kept` as one that broke off does. */
async function leave(ground: SpoolGround, bytes: Buffer, { about = UNKNOWN, kept = false } = {}): Promise<string> {
  const spool = await ground.open(about)
  await ground.clock.advance(1_000)
  await spool.write([bytes], 0)
  if (kept) await spool.keep()
  await spool.release()
  return spool.path
}

async function noted(path: string): Promise<{ synced: number; size?: number; boot: string; sources: unknown[] }> {
  return JSON.parse(await readFile(`${path}.json`, 'utf8'))
}

test('A download that broke off is continued with what was known of it, and becomes a blob', async (t) => {
  const ground = await SpoolGround.make(t)
  const path = await leave(ground, content(60), { about: { ...UNKNOWN, sizeBytes: 100 }, kept: true })
  assert.deepEqual(await noted(path), {
    digest: DIGEST,
    size: 100,
    sources: [{ registry: 'docker.io', repository: 'library/alpine' }],
    boot: 'this boot',
    synced: 60,
  })
  ground.restart()
  const spool = await ground.open()
  assert.equal(spool.leftBytes, 60)
  assert.deepEqual(spool.leftNote, { ...UNKNOWN, sizeBytes: 100 })
  await spool.write([content(100).subarray(60)], 60)
  assert.deepEqual(await bytesOf(spool.read(0, 100, new PoisonedBuffers())), content(100))
  const store = await DirectoryStore.open(join(ground.path, '..'), new MemoryLog())
  await spool.commit(store, DIGEST)
  await spool.release()
  assert.deepEqual(await blobBytes(store, DIGEST), content(100))
  assert.deepEqual(await readdir(ground.path), [])
  assert.deepEqual(ground.log.lines, [])
})

test('A download may break off and be continued as often as it likes', async (t) => {
  const ground = await SpoolGround.make(t)
  for (let at = 0; at < 100; at += 20) {
    ground.restart(`boot ${at}`)
    const spool = await ground.open()
    assert.equal(spool.leftBytes, at)
    await spool.write([content(100).subarray(at, at + 20)], at)
    await spool.keep()
    await spool.release()
  }
  assert.deepEqual(await readFile(join(ground.path, digestFileName(DIGEST))), content(100))
})

test('All that a killed process wrote is continued as soon as there was a note, and nothing before', async (t) => {
  const ground = await SpoolGround.make(t)
  const noNote = await ground.open()
  await noNote.write([content(60)], 0)
  await noNote.release()
  ground.restart()
  const fresh = await ground.open()
  assert.equal(fresh.leftBytes, 0)
  assert.equal((await stat(fresh.path)).size, 0)
  await fresh.drop()
  await fresh.release()

  const path = await leave(ground, content(60))
  await appendFile(path, content(100).subarray(60)) // written, and not noted
  ground.restart()
  const spool = await ground.open()
  assert.equal(spool.leftBytes, 100)
  await spool.release()
})

test('After a power loss only what was synced is continued, and the rest is cut off', async (t) => {
  const ground = await SpoolGround.make(t)
  const path = await leave(ground, content(60), { kept: true })
  await appendFile(path, content(100).subarray(60))
  ground.restart('another boot')
  const spool = await ground.open()
  assert.equal(spool.leftBytes, 60)
  assert.equal((await stat(path)).size, 60)
  await spool.release()
})

test('After a power loss a download that was never synced begins again', async (t) => {
  const ground = await SpoolGround.make(t)
  const path = await leave(ground, content(60))
  ground.restart('another boot')
  const spool = await ground.open()
  assert.equal(spool.leftBytes, 0)
  assert.equal((await stat(path)).size, 0)
  await spool.release()
})

test('A file that is shorter than its note says is continued from its end', async (t) => {
  for (const boot of ['this boot', 'another boot']) {
    const ground = await SpoolGround.make(t)
    await truncate(await leave(ground, content(60), { kept: true }), 30)
    ground.restart(boot)
    const spool = await ground.open()
    assert.equal(spool.leftBytes, 30)
    await spool.keep()
    assert.equal((await noted(spool.path)).synced, 30)
    await spool.release()
  }
})

test('A note whose file is gone is forgotten', async (t) => {
  const ground = await SpoolGround.make(t)
  await unlink(await leave(ground, content(60), { kept: true }))
  ground.restart()
  const spool = await ground.open()
  assert.equal(spool.leftBytes, 0)
  assert.deepEqual(await readdir(ground.path), [digestFileName(DIGEST)])
  await spool.release()
})

test('A blob that was about to be committed is taken up whole, with a note or without, also after a power loss, and is not changed', async (t) => {
  for (const hasNote of [true, false]) {
    for (const boot of ['this boot', 'another boot']) {
      const ground = await SpoolGround.make(t)
      const path = await leave(ground, content(100))
      if (!hasNote) await unlink(`${path}.json`)
      await chmod(path, 0o444)
      ground.disk.failing = (call, opened, [, flags]) =>
        call === 'open' && opened === path && flags !== OWN_TO_READ ? 'EACCES' : undefined // as for anybody but root
      ground.restart(boot)
      const spool = await ground.open()
      assert.equal(spool.leftBytes, 100)
      assert.equal(spool.leftNote?.sizeBytes, 100)
      ground.disk.failing = () => undefined
      const store = await DirectoryStore.open(join(ground.path, '..'), new MemoryLog())
      await spool.commit(store, DIGEST)
      await spool.release()
      assert.deepEqual(await blobBytes(store, DIGEST), content(100))
      assert.deepEqual(await readdir(ground.path), [])
    }
  }
})

test('A long download loses its note before it becomes a blob, and not before it is sealed', async (t) => {
  const ground = await SpoolGround.make(t)
  const store = await DirectoryStore.open(join(ground.path, '..'), new MemoryLog(), ground.disk.files)
  const spool = await ground.open()
  await ground.clock.advance(1_000)
  await spool.write([content(100)], 0)
  const before = ground.disk.calls.length
  await spool.commit(store, DIGEST)
  await spool.release()
  const steps = ground.disk.calls.slice(before).filter(({ call }) => ['fchmod', 'unlink', 'rename', 'fsync'].includes(call))
  assert.deepEqual(
    steps.map(({ call, path = '' }) => `${call} ${basename(path)}`),
    [
      `fsync ${digestFileName(DIGEST)}`,
      `fchmod ${digestFileName(DIGEST)}`,
      `unlink ${digestFileName(DIGEST)}.json`,
      'fsync pulls',
      `fsync ${digestFileName(DIGEST)}`,
      `fchmod ${digestFileName(DIGEST)}`,
      `rename ${digestFileName(DIGEST)}`,
      'fsync blobs',
    ],
  )
})

const damaged: readonly (readonly [string, string])[] = [
  ['nothing', ''],
  ['zeroes', '\0'.repeat(100)],
  ['half of it', '{"digest":"sha256:'],
  ['null', 'null'],
  ['a list', '[]'],
]
for (const [what, text] of damaged) {
  test(`A download whose note holds ${what} begins again, and the log says so once`, async (t) => {
    const ground = await SpoolGround.make(t)
    const path = await leave(ground, content(60), { kept: true })
    await writeFile(`${path}.json`, text)
    ground.restart()
    const spool = await ground.open()
    assert.equal(spool.leftBytes, 0)
    assert.equal(spool.leftNote, undefined)
    assert.equal((await stat(path)).size, 0)
    assert.deepEqual(await readdir(ground.path), [digestFileName(DIGEST)])
    assert.deepEqual(
      ground.log.lines.map(({ level, fields }) => ({ level, file: fields.file })),
      [{ level: 'warn', file: `${path}.json` }],
    )
    await spool.release()
  })
}

const inThePlace: readonly (readonly [string, (path: string) => Promise<unknown>])[] = [
  ['a link to a file', (path) => symlink('../precious', path)],
  ['a link to a file that nobody may write to', (path) => symlink('../sealed', path)],
  ['a dangling link', (path) => symlink('../nowhere', path)],
  ['a link to itself', (path) => symlink(path, path)],
  ['a named pipe', (path) => promisify(execFile)('mkfifo', [path])],
  ['a directory', (path) => mkdir(path)],
  ['a directory that nobody may write to', (path) => mkdir(path, 0o555)],
]
for (const [what, put] of inThePlace) {
  for (const name of ['the file', 'the note', 'both']) {
    test(`A download begins again, and becomes a blob, where ${name} of an earlier one is ${what}; nothing is written through it`, async (t) => {
      const ground = await SpoolGround.make(t)
      const root = join(ground.path, '..')
      const [precious, sealed] = [join(root, 'precious'), join(root, 'sealed')]
      for (const file of [precious, sealed]) await writeFile(file, 'precious')
      await chmod(sealed, 0o444)
      const path = await leave(ground, content(60), { kept: true })
      for (const spoiled of name === 'both' ? [path, `${path}.json`] : [name === 'the file' ? path : `${path}.json`]) {
        await unlink(spoiled)
        await put(spoiled)
      }
      ground.restart()
      const spool = await ground.open()
      assert.equal(spool.leftBytes, 0)
      await ground.clock.advance(1_000)
      await spool.write([content(100)], 0)
      assert.deepEqual(await bytesOf(spool.read(0, 100, new PoisonedBuffers())), content(100))
      const store = await DirectoryStore.open(root, new MemoryLog())
      await spool.commit(store, DIGEST)
      await spool.release()
      const blob = await lstat(join(root, 'blobs', digestFileName(DIGEST)))
      assert.deepEqual([blob.isFile(), blob.mode & 0o777], [true, 0o444])
      assert.deepEqual(await blobBytes(store, DIGEST), content(100))
      for (const file of [precious, sealed]) assert.equal(await readFile(file, 'utf8'), 'precious')
      assert.deepEqual([(await stat(precious)).mode & 0o222, (await stat(sealed)).mode & 0o222], [0o200, 0])
      assert.deepEqual(await readdir(ground.path), [])
    })
  }
}

test('A download whose note speaks of another digest, or is no file that could be read, begins again', async (t) => {
  const spoilers: readonly ((path: string) => Promise<void>)[] = [
    async (path) => writeFile(path, (await readFile(path, 'utf8')).replace(DIGEST, digestOf(content(5)))),
    async (path) => writeFile(path, Buffer.alloc(100_000, ' ')),
    async (path) => {
      await unlink(path)
      await symlink(path, path)
    },
  ]
  for (const spoil of spoilers) {
    const ground = await SpoolGround.make(t)
    await spoil(`${await leave(ground, content(60), { kept: true })}.json`)
    ground.restart()
    const spool = await ground.open()
    assert.equal(spool.leftBytes, 0)
    assert.equal(ground.log.lines.length, 1)
    await spool.release()
  }
})

test('A file that is longer than its blob is not continued', async (t) => {
  const ground = await SpoolGround.make(t)
  const path = await leave(ground, content(101), { about: { ...UNKNOWN, sizeBytes: 100 }, kept: true })
  ground.restart()
  const spool = await ground.open()
  assert.equal(spool.leftBytes, 0)
  assert.equal((await stat(path)).size, 0)
  assert.equal(ground.log.lines.length, 1)
  await spool.release()
})

test('A download that has nothing to be kept leaves nothing behind', async (t) => {
  const ground = await SpoolGround.make(t)
  const spool = await ground.open()
  await spool.keep()
  await spool.release()
  assert.deepEqual(await readdir(ground.path), [])
})

test('The note says more as soon as more is known', async (t) => {
  const ground = await SpoolGround.make(t)
  let about = UNKNOWN
  const spool = await ground.open(() => about)
  await spool.write([Buffer.alloc(MIB)], 0)
  assert.equal((await noted(spool.path)).size, undefined)
  about = { sizeBytes: 2 * MIB, sources: [...UNKNOWN.sources, ...UNKNOWN.sources] }
  await spool.write([content(10)], MIB)
  for (let patience = 1000; patience > 0 && (await noted(spool.path)).size === undefined; patience--) await turn()
  const { size, sources, synced } = await noted(spool.path)
  assert.deepEqual({ size, sources: sources.length, synced }, { size: 2 * MIB, sources: 2, synced: 0 })
  await spool.drop()
  await spool.release()
})

test('A file is synced every 64 MiB, no write waits for that, and the note says so only when it is so', async (t) => {
  const ground = await SpoolGround.make(t)
  let syncedNow = () => {}
  const mayEnd = new Promise<void>((resolve) => {
    syncedNow = resolve
  })
  ground.disk.before = (call) => (call === 'fdatasync' ? mayEnd : undefined)
  const spool = await ground.open(KNOWN)
  const chunk = Buffer.alloc(8 * MIB)
  for (let at = 0; at < 80 * MIB; at += chunk.byteLength) await spool.write([chunk], at)
  assert.equal((await noted(spool.path)).synced, 0)
  syncedNow()
  for (let patience = 10_000; patience > 0 && (await noted(spool.path)).synced === 0; patience--) await turn()
  assert.equal((await noted(spool.path)).synced, 64 * MIB)
  const afterFirst = ground.disk.calls
    .map(({ call }) => call)
    .filter((call) => call === 'fdatasync' || call === 'fsync' || call === 'rename')
  assert.deepEqual(afterFirst.slice(0, 5), ['rename', 'fdatasync', 'fsync', 'fsync', 'rename']) // first note; bytes; the file's name; second note
  await spool.drop()
  await spool.release()
})

test('A sync that fails ends the writing, and what was written is neither kept nor committed', async (t) => {
  for (const end of ['keep', 'commit'] as const) {
    const ground = await SpoolGround.make(t)
    const store = await DirectoryStore.open(join(ground.path, '..'), new MemoryLog())
    ground.disk.failing = (call) => (call === 'fdatasync' ? 'EIO' : undefined)
    const spool = await ground.open()
    const chunk = Buffer.alloc(32 * MIB)
    const write = async () => {
      for (let at = 0; at < 10 * chunk.byteLength; at += chunk.byteLength) {
        await spool.write([chunk], at)
        await turn()
      }
    }
    await assert.rejects(write(), { code: 'EIO' })
    if (end === 'keep') await spool.keep()
    else await assert.rejects(spool.commit(store, DIGEST), { code: 'EIO' })
    if (end === 'commit') await spool.drop()
    await spool.release()
    assert.deepEqual(await readdir(ground.path), [])
    assert.equal(await store.openBlob(DIGEST), undefined)
  }
})

test('A note that cannot be written is a line in the log, and the download goes on', async (t) => {
  const ground = await SpoolGround.make(t)
  ground.disk.failing = (call, path) => (call === 'rename' && path?.includes('.tmp-') ? 'EIO' : undefined)
  const store = await DirectoryStore.open(join(ground.path, '..'), new MemoryLog())
  const spool = await ground.open()
  await ground.clock.advance(1_000)
  await spool.write([content(60)], 0)
  await spool.write([content(100).subarray(60)], 60)
  assert.equal(ground.log.lines.length, 1)
  assert.deepEqual(await readdir(ground.path), [digestFileName(DIGEST)])
  await spool.commit(store, DIGEST)
  await spool.release()
  assert.deepEqual(await blobBytes(store, DIGEST), content(100))
})

test('A download that cannot be noted leaves nothing behind when it breaks off', async (t) => {
  const ground = await SpoolGround.make(t)
  ground.disk.failing = (call, path) => (call === 'rename' && path?.includes('.tmp-') ? 'ENOSPC' : undefined)
  const spool = await ground.open()
  await spool.write([content(60)], 0)
  await spool.keep()
  await spool.release()
  assert.deepEqual(await readdir(ground.path), [])
})

test('Where nobody says which boot this is, the system does', async (t) => {
  const ground = await SpoolGround.make(t)
  const { clock, log } = ground
  const first = await new SpoolDirectory(ground.path, { clock, log }).open(DIGEST, () => UNKNOWN)
  await clock.advance(1_000)
  await first.write([content(60)], 0)
  await first.release()
  const second = await new SpoolDirectory(ground.path, { clock, log }).open(DIGEST, () => UNKNOWN)
  assert.equal(second.leftBytes, 60)
  await second.release()
  const { boot } = await noted(first.path)
  assert.equal(boot, (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim())
})

test('Where the system does not tell one boot from another, only what was synced is continued', async (t) => {
  const ground = await SpoolGround.make(t)
  const { clock, log, disk } = ground
  disk.failing = (_, path) => (path?.startsWith('/proc/') ? 'ENOENT' : undefined)
  const open = () => new SpoolDirectory(ground.path, { clock, log, files: disk.files }).open(DIGEST, () => UNKNOWN)
  const first = await open()
  await first.write([content(60)], 0)
  await first.keep()
  await first.release()
  await appendFile(first.path, content(100).subarray(60))
  const second = await open()
  assert.equal(second.leftBytes, 60)
  await second.release()
})
