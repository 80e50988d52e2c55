import assert from 'node:assert/strict'
import { chmod, readdir, readFile, rename, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { digestFileName, digestOf } from '../../src/oci/digest.ts'
import { DirectoryStore } from '../../src/store/directory-store.ts'
import { SpoolDirectory } from '../../src/store/spool.ts'
import { bytesOf, PoisonedBuffers } from '../support/buffers.ts'
import { temporaryDirectory } from '../support/files.ts'
import { MemoryLog } from '../support/log.ts'
import { blobBytes, content } from './contract.ts'

const DIGEST = digestOf(content(100))

test('A spool file is named after its digest, and its directory is made when it is missing', async (t) => {
  const path = join(await temporaryDirectory(t), 'pulls')
  const spool = await new SpoolDirectory(path).create(DIGEST)
  assert.equal(spool.path, join(path, digestFileName(DIGEST)))
  assert.deepEqual(await readdir(path), [digestFileName(DIGEST)])
  await spool.release()
})

test('What is written to a spool file can be read at once, from anywhere', async (t) => {
  const bytes = content(100)
  const spool = await new SpoolDirectory(await temporaryDirectory(t)).create(DIGEST)
  await spool.write([bytes.subarray(0, 10), bytes.subarray(10, 30)], 0)
  assert.deepEqual(await bytesOf(spool.read(5, 30, new PoisonedBuffers())), bytes.subarray(5, 30))
  await spool.write([bytes.subarray(30)], 30)
  assert.deepEqual(await bytesOf(spool.read(0, 100, new PoisonedBuffers())), bytes)
  await spool.release()
})

test('A new spool file starts empty, whatever an earlier fill left there', async (t) => {
  const path = await temporaryDirectory(t)
  const left = join(path, digestFileName(DIGEST))
  await writeFile(left, 'left by a crash')
  await chmod(left, 0o444)
  const spool = await new SpoolDirectory(path).create(DIGEST)
  assert.equal((await stat(left)).size, 0)
  await spool.write([content(10)], 0)
  assert.deepEqual(await readFile(left), content(10))
  await spool.release()
})

test('Other files in the spool are left alone', async (t) => {
  const path = await temporaryDirectory(t)
  await writeFile(join(path, '0123.tar'), 'a tarball of 1.7')
  const spool = await new SpoolDirectory(path).create(DIGEST)
  await spool.drop()
  await spool.release()
  assert.deepEqual(await readdir(path), ['0123.tar'])
})

test('A dropped spool file is gone, and who reads it may finish', async (t) => {
  const path = await temporaryDirectory(t)
  const spool = await new SpoolDirectory(path).create(DIGEST)
  await spool.write([content(100)], 0)
  const reader = spool.read(0, 100, new PoisonedBuffers())
  const first = Buffer.from((await reader.next()).value ?? [])
  await spool.drop()
  await spool.drop() // harmless
  await spool.release()
  assert.deepEqual(await readdir(path), [])
  assert.deepEqual(Buffer.concat([first, await bytesOf(reader)]), content(100))
})

test('Who reads a spool file goes on reading when it has become a blob', async (t) => {
  const path = await temporaryDirectory(t)
  const store = await DirectoryStore.open(path, new MemoryLog())
  const spool = await new SpoolDirectory(join(path, 'pulls')).create(DIGEST)
  await spool.write([content(100)], 0)
  const reader = spool.read(0, 100, new PoisonedBuffers())
  const first = Buffer.from((await reader.next()).value ?? [])
  await store.commitBlob(DIGEST, spool.path)
  await spool.release()
  assert.deepEqual(await readdir(join(path, 'pulls')), [])
  assert.deepEqual(await blobBytes(store, DIGEST), content(100))
  assert.deepEqual(Buffer.concat([first, await bytesOf(reader)]), content(100))
})

test('Dropping a spool file does not touch one that was put in its place under another name', async (t) => {
  const path = await temporaryDirectory(t)
  const spool = await new SpoolDirectory(path).create(DIGEST)
  await rename(spool.path, join(path, 'elsewhere'))
  await spool.drop()
  await spool.release()
  assert.deepEqual(await readdir(path), ['elsewhere'])
})
