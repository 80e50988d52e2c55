import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdir, rename, rm, symlink, truncate, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { FreshFile } from '../../src/async/fresh-file.ts'
import { temporaryDirectory } from '../support/files.ts'

/** A file and how often it was read. */
async function setUp(t: Parameters<typeof temporaryDirectory>[0], content = 'one') {
  const path = join(await temporaryDirectory(t), 'file')
  await writeFile(path, content)
  const seen: string[] = []
  const file = new FreshFile(path, (bytes) => {
    const text = bytes.toString()
    seen.push(text)
    if (text.startsWith('bad')) throw new Error(`cannot use '${text}'`)
    return text.toUpperCase()
  })
  return { path, file, seen }
}

test('A file that did not change is read once', async (t) => {
  const { file, seen } = await setUp(t)
  for (let i = 0; i < 3; i++) assert.equal(await file.read(), 'ONE')
  assert.deepEqual(seen, ['one'])
})

test('Those who ask at the same time share one reading', async (t) => {
  const { file, seen } = await setUp(t)
  assert.deepEqual(new Set(await Promise.all(Array.from({ length: 20 }, () => file.read()))), new Set(['ONE']))
  assert.deepEqual(seen, ['one'])
})

const changes: [what: string, change: (path: string) => Promise<void>, now: string][] = [
  ['was written over', (path) => writeFile(path, 'longer'), 'LONGER'],
  ['became shorter', (path) => truncate(path, 1), 'O'],
  ['has another time', (path) => utimes(path, new Date(0), new Date(0)), 'ONE'],
  [
    'was replaced by one of the same size and time',
    async (path) => {
      await utimes(path, new Date(0), new Date(0))
      await writeFile(`${path}.new`, 'two')
      await utimes(`${path}.new`, new Date(0), new Date(0))
      await rename(`${path}.new`, path)
    },
    'TWO',
  ],
]
for (const [what, change, now] of changes) {
  test(`A file that ${what} is read again`, async (t) => {
    const { file, path, seen } = await setUp(t)
    await file.read()
    await change(path)
    assert.equal(await file.read(), now)
    assert.equal(seen.length, 2)
  })
}

test('A secret that Kubernetes swaps behind two links is seen', async (t) => {
  const directory = await temporaryDirectory(t)
  for (const version of ['v1', 'v2']) {
    await mkdir(join(directory, version))
    await writeFile(join(directory, version, 'secret'), version)
  }
  await symlink('v1', join(directory, '..data'))
  await symlink('..data/secret', join(directory, 'secret'))
  const file = new FreshFile(join(directory, 'secret'), String)
  assert.equal(await file.read(), 'v1')
  await symlink('v2', join(directory, '..data_tmp'))
  await rename(join(directory, '..data_tmp'), join(directory, '..data'))
  assert.equal(await file.read(), 'v2')
})

test('A file that cannot be used is parsed once, and again when it changed', async (t) => {
  const { file, path, seen } = await setUp(t, 'bad')
  for (let i = 0; i < 3; i++) await assert.rejects(file.read(), { message: "cannot use 'bad'" })
  assert.deepEqual(seen, ['bad'])
  await writeFile(path, 'better')
  assert.equal(await file.read(), 'BETTER')
})

test('A file that is gone fails with the error of the system, and is read once it is there again', async (t) => {
  const { file, path } = await setUp(t)
  await file.read()
  await rm(path)
  await assert.rejects(file.read(), { code: 'ENOENT' })
  await writeFile(path, 'back')
  assert.equal(await file.read(), 'BACK')
})

test('A directory, a pipe or a huge file is refused, not waited for', async (t) => {
  const directory = await temporaryDirectory(t)
  await assert.rejects(new FreshFile(directory, String).read(), { message: `${directory} is no regular file` })
  const pipe = join(directory, 'pipe')
  await promisify(execFile)('mkfifo', [pipe])
  await assert.rejects(new FreshFile(pipe, String).read(), { message: `${pipe} is no regular file` })
  const huge = join(directory, 'huge')
  await writeFile(huge, '')
  await truncate(huge, 8 * 1024 * 1024 + 1)
  await assert.rejects(new FreshFile(huge, String).read(), { message: `${huge} is larger than 8388608 bytes` })
})
