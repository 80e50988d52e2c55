import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type ContentRange, decideRange, parseContentRange, type RangeDecision, totalOfUnsatisfied } from '../../src/oci/range.ts'

type Case = [header: string | undefined, size: number, want: RangeDecision]

// The blob that the OCI conformance suite asks for
const conformance: Case[] = [
  ['bytes=500-1499', 2048, { start: 500, end: 1499 }],
  ['bytes=500-', 2048, { start: 500, end: 2047 }],
  ['bytes=-500', 2048, { start: 1548, end: 2047 }],
  ['bytes=2000-5000', 2048, { start: 2000, end: 2047 }],
  ['bytes=500-0', 2048, 'unsatisfiable'],
  ['bytes=5000-10000', 2048, 'unsatisfiable'],
]

// What clients send
const clients: Case[] = [
  ['bytes=0-', 2048, { start: 0, end: 2047 }], // containerd 2.1: the first chunk
  ['bytes=512-', 2048, { start: 512, end: 2047 }], // containerd 2.1: a later chunk
  ['bytes=0-', 0, 'whole'], // containerd 2.1: a 416 fails the pull of an empty blob
  ['bytes=100-2048', 2048, { start: 100, end: 2047 }], // regclient: one past the end
  ['bytes=0-9,20-29', 2048, 'whole'], // c/image, stargz: a single part would be the wrong bytes
  ['bytes=0-1', 2048, { start: 0, end: 1 }], // stargz: the probe
  ['bytes=0-0', 2048, { start: 0, end: 0 }],
]

const edges: Case[] = [
  [undefined, 10, 'whole'],
  ['', 10, 'whole'],
  ['bytes=0-9', 10, { start: 0, end: 9 }],
  ['bytes=0-10', 10, { start: 0, end: 9 }],
  ['bytes=9-', 10, { start: 9, end: 9 }],
  ['bytes=9-9', 10, { start: 9, end: 9 }],
  ['bytes=10-', 10, 'unsatisfiable'],
  ['bytes=10-10', 10, 'unsatisfiable'],
  ['bytes=5-4', 10, 'unsatisfiable'],
  ['bytes=-1', 10, { start: 9, end: 9 }],
  ['bytes=-10', 10, { start: 0, end: 9 }],
  ['bytes=-11', 10, { start: 0, end: 9 }],
  ['bytes=-0', 10, 'unsatisfiable'],
  ['bytes=0-0', 0, 'whole'],
  ['bytes=0-99', 0, 'whole'],
  ['bytes=-5', 0, 'whole'],
  ['bytes=-0', 0, 'unsatisfiable'],
  ['bytes=1-', 0, 'unsatisfiable'],
  ['bytes=2-1', 0, 'unsatisfiable'],
  ['bytes=0-0', 1, { start: 0, end: 0 }],
  ['bytes=007-008', 10, { start: 7, end: 8 }],
  ['BYTES=0-3', 10, { start: 0, end: 3 }],
  ['  bytes=0-3  ', 10, { start: 0, end: 3 }],
  ['bytes=0-99999999999999999999999999', 10, { start: 0, end: 9 }],
  ['bytes=-99999999999999999999999999', 10, { start: 0, end: 9 }],
  ['bytes=99999999999999999999999999-', 10, 'unsatisfiable'],
  [`bytes=${'9'.repeat(400)}-${'9'.repeat(400)}`, 10, 'unsatisfiable'],
  ['bytes=4294967296-', 5_000_000_000, { start: 4_294_967_296, end: 4_999_999_999 }],
]

// RFC 9110 14.2: an unknown unit must be ignored, an invalid range set may be
const ignored = [
  'items=0-3',
  'xbytes=0-3',
  'bytes',
  'bytes=',
  'bytes=-',
  'bytes=a-b',
  'bytes=0x0-0x3',
  'bytes=+1-3',
  'bytes=1.0-3',
  'bytes=1e1-',
  'bytes=--3',
  'bytes=0-3-5',
  'bytes=0 - 3',
  'bytes=0-3;x',
  'bytes=0-3,',
  'bytes=,0-3',
  'bytes=0-0,-1',
  'bytes=0-3, 500-0',
  'bytes=-1,-2',
  'bytes=٠-٣',
  '0-3',
].map((header): Case => [header, 10, 'whole'])

for (const [header, size, want] of [...conformance, ...clients, ...edges, ...ignored]) {
  const asked = header === undefined ? 'No Range' : `'${header.length > 60 ? `${header.slice(0, 60)}…` : header}'`
  test(`${asked} of ${size} bytes is ${typeof want === 'string' ? want : `${want.start} to ${want.end}`}`, () => {
    assert.deepEqual(decideRange(header, size), want)
  })
}

test('Every small range holds exactly the bytes that were asked for', () => {
  for (let size = 1; size <= 6; size++) {
    for (let first = 0; first <= 8; first++) {
      for (let last = first; last <= 8; last++) {
        const asked = Array.from({ length: size }, (_, i) => i).filter((i) => i >= first && i <= last)
        const want = asked.length === 0 ? 'unsatisfiable' : { start: first, end: asked.at(-1) }
        assert.deepEqual(decideRange(`bytes=${first}-${last}`, size), want, `${first}-${last} of ${size}`)
      }
    }
  }
})

const contentRanges: [string | null | undefined, ContentRange | undefined][] = [
  ['bytes 0-9/100', { start: 0, end: 9, total: 100 }],
  ['bytes 99-99/100', { start: 99, end: 99, total: 100 }],
  ['bytes 0-0/1', { start: 0, end: 0, total: 1 }],
  ['bytes 500-1499/*', { start: 500, end: 1499, total: undefined }],
  [' bytes 0-9/100 ', { start: 0, end: 9, total: 100 }],
  [undefined, undefined],
  [null, undefined],
  ['', undefined],
  ['bytes */100', undefined],
  ['bytes 9-0/100', undefined],
  ['bytes 0-100/100', undefined],
  ['bytes 0-0/0', undefined],
  ['bytes 0-/100', undefined],
  ['bytes -9/100', undefined],
  ['bytes 0-9', undefined],
  ['bytes=0-9/100', undefined],
  ['items 0-9/100', undefined],
  ['xbytes 0-9/100', undefined],
  ['bytes 0-9/100, bytes 0-9/100', undefined],
  ['bytes 0-9999999999999999/*', undefined],
]
for (const [header, want] of contentRanges) {
  test(`Content-Range ${JSON.stringify(header)} is read as ${JSON.stringify(want)}`, () => {
    assert.deepEqual(parseContentRange(header), want)
  })
}

const totals: [string | null | undefined, number | undefined][] = [
  ['bytes */0', 0],
  ['bytes */2048', 2048],
  [' bytes */2048 ', 2048],
  ['bytes */*', undefined],
  ['xbytes */100', undefined],
  ['bytes */', undefined],
  ['bytes 0-9/100', undefined],
  ['bytes */-1', undefined],
  ['bytes */9999999999999999', undefined],
  [null, undefined],
  [undefined, undefined],
]
for (const [header, want] of totals) {
  test(`A 416 with ${JSON.stringify(header)} names ${want === undefined ? 'no size' : `a size of ${want}`}`, () => {
    assert.equal(totalOfUnsatisfied(header), want)
  })
}
