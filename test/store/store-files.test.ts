import assert from 'node:assert/strict'
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { fileOfReference, filesOf, type StoreFile, StoreFiles } from '../../src/store/store-files.ts'
import { temporaryDirectory } from '../support/files.ts'
import { MemoryLog } from '../support/log.ts'
import { listed } from './contract.ts'

const [A, B] = ['a'.repeat(64), 'b'.repeat(64)]
const LONG = `sha512-${'c'.repeat(128)}`
const PATHS = [`refs/${A}`, `fat/${A}`, `fat/${LONG}`, `img/${A}`, `img/${B}`, `lts/${B}`, `blobs/${A}`, `blobs/${B}`]

async function filesWith(t: TestContext, paths: readonly string[]): Promise<StoreFiles> {
  const path = await temporaryDirectory(t)
  for (const file of paths) {
    await mkdir(dirname(join(path, file)), { recursive: true })
    await writeFile(join(path, file), file)
  }
  return new StoreFiles(path, new MemoryLog())
}

const pathsOf = (files: readonly StoreFile[]) => files.map(({ path }) => path)

test('References come before records, and records before blobs, each in the order of their names', async (t) => {
  const files = await filesWith(t, [...PATHS].reverse())
  const found = await listed(files.list())
  assert.deepEqual(pathsOf(found), PATHS)
  assert.deepEqual(
    found.map(({ kind }) => kind),
    ['reference', 'record', 'record', 'record', 'record', 'record', 'blob', 'blob'],
  )
  assert.equal(found[2]?.digest, `sha512:${'c'.repeat(128)}`)
})

for (const [i, path] of PATHS.entries()) {
  test(`Listing goes on behind ${path.slice(0, 20)}, whether it is still there or not`, async (t) => {
    const files = await filesWith(t, PATHS)
    assert.deepEqual(pathsOf(await listed(files.list(path))), PATHS.slice(i + 1))
    await rm(join(files.path, path))
    assert.deepEqual(pathsOf(await listed(files.list(path))), PATHS.slice(i + 1))
  })
}

test('A place that is none is the beginning', async (t) => {
  const files = await filesWith(t, PATHS)
  for (const nowhere of ['', 'nowhere', `constructor/${A}`]) assert.deepEqual(pathsOf(await listed(files.list(nowhere))), PATHS)
})

test('Foreign files, and directories that are not there, are nothing', async (t) => {
  const files = await filesWith(t, [`img/${A}.sync-conflict-20260101`, 'blobs/.stfolder', 'pulls/x.tar'])
  assert.deepEqual(await listed(files.list()), [])
  assert.deepEqual(await files.quarantined(), [])
})

test('A blob has one place, a record three, a reference one', async () => {
  const digest = `sha256:${A}` as StoreFile['digest']
  assert.deepEqual(pathsOf(filesOf('blob', digest)), [`blobs/${A}`])
  assert.deepEqual(pathsOf(filesOf('record', digest)), [`fat/${A}`, `img/${A}`, `lts/${A}`])
  assert.match(fileOfReference('quay.io/x/y:1').path, /^refs\/[0-9a-f]{64}$/)
})

test('Only the file that was looked at goes to quarantine, and its name there says what it was', async (t) => {
  const files = await filesWith(t, PATHS)
  const [blob] = filesOf('blob', `sha256:${A}` as StoreFile['digest'])
  assert.ok(blob)
  const identity = (await files.identity(blob)) ?? ''
  await writeFile(join(files.path, blob.path), 'another one')
  assert.equal(await files.quarantine(blob, identity, 'it was wrong'), false)
  assert.equal(await files.quarantine(blob, (await files.identity(blob)) ?? '', 'it is wrong'), true)
  assert.equal(await files.open(blob), undefined)
  assert.deepEqual(await files.quarantined(), [{ kind: 'blob', digest: `sha256:${A}` }])
  await writeFile(join(files.path, 'quarantine', 'README'), 'mine')
  assert.equal((await files.quarantined()).length, 1)
  assert.deepEqual(await files.amount('quarantine'), { files: 2, bytes: 'another one'.length + 'mine'.length })
  assert.equal((await readdir(join(files.path, 'quarantine'))).length, 2)
})
