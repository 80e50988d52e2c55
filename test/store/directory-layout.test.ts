import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { chmod, mkdir, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { digestFileName, digestOf } from '../../src/oci/digest.ts'
import { DOCKER_LIST, DOCKER_MANIFEST, OCI_ARTIFACT, OCI_INDEX, OCI_MANIFEST } from '../../src/oci/media-type.ts'
import { DirectoryStore } from '../../src/store/directory-store.ts'
import type { Store } from '../../src/store/store.ts'
import { temporaryDirectory } from '../support/files.ts'
import { MemoryLog } from '../support/log.ts'
import { blobBytes, content, identityOf, listed, listedBlobs, listedRecords, recordOf, refOf } from './contract.ts'

process.env.TZ = 'Europe/Berlin'

async function openStore(t: TestContext): Promise<{ path: string; store: DirectoryStore; log: MemoryLog }> {
  const path = await temporaryDirectory(t)
  const log = new MemoryLog()
  return { path, store: await DirectoryStore.open(path, log), log }
}

async function commit(store: Store, path: string, bytes: Buffer, mode = 0o644): Promise<void> {
  const spool = join(path, 'pulls', digestFileName(digestOf(bytes)))
  await writeFile(spool, bytes, { mode })
  await store.commitBlob(digestOf(bytes), spool)
}

for (const mode of [0o644, 0o600, 0o666, 0o755]) {
  test(`A committed blob lies in blobs/ and is read-only, whatever its spool file was (${mode.toString(8)})`, async (t) => {
    const { path, store } = await openStore(t)
    await commit(store, path, Buffer.from('{}'), mode)
    const file = join(path, 'blobs', '44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a')
    assert.equal((await stat(file)).mode & 0o7777, 0o444)
    assert.equal(await readFile(file, 'utf8'), '{}')
    assert.deepEqual(await readdir(join(path, 'pulls')), [])
  })
}

for (const mode of [0o644, 0o600, 0o666, 0o464, 0o446, 0o755]) {
  test(`A blob of mode ${mode.toString(8)} is not verified, because somebody could have written to it`, async (t) => {
    const { path, store } = await openStore(t)
    const digest = digestOf(content(10))
    const file = join(path, 'blobs', digestFileName(digest))
    await writeFile(file, content(10))
    await chmod(file, mode)
    const blob = await store.openBlob(digest)
    assert.equal(blob?.verified, false)
    blob?.close()
    await store.markVerified(digest, await identityOf(store, digest))
    assert.equal((await stat(file)).mode & 0o7777, 0o444)
  })
}

const directories: readonly (readonly [string, 'img' | 'fat'])[] = [
  [OCI_MANIFEST, 'img'],
  [DOCKER_MANIFEST, 'img'],
  [OCI_ARTIFACT, 'img'],
  [OCI_INDEX, 'fat'],
  [DOCKER_LIST, 'fat'],
]
for (const [mediaType, directory] of directories) {
  test(`A record of ${mediaType} is one file in ${directory}/, named after its digest`, async (t) => {
    const { path, store } = await openStore(t)
    const record = recordOf('quay.io/team/app:v1', mediaType)
    await store.putRecord(record)
    const other = directory === 'img' ? 'fat' : 'img'
    assert.deepEqual(await readdir(join(path, directory)), [record.digest.slice(7)])
    assert.deepEqual(await readdir(join(path, other)), [])
    await store.deleteRecord(record.digest)
    assert.deepEqual(await readdir(join(path, directory)), [])
  })
}

test('Content that is named by sha512 says so in its file names', async (t) => {
  const { path, store } = await openStore(t)
  const bytes = content(10)
  const digest = digestOf(bytes, 'sha512')
  await writeFile(join(path, 'pulls', 'spool'), bytes)
  await store.commitBlob(digest, join(path, 'pulls', 'spool'))
  assert.deepEqual(await readdir(join(path, 'blobs')), [`sha512-${digest.slice(7)}`])
})

test('A reference is one file in refs/, named after the hash of its canonical spelling', async (t) => {
  const { path, store } = await openStore(t)
  await store.putRef(refOf('docker.io/library/alpine:3'))
  const name = createHash('sha256').update('docker.io/library/alpine:3').digest('hex')
  assert.deepEqual(await readdir(join(path, 'refs')), [name])
  assert.equal(JSON.parse(await readFile(join(path, 'refs', name), 'utf8')).reference, 'docker.io/library/alpine:3')
  await store.putRef({ ...refOf('docker.io/library/alpine:3'), digest: digestOf(content(3)) })
  assert.deepEqual(await readdir(join(path, 'refs')), [name])
  await store.deleteRef('docker.io/library/alpine:3')
  assert.deepEqual(await readdir(join(path, 'refs')), [])
})

test('A grep for the digest of a layer finds the image that has it', async (t) => {
  const { path, store } = await openStore(t)
  const layer = `sha256:${'7'.repeat(64)}`
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, config: {}, layers: [{ mediaType: 'x/y', digest: layer, size: 5 }] }))
  const record = { ...recordOf('quay.io/team/app:v1'), bytes, digest: digestOf(bytes) }
  await store.putRecord(record)
  await store.putRecord(recordOf('quay.io/team/other:v1'))
  const { stdout } = spawnSync('grep', ['-rl', layer, path], { encoding: 'utf8' })
  assert.equal(stdout.trim(), join(path, 'img', record.digest.slice(7)))
})

test('Opening a store again changes nothing in it', async (t) => {
  const { path, store } = await openStore(t)
  await commit(store, path, content(10))
  await store.putRecord(recordOf('quay.io/team/app:v1'))
  await store.putRecord(recordOf('quay.io/team/app:v1', OCI_INDEX))
  await store.putRef(refOf('quay.io/team/app:v1'))
  await writeFile(join(path, 'blobs', digestFileName(digestOf(content(20)))), content(20))
  const before = await snapshot(path)
  const again = await DirectoryStore.open(path, new MemoryLog())
  assert.equal((await listed(again.listRecords())).length, 2)
  assert.equal((await listed(again.listRefs())).length, 1)
  assert.equal((await listedBlobs(again)).length, 2)
  assert.deepEqual(await blobBytes(again, digestOf(content(20))), content(20))
  assert.deepEqual(await snapshot(path), before)
})

async function snapshot(path: string): Promise<unknown[]> {
  const names = (await readdir(path, { recursive: true })).sort()
  return Promise.all(
    names.map(async (name) => {
      const { mode, mtimeMs, ino, size } = await stat(join(path, name))
      return { name, mode, mtimeMs, ino, size }
    }),
  )
}

/** What the Go program writes; `directory` is the one that version chose. */
async function writeGoRecord(path: string, directory: string, imageUrl: string, json: Record<string, unknown> = {}): Promise<string> {
  const record = recordOf(imageUrl)
  const text = JSON.stringify({ type: 3, digest: record.digest.slice(7), imageUrl, bytes: record.bytes.toString('base64'), ...json })
  await mkdir(join(path, directory), { recursive: true })
  await writeFile(join(path, directory, record.digest.slice(7)), text, { mode: 0o755 })
  return record.digest
}

const generations: readonly (readonly [string, readonly (readonly [string, string])[]])[] = [
  [
    '1.8, with fat and img',
    [
      ['fat', 'quay.io/a/list:1'],
      ['img', 'quay.io/a/image:1'],
    ],
  ],
  [
    '1.17, with img and lts',
    [
      ['img', 'quay.io/a/list:1'],
      ['img', 'quay.io/a/image:1'],
      ['lts', 'quay.io/a/image:latest'],
    ],
  ],
  [
    'every age at once',
    [
      ['fat', 'quay.io/a/list:1'],
      ['img', 'quay.io/a/image:1'],
      ['lts', 'quay.io/a/image:latest'],
    ],
  ],
]
for (const [generation, records] of generations) {
  test(`A store of ${generation}, opens as it is, and no tag is lost`, async (t) => {
    const path = await temporaryDirectory(t)
    const times = { created: '2026-07-20T17:15:21', pulled: '' }
    const digests = await Promise.all(records.map(([directory, imageUrl]) => writeGoRecord(path, directory, imageUrl, times)))
    const log = new MemoryLog()
    const store = await DirectoryStore.open(path, log)
    const found = await listedRecords(store)
    assert.deepEqual(found.map(({ imageUrl }) => imageUrl).sort(), records.map(([, imageUrl]) => imageUrl).sort())
    for (const record of found) {
      assert.ok(digests.includes(record.digest))
      assert.equal(record.mediaType, OCI_MANIFEST)
      assert.equal(record.createdMs, Date.UTC(2026, 6, 20, 15, 15, 21))
      assert.deepEqual(await store.getRecord(record.digest), record)
    }
    assert.deepEqual(log.lines, [])
    for (const record of found) await store.deleteRecord(record.digest)
    assert.deepEqual(await listed(store.listRecords()), [])
  })
}

for (const time of ['$CREATED', '', undefined]) {
  test(`A record whose time is ${JSON.stringify(time) ?? 'missing'} is as old as its file`, async (t) => {
    const { path, store } = await openStore(t)
    const digest = await writeGoRecord(path, 'img', 'quay.io/a/image:1', { created: time, pulled: time })
    const fileTimeMs = Date.UTC(2025, 3, 4, 5, 6, 7)
    await utimes(join(path, 'img', digest.slice(7)), fileTimeMs / 1000, fileTimeMs / 1000)
    const [record] = await listed(store.listRecords())
    assert.deepEqual([record?.createdMs, record?.pulledMs], [fileTimeMs, fileTimeMs])
  })
}

test('A store whose directories are deleted while it runs goes on storing', async (t) => {
  const { path, store } = await openStore(t)
  for (const name of await readdir(path)) await rm(join(path, name), { recursive: true })
  assert.deepEqual(await listedBlobs(store), [])
  assert.deepEqual(await listed(store.listRecords()), [])
  assert.deepEqual(await listed(store.listRefs()), [])
  await mkdir(join(path, 'pulls'))
  await commit(store, path, content(10))
  await store.putRecord(recordOf('quay.io/team/app:v1'))
  await store.putRef(refOf('quay.io/team/app:v1'))
  assert.deepEqual(await blobBytes(store, digestOf(content(10))), content(10))
  assert.deepEqual(await listedRecords(store), [recordOf('quay.io/team/app:v1')])
  assert.deepEqual(await listed(store.listRefs()), [refOf('quay.io/team/app:v1')])
})

test('What a crash left of a write is cleared away, and nothing else', async (t) => {
  const path = await temporaryDirectory(t)
  const store = await DirectoryStore.open(path, new MemoryLog())
  for (const name of ['img/.tmp-0011', 'refs/.tmp-aabb', 'blobs/.tmp-ccdd', 'refs/.stfolder', 'pulls/old.tar'])
    await writeFile(join(path, name), 'x')
  await store.removeLeftovers()
  const left = (await readdir(path, { recursive: true })).filter((name) => name.includes('/')).sort()
  assert.deepEqual(left, ['pulls/old.tar', 'refs/.stfolder'])
})
