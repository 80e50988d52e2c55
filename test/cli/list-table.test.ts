import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ManifestEntry } from '../../src/cache/catalog.ts'
import type { InventoryRow } from '../../src/cache/inventory.ts'
import {
  imageTable as imagePieces,
  pullDocument,
  pullTable as pullPieces,
  pullTotalsLine,
  referenceLines,
  type TableStyle,
  totalsLines,
} from '../../src/cli/list-table.ts'
import { type Digest, digestOf } from '../../src/oci/digest.ts'
import { parseRegistry, parseRepository } from '../../src/oci/name.ts'
import { parseReference } from '../../src/oci/reference.ts'

const imageTable = (...args: Parameters<typeof imagePieces>) => [...imagePieces(...args)].join('')
const pullTable = (...args: Parameters<typeof pullPieces>) => [...pullPieces(...args)].join('')

const DIGEST = digestOf(Buffer.from('x'))
const HEX = DIGEST.slice(7)
const SHA512 = digestOf(Buffer.from('x'), 'sha512')
const PLAIN: TableStyle = { header: false, shortDigest: false, aligned: false }
const CREATED = new Date(2026, 10, 2, 8, 5, 9).getTime()
const PULLED = new Date(2026, 10, 30, 18, 5, 0).getTime()

type More = Partial<InventoryRow['holding']> & { readonly pulledMs?: number | undefined; readonly blobs?: ManifestEntry['blobs'] }

function row(reference = 'docker.io/library/alpine:3', more: More = {}): InventoryRow {
  const { digest = DIGEST } = parseReference(reference)
  const { pulledMs = PULLED, blobs = [], ...holding } = more
  const manifest = { digest, blobs } as unknown as ManifestEntry
  return {
    ...{ reference, isNamed: true, manifest, createdMs: CREATED },
    pulledMs: 'pulledMs' in more ? more.pulledMs : pulledMs,
    holding: { type: 'image', sizeBytes: 3_449_999, complete: true, platforms: ['linux/amd64'], images: [], ...holding },
  }
}

const lines: [sentence: string, row: InventoryRow, style: Partial<TableStyle>, line: string][] = [
  ['An image by its tag', row(), {}, 'docker.io/library/alpine 3 image 2026-11-02T08:05:09 2026-11-30T18:05:00 3.4 linux/amd64'],
  [
    'An image by its digest, which goes without sha256',
    row(`quay.io/team/app@${DIGEST}`),
    {},
    `quay.io/team/app ${HEX} image 2026-11-02T08:05:09 2026-11-30T18:05:00 3.4 linux/amd64`,
  ],
  [
    'A digest of ten digits',
    row(`quay.io/team/app@${DIGEST}`),
    { shortDigest: true },
    `quay.io/team/app ${HEX.slice(0, 10)} image 2026-11-02T08:05:09 2026-11-30T18:05:00 3.4 linux/amd64`,
  ],
  [
    'A sha512 digest keeps its name',
    row(`quay.io/team/app@${SHA512}`),
    {},
    `quay.io/team/app ${SHA512} image 2026-11-02T08:05:09 2026-11-30T18:05:00 3.4 linux/amd64`,
  ],
  [
    'A sha512 digest of ten digits',
    row(`quay.io/team/app@${SHA512}`),
    { shortDigest: true },
    `quay.io/team/app ${SHA512.slice(0, 17)} image 2026-11-02T08:05:09 2026-11-30T18:05:00 3.4 linux/amd64`,
  ],
  [
    'A registry with a port',
    row('registry.example:5000/app:v1'),
    {},
    'registry.example:5000/app v1 image 2026-11-02T08:05:09 2026-11-30T18:05:00 3.4 linux/amd64',
  ],
  [
    'A list, which has no size of its own',
    row(undefined, { type: 'list', platforms: ['linux/amd64', 'linux/arm/v7'] }),
    {},
    'docker.io/library/alpine 3 list 2026-11-02T08:05:09 2026-11-30T18:05:00 n/a linux/amd64,linux/arm/v7',
  ],
  [
    'What nobody has pulled, and for which platform is not known',
    row(undefined, { pulledMs: undefined, platforms: [], sizeBytes: 0 }),
    {},
    'docker.io/library/alpine 3 image 2026-11-02T08:05:09 - 0.0 -',
  ],
  [
    'An image that is not complete has one word more',
    row(undefined, { complete: false }),
    {},
    'docker.io/library/alpine 3 image 2026-11-02T08:05:09 2026-11-30T18:05:00 3.4 linux/amd64 incomplete',
  ],
  [
    'A list of which nothing is complete',
    row(undefined, { type: 'list', platforms: [], complete: false }),
    {},
    'docker.io/library/alpine 3 list 2026-11-02T08:05:09 2026-11-30T18:05:00 n/a - incomplete',
  ],
  [
    'A platform that would look like several columns, or steer a terminal',
    row(undefined, { platforms: ['linux/a b,c', 'x/\u001b[2J'] }),
    {},
    'docker.io/library/alpine 3 image 2026-11-02T08:05:09 2026-11-30T18:05:00 3.4 linux/a_b_c,x/\\u001b[2J',
  ],
]
for (const [sentence, one, style, line] of lines) test(sentence, () => assert.equal(imageTable([one], { ...PLAIN, ...style }), `${line}\n`))

test('A header names the columns', () => {
  assert.match(imageTable([row()], { ...PLAIN, header: true }), /^IMAGE TAG\/DIGEST TYPE CREATED PULLED SIZE\(MB\) PLATFORMS\ndocker\.io\//)
})

test('For people, columns stand one below the other', () => {
  const rows = [row('a.io/b:1'), row('a.io/longer/name:latest', { platforms: [], complete: false })]
  assert.equal(
    imageTable(rows, { header: true, shortDigest: false, aligned: true }),
    [
      'IMAGE             TAG/DIGEST  TYPE   CREATED              PULLED               SIZE(MB)  PLATFORMS',
      'a.io/b            1           image  2026-11-02T08:05:09  2026-11-30T18:05:00  3.4       linux/amd64',
      'a.io/longer/name  latest      image  2026-11-02T08:05:09  2026-11-30T18:05:00  3.4       -            incomplete',
      '',
    ].join('\n'),
  )
})

test('Of nothing there is no table, not even a header', () => {
  for (const aligned of [true, false]) assert.equal(imageTable([], { header: true, shortDigest: false, aligned }), '')
  assert.equal(pullTable([], { ...PLAIN, header: true }), '')
})

test('The blobs of an image stand below it', () => {
  const [stored, missing, foreign] = ['stored', 'missing', 'foreign'].map((text) => digestOf(Buffer.from(text))) as [Digest, Digest, Digest]
  const blobs = [stored, missing, foreign].map((digest, i) => ({ digest, sizeBytes: i, foreign: digest === foreign }))
  const world = { catalog: undefined as never, hasBlob: (digest: Digest) => digest === stored }
  const rows = [row('a.io/b:1', { blobs }), row('a.io/b:2')]
  assert.deepEqual(
    imageTable(rows, { ...PLAIN, header: true }, world)
      .split('\n')
      .slice(2, 5),
    [`- ${stored} 0 stored`, `- ${missing} 1 missing`, `- ${foreign} 2 foreign`],
  )
  assert.match(imageTable(rows, { ...PLAIN, shortDigest: true }, world), /\n- sha256:[0-9a-f]{10} 0 stored\n/)
})

test('References are printed one a line', () => {
  assert.equal(
    referenceLines([row('a.io/b:1'), row(`a.io/b@${DIGEST}`), row(`a.io/b@${SHA512}`)]),
    `a.io/b:1\na.io/b@${DIGEST}\na.io/b@${SHA512}\n`,
  )
})

const LACKING = 'a pull or load brings what is missing, and --blobs shows it\n'
const totals: [
  numbers: [references: number, manifests: number, blobs: number, bytes: number, incomplete: number, lostReferences: number],
  line: string,
  more: string,
][] = [
  [[0, 0, 0, 0, 0, 0], '0 references, 0 manifests, 0 blobs of 0 bytes', ''],
  [
    [1, 1, 1, 100, 1, 1],
    '1 reference, 1 manifest, 1 blob of 100 bytes',
    `1 image is incomplete: ${LACKING}1 reference points at a manifest that is not there: see ociregistry verify\n`,
  ],
  [
    [1, 1, 1, 200, 0, 3],
    '1 reference, 1 manifest, 1 blob of 200 bytes',
    '3 references point at manifests that are not there: see ociregistry verify\n',
  ],
  [[2, 3, 4, 5 * 1024 ** 3, 2, 0], '2 references, 3 manifests, 4 blobs of 5.0 GiB', `2 images are incomplete: ${LACKING}`],
]
for (const [[references, manifests, blobs, bytes, incomplete, lostReferences], line, more] of totals) {
  test(`Totals: ${line}`, () =>
    assert.equal(
      totalsLines({ references, manifests, blobs, bytes, incomplete, lostReferences }),
      `${line}; layers that images share are counted once\n${more}`,
    ))
}

const source = (repository: string) => ({ registry: parseRegistry('quay.io'), repository: parseRepository(repository) })
const pulls = [
  { digest: DIGEST, bytes: 1024, sizeBytes: 4096, sources: [source('team/app'), source('team/tool')] },
  { digest: SHA512, bytes: 0, sizeBytes: undefined, sources: [] },
]

test('Downloads are printed with how far they are, and where they come from', () => {
  assert.equal(
    pullTable(pulls, { ...PLAIN, header: true }),
    `DIGEST BYTES SIZE SOURCES\n${HEX} 1024 4096 quay.io/team/app,quay.io/team/tool\n${SHA512} 0 - -\n`,
  )
  assert.equal(pullTotalsLine(pulls), '2 unfinished downloads, 1.0 KiB so far\n')
})

test('Downloads as a document', () => {
  assert.deepEqual(JSON.parse(pullDocument('/srv', pulls)), {
    store: '/srv',
    pulls: [
      { digest: DIGEST, bytes: 1024, size: 4096, sources: [source('team/app'), source('team/tool')] },
      { digest: SHA512, bytes: 0, size: null, sources: [] },
    ],
    totals: { downloads: 2, bytes: 1024 },
  })
})

test('A long table is printed in pieces that are no longer than they have to be', () => {
  const rows = Array.from({ length: 1201 }, (_, i) => row(`a.io/b:${i}`))
  const pieces = [...imagePieces(rows, { ...PLAIN, header: true })]
  assert.deepEqual(
    pieces.map((piece) => piece.split('\n').length - 1),
    [1, 500, 500, 201],
  )
})
