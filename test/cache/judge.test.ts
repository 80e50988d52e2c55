import assert from 'node:assert/strict'
import { test } from 'node:test'
import { judgeImage, judgeRecord, judgeReference, lostBlobs } from '../../src/cache/judge.ts'
import { type Digest, digestFromHash, digestOf } from '../../src/oci/digest.ts'
import { OCI_MANIFEST } from '../../src/oci/media-type.ts'
import { encodeRecord, encodeRef, referenceFileName } from '../../src/store/record.ts'
import { source } from './support.ts'

const BYTES = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: OCI_MANIFEST, layers: [] }))
const DIGEST = digestOf(BYTES)
const HEX = DIGEST.slice('sha256:'.length)
const RECORD = encodeRecord({
  digest: DIGEST,
  mediaType: OCI_MANIFEST,
  bytes: BYTES,
  imageUrl: 'quay.io/some/app:1',
  ...source(),
  createdMs: 0,
  pulledMs: 0,
})
const REFERENCE = encodeRef({ reference: 'quay.io/some/app:1', digest: DIGEST, createdMs: 0, pulledMs: 0, checkedMs: 0 })
const REFERENCE_NAME = digestFromHash('sha256', referenceFileName('quay.io/some/app:1'))
const ANOTHER = digestOf(Buffer.from('another'))

function changed(change: (record: Record<string, unknown>) => void): string {
  const record = JSON.parse(RECORD)
  change(record)
  return JSON.stringify(record)
}

const damaged: [what: string, text: string, why: RegExp][] = [
  ['An empty file', '', /JSON/],
  ['Half a record', RECORD.slice(0, 200), /JSON/],
  ['A list', '[]', /not a JSON object/],
  ['A record without bytes', changed((record) => delete record.bytes), /'bytes' is missing/],
  ['A record without a reference', changed((record) => delete record.imageUrl), /'imageUrl' is missing/],
  [
    'A record whose bytes have a flipped bit',
    changed((record) => {
      record.bytes = Buffer.from(BYTES.map((byte, i) => (i === 5 ? byte ^ 1 : byte))).toString('base64')
    }),
    /its bytes hash to sha256:/,
  ],
  ['A record that says another digest', changed((record) => (record.digest = ANOTHER.slice(7))), /it says that its digest is/],
]
for (const [what, text, why] of damaged) {
  test(`${what} is wrong, and it is said why`, () => {
    const judged = judgeRecord(DIGEST, text)
    assert.equal(judged.verdict, 'wrong')
    assert.match(judged.verdict === 'wrong' ? judged.why : '', why)
  })
}

test('A record under the name of another digest is wrong', () => {
  assert.equal(judgeRecord(ANOTHER, RECORD).verdict, 'wrong')
})

for (const [what, text] of [
  ['as this program writes it', RECORD],
  ['with the digest and its algorithm', changed((record) => (record.digest = DIGEST))],
  ['without a digest, as it may have been patched', changed((record) => delete record.digest)],
] as const) {
  test(`A record is right ${what}`, () => {
    const judged = judgeRecord(DIGEST, text)
    assert.deepEqual(judged.verdict === 'right' && [judged.record.digest, judged.manifest?.kind, judged.unused], [
      DIGEST,
      'image',
      undefined,
    ])
  })
}

test('A record of something that could not be served is right, and unused', () => {
  const bytes = Buffer.from('{"schemaVersion":1}')
  const text = JSON.stringify({ ...JSON.parse(RECORD), type: 4, digest: '', mediaType: '', bytes: bytes.toString('base64') })
  const judged = judgeRecord(digestOf(bytes), text)
  assert.deepEqual(judged.verdict === 'right' && [judged.manifest, typeof judged.unused], [undefined, 'string'])
})

test('A wrong record that can still be read keeps what it says of itself', () => {
  const judged = judgeRecord(ANOTHER, RECORD)
  assert.deepEqual(judged.verdict === 'wrong' && judged.claims?.imageUrl, 'quay.io/some/app:1')
})

const references: [what: string, name: Digest, text: string, verdict: 'right' | 'wrong'][] = [
  ['A reference under its own name', REFERENCE_NAME, REFERENCE, 'right'],
  ['A reference under the name of another one', ANOTHER, REFERENCE, 'wrong'],
  ['A reference without a digest', REFERENCE_NAME, REFERENCE.replace(HEX, ''), 'wrong'],
  ['A reference that is no JSON', REFERENCE_NAME, REFERENCE.slice(1), 'wrong'],
]
for (const [what, name, text, verdict] of references) {
  test(`${what} is ${verdict}`, () => assert.equal(judgeReference(name, text).verdict, verdict))
}

const [CONFIG, LAYER, TOP] = ['config', 'layer', 'top'].map((name) => ({
  digest: digestOf(Buffer.from(name)),
  sizeBytes: name.length,
})) as [{ digest: Digest; sizeBytes: number }, { digest: Digest; sizeBytes: number }, { digest: Digest; sizeBytes: number }]
const IMAGE = [CONFIG, LAYER, TOP]

test('An image lacks what is missing, and what is of another size than it says', () => {
  const sizes = new Map([
    [CONFIG.digest, CONFIG.sizeBytes],
    [LAYER.digest, 1000],
  ])
  assert.deepEqual(
    judgeImage(IMAGE, (digest) => sizes.get(digest)),
    { missing: [TOP], ofAnotherSize: [LAYER] },
  )
})

type Facts = { stored: Digest[]; quarantined?: Digest[]; wasWhole?: boolean; completes?: boolean }
const lost: [sentence: string, facts: Facts, lost: readonly { digest: Digest }[]][] = [
  ['An image that has everything has lost nothing', { stored: IMAGE.map(({ digest }) => digest) }, []],
  ['An image that was only looked at has lost nothing', { stored: [] }, []],
  ['An image that shares layers with others, and was only looked at, has lost nothing', { stored: [LAYER.digest] }, []],
  ['An image whose configuration is there was pulled, and has lost the rest', { stored: [CONFIG.digest, TOP.digest] }, [LAYER]],
  ['That is not so where images are not to be completed', { stored: [CONFIG.digest], completes: false }, []],
  ['An image that was whole has lost what is missing', { stored: [], wasWhole: true, completes: false }, IMAGE],
  ['What was found damaged is lost, whatever else is', { stored: [], quarantined: [TOP.digest], completes: false }, [TOP]],
  ['What was found damaged and is back is not lost', { stored: [TOP.digest], quarantined: [TOP.digest] }, []],
]
for (const [sentence, { stored, quarantined = [], wasWhole = false, completes = true }, want] of lost) {
  test(sentence, () => {
    const facts = {
      isStored: (d: Digest) => stored.includes(d),
      isQuarantined: (d: Digest) => quarantined.includes(d),
      wasWhole,
      completes,
    }
    assert.deepEqual(lostBlobs(IMAGE, facts), want)
  })
}
