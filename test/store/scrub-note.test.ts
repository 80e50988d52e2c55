import assert from 'node:assert/strict'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { decodeScrubNote, encodeScrubNote, type ScrubNote, scrubNote } from '../../src/store/scrub-note.ts'
import { temporaryDirectory } from '../support/files.ts'
import { MemoryLog } from '../support/log.ts'

const A64 = 'a'.repeat(64)
const BEGAN = Date.UTC(2026, 0, 1)
const notes: [what: string, note: ScrubNote][] = [
  ['has begun', { beganMs: BEGAN, at: '' }],
  ['is among the blobs', { beganMs: BEGAN, at: `blobs/${A64}` }],
  ['is among digests of the longer kind', { beganMs: BEGAN, at: `img/sha512-${A64}${A64}` }],
  ['is finished', { beganMs: BEGAN, at: undefined }],
]
for (const [what, note] of notes) {
  test(`A note says that the scrub ${what}`, () => assert.deepEqual(decodeScrubNote(encodeScrubNote(note)), note))
}

const hostile = ['', '{}', '[]', 'null', '"x"', '{"began":5,"at":null}', `{"began":"yesterday","at":null}`]
const paths = ['"../../etc/passwd"', '"blobs"', '"blobs/x"', '7', '{}', `"blobs/${A64}/../x"`, `"/blobs/${A64}"`]
for (const text of [...hostile, ...paths.map((at) => `{"began":"2026-01-01T00:00:00.000Z","at":${at}}`)]) {
  test(`The scrub begins again where its note is ${text || 'empty'}`, async (t) => {
    const path = await temporaryDirectory(t)
    const log = new MemoryLog()
    await writeFile(join(path, 'scrub.json'), text)
    assert.equal(await scrubNote(path, log).read(), undefined)
    assert.deepEqual(
      log.lines.map(({ level, fields }) => [level, fields.file]),
      [['warn', join(path, 'scrub.json')]],
    )
  })
}

test('A note that was never written is no trouble', async (t) => {
  const log = new MemoryLog()
  assert.equal(await scrubNote(await temporaryDirectory(t), log).read(), undefined)
  assert.deepEqual(log.lines, [])
})

test('A note is what was written last, and leaves nothing beside it', async (t) => {
  const path = await temporaryDirectory(t)
  const written = scrubNote(path, new MemoryLog())
  for (const [, note] of notes) await written.write(note)
  assert.deepEqual(await scrubNote(path, new MemoryLog()).read(), notes.at(-1)?.[1])
  assert.deepEqual(await readdir(path), ['scrub.json'])
})

test('What a crash left of a note goes, and nothing else', async (t) => {
  const path = await temporaryDirectory(t)
  const others = ['.stfolder', '.tmp-mine', `${A64}.tmp`]
  for (const name of [...others, '.tmp-0b8d0b6c-2f0f-4c5c-9a4e-3a2f1c0d9e8f']) await writeFile(join(path, name), name)
  await scrubNote(path, new MemoryLog()).removeLeftovers()
  assert.deepEqual((await readdir(path)).sort(), others.sort())
  assert.equal(await readFile(join(path, '.stfolder'), 'utf8'), '.stfolder')
})
