import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { access, chmod, mkdir, readdir, readFile, rm, stat, symlink, truncate, writeFile } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { type TestContext, test } from 'node:test'
import { promisify } from 'node:util'
import { digestOf } from '../../src/oci/digest.ts'
import { OCI_INDEX } from '../../src/oci/media-type.ts'
import { DirectoryStore } from '../../src/store/directory-store.ts'
import { referenceFileName } from '../../src/store/record.ts'
import { temporaryDirectory } from '../support/files.ts'
import { MemoryLog } from '../support/log.ts'
import { blobBytes, content, identityOf, listed, listedBlobs, listedRecords, recordOf, refOf } from './contract.ts'
import { isRoot, unprivileged } from './support/privileges.ts'

const A64 = 'a'.repeat(64)
const IMAGE = recordOf('quay.io/team/app:v1')
const INDEX = recordOf('quay.io/team/app:v1', OCI_INDEX)
const REF = refOf('quay.io/team/app:v1')

/** A store with an image, an index and a reference. */
async function filledStore(t: TestContext): Promise<{ path: string; store: DirectoryStore; log: MemoryLog }> {
  const path = await temporaryDirectory(t)
  const log = new MemoryLog()
  const store = await DirectoryStore.open(path, log)
  await store.putRecord(IMAGE)
  await store.putRecord(INDEX)
  await store.putRef(REF)
  return { path, store, log }
}

async function assertAllElseLoads(store: DirectoryStore): Promise<void> {
  assert.deepEqual(await listedRecords(store), [INDEX, IMAGE])
  assert.deepEqual(await listed(store.listRefs()), [REF])
}

const damages: readonly (readonly [string, string])[] = [
  ['An empty file', ''],
  ['A file of zeros', '\0'.repeat(4096)],
  ['A truncated record', '{"type":3,"digest":"aaaa","imageUrl":"quay.io/team/ap'],
  ['Foreign JSON', '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json"}'],
  ['A file that is no text', String.fromCharCode(0xff, 0xfe, 0x00, 0xd8).repeat(100)],
]
for (const [what, text] of damages) {
  for (const directory of ['img', 'fat', 'refs']) {
    test(`${what} in ${directory}/ goes to quarantine, with a line in the log, and everything else still loads`, async (t) => {
      const { path, store, log } = await filledStore(t)
      const file = join(path, directory, A64)
      await writeFile(file, text)
      await assertAllElseLoads(store)
      const [quarantined = '', ...more] = await readdir(join(path, 'quarantine'))
      assert.deepEqual(more, [])
      assert.match(quarantined, new RegExp(`^${directory}-${A64}-\\d+-[0-9a-f]{8}$`))
      assert.equal(await readFile(join(path, 'quarantine', quarantined), 'utf8'), text)
      assert.equal(log.lines.length, 1)
      assert.equal(log.lines[0]?.level, 'error')
      assert.equal(log.lines[0]?.fields.file, file)
      assert.equal(log.lines[0]?.fields.quarantine, join(path, 'quarantine', quarantined))
      assert.ok(!(await readdir(join(path, directory))).includes(A64))
      await assertAllElseLoads(store)
      assert.equal(log.lines.length, 1)
    })
  }
}

for (const directory of ['img', 'fat', 'refs']) {
  test(`A named pipe in ${directory}/ with the name of a file is left alone, and everything else still loads`, async (t) => {
    const { path, store, log } = await filledStore(t)
    await promisify(execFile)('mkfifo', [join(path, directory, A64)])
    await assertAllElseLoads(store)
    assert.ok((await readdir(join(path, directory))).includes(A64))
    assert.deepEqual(log.lines, [])
  })
}

test('A damaged record is quarantined when it is asked for, too', async (t) => {
  const { path, store, log } = await filledStore(t)
  await writeFile(join(path, 'img', IMAGE.digest.slice(7)), '{"type":3,')
  assert.equal(await store.getRecord(IMAGE.digest), undefined)
  assert.equal(log.lines.length, 1)
  await store.putRecord(IMAGE)
  assert.deepEqual(await store.getRecord(IMAGE.digest), IMAGE)
})

test('A reference under the name of another one is quarantined', async (t) => {
  const { path, store, log } = await filledStore(t)
  const [name = ''] = await readdir(join(path, 'refs'))
  await writeFile(join(path, 'refs', A64), await readFile(join(path, 'refs', name)))
  await assertAllElseLoads(store)
  assert.match(String(log.lines[0]?.fields.why), /quay\.io\/team\/app:v1/)
})

test('A file too large to be a record is quarantined, and never read into memory', async (t) => {
  const { path, store, log } = await filledStore(t)
  await writeFile(join(path, 'img', A64), '')
  await truncate(join(path, 'img', A64), 20 * 1024 ** 3)
  await assertAllElseLoads(store)
  assert.match(String(log.lines[0]?.fields.why), /21474836480 bytes/)
})

test('Quarantine keeps what was there before, and what is damaged again', async (t) => {
  const { path, store, log } = await filledStore(t)
  for (const text of ['one', 'two', 'three']) {
    await writeFile(join(path, 'img', A64), text)
    await listed(store.listRecords())
  }
  const names = await readdir(join(path, 'quarantine'))
  const texts = await Promise.all(names.map((name) => readFile(join(path, 'quarantine', name), 'utf8')))
  assert.deepEqual(texts.sort(), ['one', 'three', 'two'])
  assert.equal(log.lines.length, 3)
})

test('A quarantine that was deleted is made again', async (t) => {
  const { path, store } = await filledStore(t)
  await rm(join(path, 'quarantine'), { recursive: true })
  await writeFile(join(path, 'img', A64), '')
  await assertAllElseLoads(store)
  assert.equal((await readdir(join(path, 'quarantine'))).length, 1)
})

for (const spelling of ['relative', 'with a slash at its end', 'with detours'] as const) {
  test(`Files are quarantined under their own names in a store whose path is ${spelling}`, async (t) => {
    const path = await temporaryDirectory(t)
    const spelled = { relative: relative(process.cwd(), path), 'with a slash at its end': `${path}/`, 'with detours': `${path}/./x/../` }
    const store = await DirectoryStore.open(spelled[spelling], new MemoryLog())
    await writeFile(join(path, 'img', A64), '')
    await listed(store.listRecords())
    assert.match((await readdir(join(path, 'quarantine')))[0] ?? '', new RegExp(`^img-${A64}-\\d+-[0-9a-f]{8}$`))
  })
}

const foreign = [
  '.stfolder',
  '.stignore',
  `.syncthing.${A64}.tmp`,
  `${A64}.sync-conflict-20260101-120000-ABCDEFG`,
  `.tmp-0123456789abcdef`,
  `${A64}.tmp`,
  A64.toUpperCase(),
  'README',
  'image.tar',
]
for (const directory of ['img', 'fat', 'refs', 'blobs']) {
  test(`Foreign files in ${directory}/ are left alone`, async (t) => {
    const { path, store, log } = await filledStore(t)
    for (const name of foreign) await writeFile(join(path, directory, name), 'somebody needs this')
    await assertAllElseLoads(store)
    assert.deepEqual(await listedBlobs(store), [])
    for (const name of foreign) assert.equal(await readFile(join(path, directory, name), 'utf8'), 'somebody needs this')
    assert.deepEqual(log.lines, [])
  })

  test(`Directories and dangling links in ${directory}/ are left alone, even under the name of a digest`, async (t) => {
    const { path, store, log } = await filledStore(t)
    const [asDirectory, asLink] = [digestOf(content(1)), digestOf(content(2))]
    await mkdir(join(path, directory, asDirectory.slice(7)))
    await mkdir(join(path, directory, '.stfolder'))
    await symlink('/nowhere', join(path, directory, asLink.slice(7)))
    await assertAllElseLoads(store)
    for (const digest of [asDirectory, asLink]) {
      assert.equal(await store.getRecord(digest), undefined)
      assert.equal(await store.openBlob(digest), undefined)
    }
    assert.deepEqual(log.lines, [])
    assert.equal((await readdir(join(path, 'quarantine'))).length, 0)
  })
}

const inThePlace: readonly (readonly [string, (path: string) => Promise<unknown>])[] = [
  ['a directory', (path) => mkdir(join(path, 'somebody', 'needs', 'this'), { recursive: true })],
  ['a link to a directory', (path) => symlink('..', path)],
  ['a link to a file', (path) => symlink('../precious', path)],
  ['a link to itself', (path) => symlink(path, path)],
]
for (const [what, put] of inThePlace) {
  test(`What lies in the place of a blob, a record or a reference makes way for it: ${what}`, async (t) => {
    const path = await temporaryDirectory(t)
    const store = await DirectoryStore.open(path, new MemoryLog())
    await writeFile(join(path, 'precious'), 'precious')
    await writeFile(join(path, 'pulls', 'filled'), content(2))
    const [small, big] = [digestOf(content(1)), digestOf(content(2))]
    for (const digest of [small, big]) await put(join(path, 'blobs', digest.slice(7)))
    await put(join(path, 'img', IMAGE.digest.slice(7)))
    await put(join(path, 'fat', INDEX.digest.slice(7)))
    await put(join(path, 'refs', referenceFileName(REF.reference)))
    await store.putBlob(small, content(1))
    await store.commitBlob(big, join(path, 'pulls', 'filled'))
    await store.putRecord(IMAGE)
    await store.putRecord(INDEX)
    await store.putRef(REF)
    await assertAllElseLoads(store)
    assert.deepEqual(await blobBytes(store, small), content(1))
    assert.deepEqual(await blobBytes(store, big), content(2))
    const directories = (await readdir(join(path, 'quarantine'))).map((name) => name.split('-')[0]).sort()
    assert.deepEqual(directories, what === 'a directory' ? ['blobs', 'blobs', 'fat', 'img', 'refs'] : [])
    for (const name of await readdir(join(path, 'quarantine'))) await access(join(path, 'quarantine', name, 'somebody', 'needs', 'this'))
    assert.equal(await readFile(join(path, 'precious'), 'utf8'), 'precious')
  })
}

test('A blob that is a link is served, but what it points at is not marked', async (t) => {
  const path = await temporaryDirectory(t)
  const log = new MemoryLog()
  const store = await DirectoryStore.open(path, log)
  const digest = digestOf(content(1))
  await writeFile(join(path, 'elsewhere'), content(1), { mode: 0o644 })
  await symlink('../elsewhere', join(path, 'blobs', digest.slice(7)))
  await store.markVerified(digest, await identityOf(store, digest))
  assert.deepEqual(await blobBytes(store, digest), content(1))
  assert.equal((await stat(join(path, 'elsewhere'))).mode & 0o777, 0o644)
  assert.deepEqual([log.lines.length, log.lines[0]?.level], [1, 'warn'])
})

test('Foreign files beside the directories of the store and in pulls/ are left alone', async (t) => {
  const path = await temporaryDirectory(t)
  await mkdir(join(path, 'pulls'))
  const files = ['pulls/0123.tar', `pulls/${A64}.tar`, '.stfolder', '.permtest', 'README', 'lost+found']
  for (const file of files) await writeFile(join(path, file), 'somebody needs this')
  const log = new MemoryLog()
  const store = await DirectoryStore.open(path, log)
  await listed(store.listRecords())
  for (const file of files) assert.equal(await readFile(join(path, file), 'utf8'), 'somebody needs this')
  assert.deepEqual(log.lines, [])
})

test('A record that may not be read is left out, with a line in the log, and everything else still loads', async (t) => {
  const { path, store, log } = await filledStore(t)
  const unreadable = recordOf('quay.io/team/private:v1')
  await store.putRecord(unreadable)
  await chmod(path, 0o755)
  await chmod(join(path, 'img', unreadable.digest.slice(7)), 0o000)
  await unprivileged(async () => {
    await assertAllElseLoads(store)
    assert.equal(await store.getRecord(unreadable.digest), undefined)
    assert.deepEqual(
      log.lines.map(({ level, fields }) => [level, fields.file]),
      Array(2).fill(['error', join(path, 'img', unreadable.digest.slice(7))]),
    )
  })
  assert.deepEqual(await readdir(join(path, 'quarantine')), [])
})

test('A blob that may not be read is as good as absent, with a line in the log, and another may take its place', async (t) => {
  const { path, store, log } = await filledStore(t)
  const bytes = Buffer.from('as root copied it')
  const file = join(path, 'blobs', digestOf(bytes).slice(7))
  await writeFile(file, bytes, { mode: 0o600 })
  await chmod(path, 0o755)
  await unprivileged(async () => {
    assert.equal(await store.openBlob(digestOf(bytes)), undefined)
    assert.deepEqual(
      log.lines.map(({ level, fields }) => [level, fields.file]),
      [['error', file]],
    )
  })
  await store.putBlob(digestOf(bytes), bytes)
  await unprivileged(async () => {
    const blob = await store.openBlob(digestOf(bytes))
    assert.equal(blob?.verified, true)
    blob?.close()
  })
})

test('A damaged record that cannot be moved is left out, with a line in the log, and everything else still loads', async (t) => {
  const { path, store, log } = await filledStore(t)
  await chmod(path, 0o755)
  await writeFile(join(path, 'img', A64), 'damaged')
  await chmod(join(path, 'img'), 0o555)
  await unprivileged(() => assertAllElseLoads(store)).finally(() => chmod(join(path, 'img'), 0o755))
  assert.deepEqual(
    log.lines.map(({ level, fields }) => [level, fields.file]),
    [['error', join(path, 'img', A64)]],
  )
})

test('A verified blob that belongs to another user is served, though it cannot be marked', async (t) => {
  if (!isRoot) {
    t.skip('needs root, to become another user')
    return
  }
  const { path, store, log } = await filledStore(t)
  const digest = digestOf(content(10))
  await chmod(path, 0o755)
  await writeFile(join(path, 'blobs', digest.slice(7)), content(10))
  await unprivileged(async () => {
    await store.markVerified(digest, await identityOf(store, digest))
    const blob = await store.openBlob(digest)
    assert.equal(blob?.verified, false)
    blob?.close()
    assert.match(log.lines[0]?.message ?? '', /belongs to another user/)
  })
})
