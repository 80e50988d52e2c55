import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import {
  digestAlgorithm,
  digestFileName,
  digestFromHash,
  digestHex,
  digestOf,
  digestOfFileName,
  isDigest,
  parseDigest,
  shortDigest,
} from '../../src/oci/digest.ts'

const A64 = 'a'.repeat(64)
const B128 = 'b'.repeat(128)
const digits64 = '0123456789abcdef'.repeat(4)

for (const text of [`sha256:${A64}`, `sha256:${digits64}`, `sha512:${B128}`]) {
  test(`${text.slice(0, 20)}… of ${text.length} characters is a digest`, () => {
    assert.equal(parseDigest(text), text)
    assert.equal(isDigest(text), true)
  })
}

const refused: [string, string][] = [
  ['nothing', ''],
  ['an algorithm alone', 'sha256:'],
  ['bare hex', A64],
  ['what the conformance suite asks for', 'sha256:baddigeststring'],
  ['what the older conformance suite asks for', 'sha256:totallywrong'],
  ['upper-case hex', `sha256:${A64.toUpperCase()}`],
  ['one upper-case digit', `sha256:${'a'.repeat(63)}A`],
  ['an upper-case algorithm', `SHA256:${A64}`],
  ['63 digits', `sha256:${'a'.repeat(63)}`],
  ['65 digits', `sha256:${'a'.repeat(65)}`],
  ['a digit that is not hexadecimal', `sha256:${'a'.repeat(63)}g`],
  ['a full-width digit', `sha256:${'a'.repeat(63)}０`],
  ['sha512 with the length of sha256', `sha512:${A64}`],
  ['sha256 with the length of sha512', `sha256:${B128}`],
  ['127 digits of sha512', `sha512:${'b'.repeat(127)}`],
  ['another algorithm', `sha384:${'c'.repeat(96)}`],
  ['a broken algorithm', `md5:${'d'.repeat(32)}`],
  ['a blank before', ` sha256:${A64}`],
  ['a blank after', `sha256:${A64} `],
  ['a line break after', `sha256:${A64}\n`],
  ['a line before', `x\nsha256:${A64}`],
  ['a dash for the colon', `sha256-${A64}`],
  ['an encoded colon', `sha256%3A${A64}`],
  ['two digests', `sha256:${A64},sha256:${A64}`],
  ['a path behind it', `sha256:${A64}/../x`],
  ['a NUL behind it', `sha256:${A64}\0`],
]
for (const [what, text] of refused) {
  test(`No digest is made of ${what}`, () => {
    assert.equal(isDigest(text), false)
    assert.throws(() => parseDigest(text), { name: 'OciError', status: 400, code: 'DIGEST_INVALID' })
  })
}

const known: [string, string, string][] = [
  ['the empty configuration', '{}', 'sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a'],
  ['no bytes', '', 'sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'],
]
for (const [what, bytes, digest] of known) {
  test(`The digest of ${what} is the one that the specification names`, () => {
    assert.equal(digestOf(Buffer.from(bytes)), digest)
  })
}

test('A digest is computed with the algorithm that was asked for', () => {
  const hex = createHash('sha512').update('x').digest('hex')
  assert.equal(digestOf(Buffer.from('x'), 'sha512'), `sha512:${hex}`)
  assert.equal(digestFromHash('sha512', hex), parseDigest(`sha512:${hex}`))
})

test('A digest of part of a buffer covers that part only', () => {
  assert.equal(digestOf(Buffer.from('-{}-').subarray(1, 3)), digestOf(Buffer.from('{}')))
})

test('A digest has an algorithm, its digits, and a short form for people', () => {
  const [sha256, sha512] = [parseDigest(`sha256:${digits64}`), parseDigest(`sha512:${B128}`)]
  assert.deepEqual([sha256, sha512].map(digestAlgorithm), ['sha256', 'sha512'])
  assert.deepEqual([sha256, sha512].map(digestHex), [digits64, B128])
  assert.deepEqual([sha256, sha512].map(shortDigest), ['sha256:0123456789', 'sha512:bbbbbbbbbb'])
})

for (const [text, fileName] of [
  [`sha256:${A64}`, A64],
  [`sha512:${B128}`, `sha512-${B128}`],
] as const) {
  test(`Content ${text.slice(0, 10)}… lies under ${fileName.slice(0, 10)}… and is found again by that name`, () => {
    assert.equal(digestFileName(parseDigest(text)), fileName)
    assert.equal(digestOfFileName(fileName), text)
  })
}

const foreign = [
  '',
  '.',
  '..',
  '.stfolder',
  '.syncthing.tmp',
  A64.toUpperCase(),
  'a'.repeat(63),
  'a'.repeat(65),
  B128,
  `sha256-${A64}`,
  `sha512-${A64}`,
  `sha256:${A64}`,
  `${A64}.json`,
  `${A64}.sync-conflict-20240101-000000-ABCDEFG`,
  `../${A64}`,
  `${A64}\n`,
]
for (const name of foreign) {
  test(`A file named ${JSON.stringify(name.slice(0, 40))} (${name.length} characters) is foreign`, () => {
    assert.equal(digestOfFileName(name), undefined)
  })
}
