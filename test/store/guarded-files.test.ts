/** Nothing reaches the disk of a store that is closed. */
import assert from 'node:assert/strict'
import { chmod, readdir, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { systemClock } from '../../src/observe/clock.ts'
import { digestFileName, digestOf } from '../../src/oci/digest.ts'
import { DirectoryStore } from '../../src/store/directory-store.ts'
import { systemFiles } from '../../src/store/file-system.ts'
import { guardedFiles } from '../../src/store/guarded-files.ts'
import { isSystemError } from '../../src/store/space.ts'
import { SpoolDirectory } from '../../src/store/spool.ts'
import { temporaryDirectory } from '../support/files.ts'
import { MemoryLog } from '../support/log.ts'
import { content, recordOf, refOf } from './contract.ts'

/** Every file and directory, with what a write would change of it. */
async function snapshot(path: string): Promise<string[]> {
  const names = ['', ...(await readdir(path, { recursive: true }))].sort()
  return Promise.all(
    names.map(async (name) => {
      const { mode, size, mtimeMs, ctimeMs } = await stat(join(path, name))
      return `${name} ${mode} ${size} ${mtimeMs} ${ctimeMs}`
    }),
  )
}

test('While a store is closed nothing in it changes, whatever is asked of it; what is in it can be read', async (t) => {
  const path = await temporaryDirectory(t)
  let why: string | undefined
  const files = guardedFiles(systemFiles, { refusal: () => why, term: () => 1 })
  const log = new MemoryLog()
  const store = await DirectoryStore.open(path, log, files)
  const spools = new SpoolDirectory(join(path, 'pulls'), { clock: systemClock, log, files })
  const [record, ref, bytes] = [recordOf('quay.io/team/app:1'), refOf('quay.io/team/app:1'), content(2000, 1)]
  const digest = digestOf(bytes)
  await store.putRecord(record)
  await store.putRef(ref)
  await store.putBlob(digest, bytes)
  const blobPath = join(path, 'blobs', digestFileName(digest))
  await chmod(blobPath, 0o644)
  await writeFile(join(path, 'img', digestFileName(digestOf(Buffer.from('damaged')))), '{')
  await writeFile(join(path, 'pulls', 'spool'), 'x')
  const blob = await store.openBlob(digest)
  const identity = blob?.identity ?? ''
  blob?.close()
  const before = await snapshot(path)

  why = 'the store is in use by another'
  const refused = (error: unknown) => isSystemError(error) && error.code === 'EROFS' && error.message.includes('in use by another')
  const writes: (() => Promise<unknown>)[] = [
    () => store.putRecord({ ...record, imageUrl: 'quay.io/team/app:2' }),
    () => store.putRef(refOf('quay.io/team/app:2')),
    () => store.putBlob(digestOf(Buffer.from('new')), Buffer.from('new')),
    () => store.commitBlob(digestOf(Buffer.from('x')), join(path, 'pulls', 'spool')),
    () => store.quarantineBlob(digest, identity, 'a test'),
    () => store.deleteBlob(digest),
    () => store.deleteRecord(record.digest),
    () => store.deleteRef(ref.reference),
    () => spools.open(digest, () => ({ sizeBytes: 1, sources: [] })),
  ]
  for (const write of writes) await assert.rejects(write(), refused, String(write))
  await store.markVerified(digest, identity)
  assert.equal((await store.getRecord(record.digest))?.imageUrl, record.imageUrl)
  assert.equal((await store.getRef(ref.reference))?.digest, ref.digest)
  assert.equal(await store.getRecord(digestOf(Buffer.from('damaged'))), undefined)
  let listed = 0
  for await (const _ of store.listRecords()) listed++
  assert.equal(listed, 1, 'a damaged record is left out where it lies')
  assert.deepEqual(await snapshot(path), before)

  why = undefined
  await store.putRef(refOf('quay.io/team/app:2'))
  assert.notDeepEqual(await snapshot(path), before)
})
