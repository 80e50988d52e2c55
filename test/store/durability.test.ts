import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, statSync } from 'node:fs'
import { mkdir, readdir, readlink, rm, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { digestFileName, digestOf, parseDigest } from '../../src/oci/digest.ts'
import { DirectorySync, TEMPORARY_PREFIX, writeFileAtomically } from '../../src/store/atomic-write.ts'
import { DirectoryStore } from '../../src/store/directory-store.ts'
import { FaultyDisk } from '../support/faulty-disk.ts'
import { temporaryDirectory } from '../support/files.ts'
import { MemoryLog } from '../support/log.ts'
import { blobBytes, content, identityOf, listed, listedBlobs, listedRecords, recordOf, refOf } from './contract.ts'
import { Gatekeeper, turns } from './support/gatekeeper.ts'
import { watchFsync } from './support/system-calls.ts'

async function openStore(t: TestContext): Promise<{ path: string; store: DirectoryStore }> {
  const path = await temporaryDirectory(t)
  return { path, store: await DirectoryStore.open(path, new MemoryLog()) }
}

async function spoolFile(path: string, bytes: Buffer): Promise<string> {
  const spool = join(path, 'pulls', digestFileName(digestOf(bytes)))
  await writeFile(spool, bytes)
  return spool
}

test('A blob has its name only after its bytes are durable, and is committed only after its name is', async (t) => {
  const { path, store } = await openStore(t)
  const digest = digestOf(content(10))
  const final = join(path, 'blobs', digestFileName(digest))
  const syncs: string[] = []
  watchFsync(t, (synced) => {
    syncs.push(`${synced.slice(path.length + 1)}: ${existsSync(final) ? 'named' : 'unnamed'}`)
  })
  await store.commitBlob(digest, await spoolFile(path, content(10)))
  assert.deepEqual(syncs, [`pulls/${digestFileName(digest)}: unnamed`, 'blobs: named'])
})

test('A reference has its name only after its bytes are durable, and is put only after its name is', async (t) => {
  const { path, store } = await openStore(t)
  const steps: string[] = []
  watchFsync(t, (synced) => {
    const temporary = readdirSync(join(path, 'refs')).filter((name) => name.startsWith(TEMPORARY_PREFIX))
    const what = basename(synced).startsWith(TEMPORARY_PREFIX) ? 'file' : synced.slice(path.length + 1)
    steps.push(`${what}: ${temporary.length === 0 ? 'named' : 'unnamed'}`)
  })
  await store.putRef(refOf('quay.io/team/app:v1'))
  assert.deepEqual(steps, ['file: unnamed', 'refs: named'])
})

test('A blob is marked as verified only after its bytes are durable', async (t) => {
  const { path, store } = await openStore(t)
  const digest = digestOf(content(10))
  const file = join(path, 'blobs', digestFileName(digest))
  await writeFile(file, content(10), { mode: 0o644 })
  const syncs: string[] = []
  watchFsync(t, (synced) => {
    syncs.push(`${synced.slice(path.length + 1)}: ${(statSync(file).mode & 0o777).toString(8)}`)
  })
  await store.markVerified(digest, await identityOf(store, digest))
  assert.deepEqual(syncs, [`blobs/${digestFileName(digest)}: 644`])
})

test('No more than two blobs are synced at once, and all are in the end', async (t) => {
  const { path, store } = await openStore(t)
  const gate = new Gatekeeper()
  watchFsync(t, (synced) => (synced.startsWith(join(path, 'pulls')) ? gate.pass() : undefined))
  const blobs = Array.from({ length: 6 }, (_, seed) => content(100, seed))
  const commits = Promise.all(blobs.map(async (bytes) => store.commitBlob(digestOf(bytes), await spoolFile(path, bytes))))
  for (let left = blobs.length; left > 0; left--) {
    await gate.waiting(Math.min(2, left))
    gate.open()
  }
  await commits
  assert.equal(gate.peak, 2)
  for (const bytes of blobs) assert.deepEqual(await blobBytes(store, digestOf(bytes)), bytes)
})

test('Syncs of a directory that are asked for while one runs share the next one', async (t) => {
  const path = await temporaryDirectory(t)
  const gate = new Gatekeeper()
  watchFsync(t, () => gate.pass())
  const directory = new DirectorySync(path)
  const done: string[] = []
  const ask = (name: string) => directory.sync().then(() => done.push(name))

  const first = ask('first')
  await gate.waiting(1)
  const others = Promise.all(Array.from({ length: 20 }, (_, index) => ask(`other ${index}`)))
  await turns(5)
  assert.deepEqual(done, [])
  gate.open()
  await first
  assert.deepEqual(done, ['first']) // the others may have renamed after the first sync began
  await gate.waiting(1)
  const late = ask('late')
  gate.open()
  await others
  assert.equal(done.length, 21)
  await gate.waiting(1)
  gate.open()
  await late
  assert.equal(gate.passed, 3)
  assert.equal(gate.peak, 1)
})

test('Syncs of a directory that are asked for as one ends never run at the same time', async (t) => {
  const path = await temporaryDirectory(t)
  const gate = new Gatekeeper()
  watchFsync(t, () => gate.pass())
  const directory = new DirectorySync(path)
  let asked = 0
  const askAgain = async (): Promise<void> => {
    for (let round = 0; round < 5; round++) {
      asked++
      await directory.sync()
    }
  }
  const all = Promise.all([askAgain(), askAgain(), askAgain()])
  for (let round = 0; round < 5; round++) {
    await gate.waiting(1)
    await turns(20) // a second one would come now
    gate.open()
  }
  await all
  assert.equal(asked, 15)
  assert.equal(gate.peak, 1)
  assert.equal(gate.passed, 5)
})

test('A sync of a directory that fails tells those who asked, and the next one is a new one', async (t) => {
  const path = await temporaryDirectory(t)
  let failing = true
  watchFsync(t, () => {
    if (failing) throw Object.assign(new Error('the disk is broken'), { code: 'EIO' })
  })
  const directory = new DirectorySync(path)
  const [first, second] = [directory.sync(), directory.sync()]
  await assert.rejects(first, { code: 'EIO' })
  await assert.rejects(second, { code: 'EIO' })
  failing = false
  await directory.sync()
})

test('Many files that are written at once share the syncs of their directory', async (t) => {
  const path = await temporaryDirectory(t)
  let syncs = 0
  watchFsync(t, (synced) => {
    if (synced === path) syncs++
  })
  const directory = new DirectorySync(path)
  const names = Array.from({ length: 60 }, (_, index) => `file-${index}`)
  await Promise.all(names.map((name) => writeFileAtomically(directory, name, Buffer.from(name), 0o644)))
  assert.deepEqual((await readdir(path)).sort(), names.toSorted())
  assert.ok(syncs < names.length, `${syncs} syncs for ${names.length} files`)
})

test('A file that cannot be put in place leaves nothing behind', async (t) => {
  const path = await temporaryDirectory(t)
  await writeFileAtomically(new DirectorySync(join(path, 'made')), 'file', Buffer.from('x'), 0o644) // the directory is made
  await assert.rejects(writeFileAtomically(new DirectorySync(path), 'made', Buffer.from('x'), 0o644), { code: /EISDIR|ENOTEMPTY|EEXIST/ })
  assert.deepEqual(await readdir(path), ['made'])
})

test('A reader never sees half a reference, however fast it moves', async (t) => {
  const { path, store } = await openStore(t)
  const ref = refOf('quay.io/team/app:v1')
  const digests = Array.from({ length: 5 }, (_, seed) => digestOf(content(10, seed)))
  await store.putRef({ ...ref, digest: digests[0] ?? ref.digest })
  let writing = true
  const writes = (async () => {
    for (let round = 0; round < 100; round++) await store.putRef({ ...ref, digest: digests[round % 5] ?? ref.digest, pulledMs: round })
    writing = false
  })()
  const read = async () => {
    for (let reads = 0; writing || reads < 10; reads++) {
      const found = await store.getRef(ref.reference)
      assert.ok(found !== undefined && digests.includes(found.digest))
      assert.equal((await listed(store.listRefs())).length, 1)
    }
  }
  await Promise.all([writes, read(), read(), read()])
  assert.deepEqual(await readdir(join(path, 'quarantine')), [])
  assert.equal((await readdir(join(path, 'refs'))).length, 1)
})

test('A process that is killed while it writes leaves whole files only', async (t) => {
  const path = await temporaryDirectory(t)
  const script = fileURLToPath(new URL('support/write-until-killed.ts', import.meta.url))
  const child = spawn(process.execPath, ['--import', 'tsx', script, path], { stdio: ['ignore', 'pipe', 'inherit'] })
  await once(child.stdout, 'data')
  child.kill('SIGKILL')
  await once(child, 'exit')

  const log = new MemoryLog()
  const store = await DirectoryStore.open(path, log)
  const records = await listed(store.listRecords())
  for (const record of records) assert.deepEqual(await store.getRecord(record.digest), recordOf(record.imageUrl))
  const refs = await listed(store.listRefs())
  const blobs = await listedBlobs(store)
  for (const digest of blobs) assert.equal(digestOf(await blobBytes(store, digest)), digest)
  for (const count of [records.length, refs.length, blobs.length]) assert.ok(count >= 4, `only ${count} were written`)
  assert.deepEqual(log.lines, [])
})

test('What a crashed write left behind does not count', async (t) => {
  const { path, store } = await openStore(t)
  await store.putRecord(recordOf('quay.io/team/app:v1'))
  await store.putRef(refOf('quay.io/team/app:v1'))
  for (const directory of ['img', 'fat', 'refs', 'blobs'])
    await writeFile(join(path, directory, `${TEMPORARY_PREFIX}0123456789abcdef`), '{"type":')
  const log = new MemoryLog()
  const again = await DirectoryStore.open(path, log)
  assert.deepEqual(await listedRecords(again), [recordOf('quay.io/team/app:v1')])
  assert.deepEqual(await listed(again.listRefs()), [refOf('quay.io/team/app:v1')])
  assert.deepEqual(await listedBlobs(again), [])
  assert.deepEqual(log.lines, [])
})

test('No write leaves a temporary file or an open file behind', async (t) => {
  const { path, store } = await openStore(t)
  for (let round = 0; round < 3; round++) {
    const bytes = content(100, round)
    await store.commitBlob(digestOf(bytes), await spoolFile(path, bytes))
    await blobBytes(store, digestOf(bytes))
    await store.putRecord(recordOf(`quay.io/team/app:${round}`))
    await store.putRef(refOf(`quay.io/team/app:${round}`))
    await store.openBlob(digestOf(content(1, 99)))
    await mkdir(join(path, 'blobs', `${round}`.repeat(64)))
    assert.equal(await store.openBlob(parseDigest(`sha256:${`${round}`.repeat(64)}`)), undefined)
  }
  const files = (await readdir(path, { recursive: true })).map((file) => basename(file))
  assert.deepEqual(
    files.filter((name) => name.startsWith('.')),
    [],
  )
  for (let patience = 1000; patience > 0 && (await openFilesBelow(path)).length > 0; patience--) await turns(1) // closing takes a moment
  assert.deepEqual(await openFilesBelow(path), [])
})

async function openFilesBelow(path: string): Promise<string[]> {
  const links = await Promise.all((await readdir('/proc/self/fd')).map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => '')))
  return links.filter((link) => link.startsWith(path))
}

test('A reference is stored though somebody removes the directory of references while it is written', async (t) => {
  const calls = ['open', 'writev', 'fsync', 'rename', 'open'] // of the file; then of the directory, to sync it
  for (const at of calls.keys()) {
    const path = await temporaryDirectory(t)
    const disk = new FaultyDisk()
    const store = await DirectoryStore.open(path, new MemoryLog(), disk.files)
    const begun: string[] = []
    disk.before = (call) => (begun.push(call) === at + 1 ? rm(join(path, 'refs'), { recursive: true }) : undefined)
    await store.putRef(refOf('quay.io/team/app:v1'))
    assert.deepEqual(begun.slice(0, at + 1), calls.slice(0, at + 1))
    assert.deepEqual(await store.getRef('quay.io/team/app:v1'), refOf('quay.io/team/app:v1'), `removed before call ${at}`)
  }
})
