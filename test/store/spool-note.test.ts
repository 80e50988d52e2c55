import assert from 'node:assert/strict'
import { test } from 'node:test'
import { digestOf } from '../../src/oci/digest.ts'
import { parseRegistry, parseRepository } from '../../src/oci/name.ts'
import { encodeSpoolNote, type FullSpoolNote, MAX_NOTE_BYTES, parseSpoolNote } from '../../src/store/spool-note.ts'
import { Random } from '../support/property.ts'

const DOCKER = { registry: parseRegistry('docker.io'), repository: parseRepository('library/alpine') }
const NOTE: FullSpoolNote = { digest: digestOf(Buffer.from('x')), sizeBytes: 100, sources: [DOCKER], boot: 'b', syncedBytes: 64 }

test('What was noted is read back, with or without a size', () => {
  for (const sizeBytes of [0, 1, 2 ** 40, undefined])
    assert.deepEqual(parseSpoolNote(encodeSpoolNote({ ...NOTE, sizeBytes })), { ...NOTE, sizeBytes })
})

test('A note stays small however many sources a download has', () => {
  const repository = parseRepository(`a${'/b'.repeat(127)}`)
  const sources = Array.from({ length: 10_000 }, () => ({ registry: parseRegistry('registry.example:5000'), repository }))
  const text = encodeSpoolNote({ ...NOTE, sources })
  assert.ok(text.length < MAX_NOTE_BYTES, `${text.length} characters`)
  assert.equal(parseSpoolNote(text)?.sources.length, 32)
})

test('A note that was cut anywhere is none', () => {
  const text = encodeSpoolNote(NOTE)
  for (let length = 0; length < text.length; length++) assert.equal(parseSpoolNote(text.slice(0, length)), undefined, text.slice(0, length))
})

test('Whatever bytes a note has become, it is a note or none', () => {
  const text = encodeSpoolNote(NOTE)
  for (let seed = 1; seed <= 2000; seed++) {
    const random = new Random(seed)
    const bytes = Buffer.from(text)
    for (let flips = random.between(1, 5); flips > 0; flips--) bytes[random.below(bytes.length)] = random.below(256)
    parseSpoolNote(bytes.toString('utf8'))
  }
})

const good = { digest: NOTE.digest, size: 100, sources: [DOCKER], boot: 'b', synced: 64 }
const wrong: readonly (readonly [string, unknown])[] = [
  ['null', null],
  ['a number', 5],
  ['no digest', { ...good, digest: undefined }],
  ['a digest that is a path', { ...good, digest: '../../etc/passwd' }],
  ['a negative size', { ...good, size: -1 }],
  ['a size that is text', { ...good, size: '100' }],
  ['half a byte', { ...good, size: 0.5 }],
  ['more bytes than a number can count', { ...good, synced: 2 ** 60 }],
  ['no count of synced bytes', { ...good, synced: undefined }],
  ['no boot', { ...good, boot: '' }],
  ['sources that are no list', { ...good, sources: { 0: DOCKER, length: 1 } }],
  ['a source that is null', { ...good, sources: [null] }],
  ['a registry that is an address', { ...good, sources: [{ ...DOCKER, registry: 'https://docker.io/' }] }],
  ['a repository that is a path', { ...good, sources: [{ ...DOCKER, repository: '../x' }] }],
]
for (const [what, value] of wrong) test(`A note with ${what} is none`, () => assert.equal(parseSpoolNote(JSON.stringify(value)), undefined))
