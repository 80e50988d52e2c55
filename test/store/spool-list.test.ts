import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { digestFileName, digestOf } from '../../src/oci/digest.ts'
import { parseRegistry, parseRepository } from '../../src/oci/name.ts'
import { listSpool } from '../../src/store/spool-list.ts'
import { encodeSpoolNote, MAX_NOTE_BYTES, noteName } from '../../src/store/spool-note.ts'
import { temporaryDirectory } from '../support/files.ts'

const DIGEST = digestOf(Buffer.from('x'))
const NAME = digestFileName(DIGEST)
const SOURCES = [{ registry: parseRegistry('quay.io'), repository: parseRepository('team/app') }]
const NOTE = encodeSpoolNote({ digest: DIGEST, sizeBytes: 100, sources: SOURCES, boot: 'b', syncedBytes: 0 })

async function spoolOf(t: TestContext, files: Readonly<Record<string, string>>, mode = 0o644): Promise<string> {
  const path = await temporaryDirectory(t)
  for (const [name, text] of Object.entries(files)) await writeFile(join(path, name), text, { mode })
  return path
}

test('A download is listed with what its note says', async (t) => {
  const path = await spoolOf(t, { [NAME]: '12345', [noteName(NAME)]: NOTE })
  assert.deepEqual(await listSpool(path), [{ digest: DIGEST, bytes: 5, sizeBytes: 100, sources: SOURCES }])
})

const notes: [what: string, note: string | undefined][] = [
  ['no note', undefined],
  ['a damaged note', NOTE.slice(0, 40)],
  [
    'the note of another',
    encodeSpoolNote({ digest: digestOf(Buffer.from('y')), sizeBytes: 7, sources: SOURCES, boot: 'b', syncedBytes: 0 }),
  ],
  ['something huge for a note', 'x'.repeat(MAX_NOTE_BYTES + 1)],
]
for (const [what, note] of notes) {
  test(`A download with ${what} is listed by its digest and length`, async (t) => {
    const path = await spoolOf(t, { [NAME]: '12345', ...(note !== undefined && { [noteName(NAME)]: note }) })
    assert.deepEqual(await listSpool(path), [{ digest: DIGEST, bytes: 5, sizeBytes: undefined, sources: [] }])
  })
}

test('A file that was about to become a blob is whole', async (t) => {
  const path = await spoolOf(t, { [NAME]: '12345' }, 0o444)
  assert.deepEqual(await listSpool(path), [{ digest: DIGEST, bytes: 5, sizeBytes: 5, sources: [] }])
})

test('Foreign files, directories and notes without a file are not listed', async (t) => {
  const path = await spoolOf(t, { 'quay.io-team-app-v1.tar': 'old', [noteName(NAME)]: NOTE })
  await mkdir(join(path, digestFileName(digestOf(Buffer.from('y')))))
  assert.deepEqual(await listSpool(path), [])
})

test('Nothing is listed where there is no spool', async (t) => {
  assert.deepEqual(await listSpool(join(await temporaryDirectory(t), 'pulls')), [])
})
