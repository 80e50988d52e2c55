import assert from 'node:assert/strict'
import { chmod, readdir, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { DirectoryStore } from '../../src/store/directory-store.ts'
import { temporaryDirectory } from '../support/files.ts'
import { MemoryLog } from '../support/log.ts'
import { openUnprivileged } from './support/privileges.ts'

test('A store that does not exist yet is made, with all its directories', async (t) => {
  const path = join(await temporaryDirectory(t), 'a', 'b', 'images')
  await DirectoryStore.open(path, new MemoryLog())
  assert.deepEqual((await readdir(path)).sort(), ['blobs', 'fat', 'img', 'pulls', 'quarantine', 'refs'])
})

/** One line that names the directory, the reason and what to do. */
function assertSays(message: string, named: string, reason: RegExp): void {
  assert.ok(message.includes(`cannot use ${named} `), message)
  assert.match(message, reason)
  assert.match(message, /--image-path/)
  assert.ok(!message.includes('\n'), message)
}

async function assertCannotOpen(path: string, named: string, reason: RegExp): Promise<void> {
  await assert.rejects(DirectoryStore.open(path, new MemoryLog()), (error: Error) => {
    assertSays(error.message, named, reason)
    return true
  })
}

test('A store in the place of a file is refused in one line', async (t) => {
  const path = join(await temporaryDirectory(t), 'images')
  await writeFile(path, '')
  await assertCannotOpen(path, path, /is not a directory/)
})

test('A store below a file is refused in one line', async (t) => {
  const path = join(await temporaryDirectory(t), 'file', 'images')
  await writeFile(join(path, '..'), '')
  await assertCannotOpen(path, path, /not a directory/)
})

test('A store behind a link that leads nowhere is refused in one line', async (t) => {
  const path = join(await temporaryDirectory(t), 'images')
  await symlink('/nowhere/at/all', path)
  await assertCannotOpen(path, path, /./)
})

test('A store on a file system that takes no directories is refused in one line', async () => {
  await assertCannotOpen('/proc/images', '/proc/images', /./)
})

test('A store that several make at once is made for all of them', async (t) => {
  const parent = await temporaryDirectory(t)
  for (let round = 0; round < 10; round++) {
    const path = join(parent, `${round}`, 'a', 'images')
    await Promise.all(Array.from({ length: 5 }, () => DirectoryStore.open(path, new MemoryLog())))
  }
})

for (const name of ['blobs', 'img', 'fat', 'refs', 'pulls', 'quarantine']) {
  test(`A store whose ${name} is a file is refused in one line`, async (t) => {
    const path = await temporaryDirectory(t)
    await writeFile(join(path, name), '')
    await assertCannotOpen(path, join(path, name), /is not a directory/)
    assert.ok((await stat(join(path, name))).isFile())
  })
}

/** A store that everybody may read, and write where `writable` says so; '' is the store itself. */
async function withModes(t: TestContext, writable: (name: string) => boolean, check: (path: string) => void): Promise<void> {
  const path = join(await temporaryDirectory(t), 'images')
  await DirectoryStore.open(path, new MemoryLog())
  await chmod(join(path, '..'), 0o755)
  const names = ['', ...(await readdir(path))]
  for (const name of names) await chmod(join(path, name), writable(name) ? 0o777 : 0o555)
  try {
    check(path)
  } finally {
    for (const name of names) await chmod(join(path, name), 0o755)
  }
}

const nothing = () => false
const NO_PERMISSION = /user \d+ has no permission/

test('A store that may not be made is refused in one line that names the user', (t) =>
  withModes(t, nothing, (path) => assertSays(openUnprivileged(join(path, 'images')), join(path, 'images'), NO_PERMISSION)))

test('A store that may be read but not written is refused in one line that names the user', (t) =>
  withModes(t, nothing, (path) => assertSays(openUnprivileged(path), path, NO_PERMISSION)))

test('A store with one directory that may not be written is refused in one line that names it', (t) =>
  withModes(
    t,
    (name) => name !== 'refs',
    (path) => assertSays(openUnprivileged(path), join(path, 'refs'), NO_PERMISSION),
  ))

test('A store that everybody may write is opened by anybody', (t) =>
  withModes(
    t,
    () => true,
    (path) => assert.equal(openUnprivileged(path), 'ok'),
  ))
