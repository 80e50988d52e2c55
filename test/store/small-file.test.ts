/** Small files are read whole, in whatever pieces they come; and one that ends as a JSON object does is not asked for more. */
import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { type FileSystem, systemFiles } from '../../src/store/file-system.ts'
import { readSmallTextSync } from '../../src/store/small-file.ts'
import { temporaryDirectory } from '../support/files.ts'

const BUFFER_BYTES = 16

/** A disk that gives at most so much at a time, and how often it was asked. */
function inPieces(most: number): FileSystem & { reads: number } {
  return Object.assign(Object.create(systemFiles) as FileSystem, {
    reads: 0,
    readSync(this: { reads: number }, fd: number, buffer: Uint8Array, length: number, position: number) {
      this.reads++
      return systemFiles.readSync(fd, buffer, Math.min(length, most), position)
    },
  })
}

const cases: [what: string, content: string, most: number, reads: number][] = [
  ['an object', '{"a":1}', 100, 1],
  ['an object with a line end', '{"a":1}\n', 100, 2],
  ['a part of an object', '{"a":', 100, 2],
  ['an object in pieces', '{"a":1}', 3, 4],
  ['nothing', '', 100, 2],
  ['as much as there is room for', '{"abcdefghi":12}', 100, 2],
  ['more than there is room for', `{"a":"${'x'.repeat(100)}"}`, 1000, 2],
]
for (const [what, content, most, reads] of cases) {
  test(`A file that holds ${what} is read whole`, async (t) => {
    const path = join(await temporaryDirectory(t), 'file')
    await writeFile(path, content)
    const files = inPieces(most)
    assert.equal(readSmallTextSync(path, Buffer.alloc(BUFFER_BYTES, '}'), files), content)
    assert.equal(files.reads, reads)
  })
}

test('A directory is no small file', async (t) => {
  const path = join(await temporaryDirectory(t), 'directory')
  await mkdir(path)
  assert.equal(readSmallTextSync(path, Buffer.alloc(BUFFER_BYTES)), undefined)
})
