/** The question whether a disk takes a write, asked of a real one. */
import assert from 'node:assert/strict'
import { readdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { diskOf } from '../../src/store/disk.ts'
import { systemFiles } from '../../src/store/file-system.ts'
import { temporaryDirectory } from '../support/files.ts'

test('Whether the disk takes a write is tried beside everything else, and leaves nothing', async (t) => {
  const path = await temporaryDirectory(t)
  await diskOf(path, systemFiles).tryToWrite()
  assert.deepEqual(await readdir(path), [])
})

test('What lies in the place of the file that is written for a trial goes, and a link there is not followed', async (t) => {
  const path = await temporaryDirectory(t)
  const precious = join(path, 'precious')
  await writeFile(precious, 'precious')
  for (const put of [(file: string) => symlink('precious', file), (file: string) => writeFile(file, 'half a trial')]) {
    await put(join(path, '.tmp-probe'))
    await diskOf(path, systemFiles).tryToWrite()
    assert.equal(await readFile(precious, 'utf8'), 'precious')
    assert.deepEqual(await readdir(path), ['precious'])
  }
})
