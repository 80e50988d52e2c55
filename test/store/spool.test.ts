import assert from 'node:assert/strict'
import { chmod, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { type Digest, digestFileName, parseDigest } from '../../src/oci/digest.ts'
import { DirectoryStore } from '../../src/store/directory-store.ts'
import { bytesOf, PoisonedBuffers } from '../support/buffers.ts'
import { MemoryLog } from '../support/log.ts'
import { blobBytes, content } from './contract.ts'
import { DIGEST, SpoolGround, UNKNOWN } from './support/spool-ground.ts'

test('A spool file is named after its digest, and its directory is made when it is missing', async (t) => {
  const ground = await SpoolGround.make(t)
  await rm(ground.path, { recursive: true })
  const spool = await ground.open()
  assert.equal(spool.path, join(ground.path, digestFileName(DIGEST)))
  assert.deepEqual(await readdir(ground.path), [digestFileName(DIGEST)])
  await spool.release()
})

test('What is written to a spool file can be read at once, from anywhere', async (t) => {
  const bytes = content(100)
  const spool = await (await SpoolGround.make(t)).open()
  await spool.write([bytes.subarray(0, 10), bytes.subarray(10, 30)], 0)
  assert.deepEqual(await bytesOf(spool.read(5, 30, new PoisonedBuffers())), bytes.subarray(5, 30))
  await spool.write([bytes.subarray(30)], 30)
  assert.deepEqual(await bytesOf(spool.read(0, 100, new PoisonedBuffers())), bytes)
  await spool.release()
})

test('Other files in the spool are left alone', async (t) => {
  const ground = await SpoolGround.make(t)
  await writeFile(join(ground.path, '0123.tar'), 'a tarball of 1.7')
  const spool = await ground.open()
  await spool.drop()
  await spool.release()
  assert.deepEqual(await readdir(ground.path), ['0123.tar'])
})

test('A dropped spool file is gone with its note, and who reads it may finish', async (t) => {
  const ground = await SpoolGround.make(t)
  const spool = await ground.open()
  await spool.write([content(100)], 0)
  await ground.clock.advance(1_000)
  await spool.write([content(10)], 100)
  assert.equal((await readdir(ground.path)).length, 2)
  const reader = spool.read(0, 100, new PoisonedBuffers())
  const first = Buffer.from((await reader.next()).value ?? [])
  await spool.drop()
  await spool.release()
  assert.deepEqual(await readdir(ground.path), [])
  assert.deepEqual(Buffer.concat([first, await bytesOf(reader)]), content(100))
})

test('Dropping a spool file again does not touch the one that the next download made', async (t) => {
  const ground = await SpoolGround.make(t)
  const first = await ground.open()
  await first.drop()
  const second = await ground.open()
  await first.drop()
  await first.release()
  assert.deepEqual(await readdir(ground.path), [digestFileName(DIGEST)])
  await second.release()
})

test('Who reads a spool file goes on reading when it has become a blob, and no note is left of it', async (t) => {
  const ground = await SpoolGround.make(t)
  const store = await DirectoryStore.open(join(ground.path, '..'), new MemoryLog())
  const spool = await ground.open()
  await ground.clock.advance(1_000)
  await spool.write([content(100)], 0)
  const reader = spool.read(0, 100, new PoisonedBuffers())
  const first = Buffer.from((await reader.next()).value ?? [])
  await spool.commit(store, DIGEST)
  await spool.release()
  assert.deepEqual(await readdir(ground.path), [])
  assert.deepEqual(await blobBytes(store, DIGEST), content(100))
  assert.deepEqual(Buffer.concat([first, await bytesOf(reader)]), content(100))
})

test('Dropping a spool file does not touch one that was moved elsewhere', async (t) => {
  const ground = await SpoolGround.make(t)
  const spool = await ground.open()
  await rename(spool.path, join(ground.path, 'elsewhere'))
  await spool.drop()
  await spool.release()
  assert.deepEqual(await readdir(ground.path), ['elsewhere'])
})

test('A spool whose directory is removed meanwhile can still be read, kept and dropped, and the next one makes it again', async (t) => {
  const ground = await SpoolGround.make(t)
  for (const end of ['keep', 'drop'] as const) {
    const spool = await ground.open()
    await spool.write([content(100)], 0)
    await rm(ground.path, { recursive: true })
    assert.deepEqual(await bytesOf(spool.read(0, 100, new PoisonedBuffers())), content(100))
    await spool[end]()
    await spool.release()
    const next = await ground.open()
    assert.equal(next.leftBytes, 0)
    await next.drop()
    await next.release()
  }
})

const nothingIsStored = async () => false

test('What nobody came back for is cleared away by its age, with its note, and nothing else is', async (t) => {
  const ground = await SpoolGround.make(t)
  const foreign = ['0123.tar', '.stfolder', 'notes.json', `${digestFileName(DIGEST)}.sync-conflict-20260101-000000-ABCDEFG`]
  for (const name of foreign) await writeFile(join(ground.path, name), 'foreign')
  const names = {
    old: 'a'.repeat(64),
    oldNoteOnly: 'b'.repeat(64),
    fileIsOld: 'c'.repeat(64),
    noteIsOld: 'd'.repeat(64),
    oldSha512: `sha512-${'e'.repeat(128)}`,
    oldAndInUse: digestFileName(DIGEST),
  }
  const dayMs = 24 * 3600_000
  await ground.plant(names.old, { fileAgeMs: 8 * dayMs, noteAgeMs: 7 * dayMs })
  await ground.plant(names.oldNoteOnly, { noteAgeMs: 8 * dayMs })
  await ground.plant(names.fileIsOld, { fileAgeMs: 8 * dayMs, noteAgeMs: 6 * dayMs })
  await ground.plant(names.noteIsOld, { fileAgeMs: 6 * dayMs, noteAgeMs: 8 * dayMs })
  await ground.plant(names.oldSha512, { fileAgeMs: 8 * dayMs })
  const spool = await ground.open()
  await spool.write([content(10)], 0)
  await ground.setAge(spool.path, 9 * dayMs)

  assert.deepEqual(await ground.directory.removeStale(7 * dayMs, nothingIsStored), { files: 3, bytes: 200 })
  const stays = [names.fileIsOld, `${names.fileIsOld}.json`, names.noteIsOld, `${names.noteIsOld}.json`, names.oldAndInUse]
  assert.deepEqual((await readdir(ground.path)).sort(), [...foreign, ...stays].sort())
  await spool.release()
})

test('What no download could go on from is cleared away at once: a note without its file, a file without a note', async (t) => {
  const ground = await SpoolGround.make(t)
  const [whole, noteOnly, fileOnly, sealed] = ['a', 'b', 'c', 'd'].map((digit) => digit.repeat(64)) as [string, string, string, string]
  await ground.plant(whole, { fileAgeMs: 10, noteAgeMs: 10 })
  await ground.plant(noteOnly, { noteAgeMs: 10 })
  await ground.plant(fileOnly, { fileAgeMs: 10 })
  await ground.plant(sealed, { fileAgeMs: 10 })
  await chmod(join(ground.path, sealed), 0o444) // it was about to become a blob
  const spool = await ground.open()
  assert.deepEqual(await ground.directory.removeStale(1000, nothingIsStored), { files: 2, bytes: 100 })
  assert.deepEqual((await readdir(ground.path)).sort(), [whole, `${whole}.json`, sealed, digestFileName(DIGEST)].sort())
  await spool.release()
})

test('What is left of a blob that another fill has stored since is cleared away at once, and what is left of others is known', async (t) => {
  const ground = await SpoolGround.make(t)
  const [stored, wanted] = ['a', 'b'].map((digit) => parseDigest(`sha256:${digit.repeat(64)}`)) as [Digest, Digest]
  for (const digest of [stored, wanted]) await ground.plant(digestFileName(digest), { fileAgeMs: 10, noteAgeMs: 10 })
  const { directory } = ground
  assert.deepEqual(await directory.removeStale(1000, async (digest) => digest === stored), { files: 1, bytes: 100 })
  assert.deepEqual((await readdir(ground.path)).sort(), [digestFileName(wanted), `${digestFileName(wanted)}.json`])
  assert.deepEqual([directory.hasLeft(stored), directory.hasLeft(wanted)], [false, true])
})

test('What a fill keeps is known to be left, until another one has it', async (t) => {
  const ground = await SpoolGround.make(t)
  const spool = await ground.open()
  await spool.write([content(10)], 0)
  assert.equal(ground.directory.hasLeft(DIGEST), false)
  await spool.keep()
  await spool.release()
  assert.equal(ground.directory.hasLeft(DIGEST), true)
  const next = await ground.open()
  assert.equal(ground.directory.hasLeft(DIGEST), false)
  await next.drop()
  await next.release()
  assert.equal(ground.directory.hasLeft(DIGEST), false)
})

test('Clearing away goes on behind what cannot be removed, and is harmless where there is no spool', async (t) => {
  const ground = await SpoolGround.make(t)
  for (const name of ['a'.repeat(64), 'b'.repeat(64)]) await ground.plant(name, { fileAgeMs: 10 })
  ground.disk.failing = (call, path) => (call === 'unlink' && path?.endsWith('a') ? 'EACCES' : undefined)
  assert.deepEqual(await ground.directory.removeStale(5, nothingIsStored), { files: 1, bytes: 100 })
  assert.equal(ground.log.lines.filter(({ level }) => level === 'warn').length, 1)
  await rm(ground.path, { recursive: true })
  assert.deepEqual(await ground.directory.removeStale(5, nothingIsStored), { files: 0, bytes: 0 })
})

test('A note is not written for a blob that is there at once', async (t) => {
  const ground = await SpoolGround.make(t)
  const spool = await ground.open()
  await ground.clock.advance(999)
  await spool.write([Buffer.alloc(1024 * 1024 - 1)], 0)
  assert.deepEqual(await readdir(ground.path), [digestFileName(DIGEST)])
  await spool.release()
})

for (const [when, advanceMs, bytes] of [
  ['a MiB has come', 0, 1024 * 1024],
  ['a second has passed', 1_000, 1],
] as const) {
  test(`A note is there with the write by which ${when}, and costs no sync`, async (t) => {
    const ground = await SpoolGround.make(t)
    const spool = await ground.open({ sizeBytes: 5_000_000, sources: UNKNOWN.sources })
    await ground.clock.advance(advanceMs)
    ground.disk.failing = (call) => (call === 'fsync' || call === 'fdatasync' ? 'EIO' : undefined)
    await spool.write([Buffer.alloc(bytes)], 0)
    const note = JSON.parse(await readFile(`${spool.path}.json`, 'utf8'))
    assert.deepEqual(note, {
      digest: DIGEST,
      size: 5_000_000,
      sources: [{ registry: 'docker.io', repository: 'library/alpine' }],
      boot: 'this boot',
      synced: 0,
    })
    await spool.release()
  })
}
