import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Digest, digestFileName, digestOf, parseDigest } from '../../src/oci/digest.ts'
import { DOCKER_LIST, DOCKER_MANIFEST, OCI_ARTIFACT, OCI_INDEX, OCI_MANIFEST } from '../../src/oci/media-type.ts'
import { formatReference, makeReference, parseReference } from '../../src/oci/reference.ts'
import {
  decodeListedRecord,
  decodeRef,
  decodeRecord as decodeWholeRecord,
  encodeRecord,
  encodeRef,
  formatLocalTime,
  parseTime,
  RecordError,
  recordDirectory,
} from '../../src/store/record.ts'
import type { ManifestRecord } from '../../src/store/store.ts'
import { forAll } from '../support/property.ts'

process.env.TZ = 'Europe/Berlin' // two hours ahead in summer, one in winter: local times must not be taken for UTC

const FILE_TIME_MS = Date.UTC(2026, 5, 1, 10, 0, 0)
const FILE_TIME = () => FILE_TIME_MS
const A64 = 'a'.repeat(64)

/** Both ways to read a record, which are to agree on all of them. */
function decodeRecord(name: string, text: string, fileTimeMs: number): ManifestRecord {
  const record = decodedOr(() => decodeWholeRecord(name, text, () => fileTimeMs))
  const listed = decodedOr(() => decodedFromList(name, text, fileTimeMs))
  if (record instanceof Error) {
    assert.deepEqual(listed, record)
    throw record
  }
  assert.deepEqual(listed, record)
  return record
}

function decodedFromList(name: string, text: string, fileTimeMs: number): ManifestRecord {
  const { writtenMs, ...record } = decodeListedRecord(name, text, () => fileTimeMs)
  assert.equal(writtenMs(), fileTimeMs)
  return record
}

function decodedOr(decode: () => ManifestRecord): ManifestRecord | RecordError {
  try {
    return decode()
  } catch (error) {
    assert.ok(error instanceof RecordError)
    return error
  }
}

/** A record in the form that the Go program writes. */
const GO_MANIFEST =
  '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"sha256:dac1d7cfa95021764849fd102524e141488c5e3a90f861dbb5a12d9ac8584f85","size":5}]}'
const GO_NAME = '042190ac6aca1a704e70a62706e50adbb620db197a494e3d2cf00bd4f7bbece8'
const GO_RECORD = `{"type":3,"digest":"${GO_NAME}","imageUrl":"example.io/team/app:v1","bytes":"${base64(GO_MANIFEST)}","v1.oci.index":{"schemaVersion":0,"manifests":null},"v1.oci.manifest":${GO_MANIFEST},"v2.docker.manifestList":{"schemaVersion":0,"mediaType":"","manifests":null},"v2.docker.manifest":{"schemaVersion":0,"config":{},"layers":null},"created":"2026-11-20T17:15:21","pulled":"2026-11-20T17:20:02"}`

test('A record of the Go program is read: exact bytes, type, reference and local times', () => {
  const record = decodeRecord(GO_NAME, GO_RECORD, FILE_TIME_MS)
  assert.deepEqual(record, {
    digest: `sha256:${GO_NAME}`,
    mediaType: OCI_MANIFEST,
    bytes: Buffer.from(GO_MANIFEST),
    imageUrl: 'example.io/team/app:v1',
    registry: 'example.io',
    repository: 'team/app',
    createdMs: Date.UTC(2026, 10, 20, 16, 15, 21),
    pulledMs: Date.UTC(2026, 10, 20, 16, 20, 2),
  })
  assert.equal(digestOf(record.bytes), record.digest)
})

test('A record is written as the Go program writes it, byte for byte, and our own keys follow', () => {
  const own = ',"mediaType":"application/vnd.oci.image.manifest.v1+json","registry":"example.io","repository":"team/app"}'
  assert.equal(encodeRecord(decodeRecord(GO_NAME, GO_RECORD, FILE_TIME_MS)), GO_RECORD.slice(0, -1) + own)
})

const EMPTY_OBJECTS = {
  'v1.oci.index': '{"schemaVersion":0,"manifests":null}',
  'v1.oci.manifest': '{"schemaVersion":0,"config":{"mediaType":"","digest":"","size":0},"layers":null}',
  'v2.docker.manifestList': '{"schemaVersion":0,"mediaType":"","manifests":null}',
  'v2.docker.manifest': '{"schemaVersion":0,"config":{},"layers":null}',
}
const types: readonly (readonly [string, number, string | undefined, 'fat' | 'img'])[] = [
  [DOCKER_LIST, 0, 'v2.docker.manifestList', 'fat'],
  [DOCKER_MANIFEST, 1, 'v2.docker.manifest', 'img'],
  [OCI_INDEX, 2, 'v1.oci.index', 'fat'],
  [OCI_MANIFEST, 3, 'v1.oci.manifest', 'img'],
  [OCI_ARTIFACT, 4, undefined, 'img'],
  ['application/vnd.example+json', 4, undefined, 'img'],
]
const COPIES: Readonly<Record<string, string>> = {
  [DOCKER_LIST]: `{"schemaVersion":2,"mediaType":"${DOCKER_LIST}","manifests":[]}`,
  [DOCKER_MANIFEST]: `{"schemaVersion":2,"mediaType":"${DOCKER_MANIFEST}","config":{},"layers":[]}`,
  [OCI_INDEX]: `{"schemaVersion":2,"mediaType":"${OCI_INDEX}","manifests":[]}`,
  [OCI_MANIFEST]: `{"schemaVersion":2,"mediaType":"${OCI_MANIFEST}","config":{"mediaType":"","digest":"","size":0},"layers":[]}`,
}
for (const [mediaType, type, key, directory] of types) {
  test(`A manifest of ${mediaType} has type ${type}, lies in ${directory}/, and its parsed copy is under ${key ?? 'no key'}`, () => {
    const json = JSON.stringify({ x: [1, '<&>'], config: {}, schemaVersion: 2, mediaType, layers: [], manifests: [] }, null, 2)
    const record = recordWith({ mediaType, bytes: Buffer.from(json) })
    const text = encodeRecord(record)
    assert.equal(recordDirectory(mediaType), directory)
    assert.equal(JSON.parse(text).type, type)
    for (const [other, empty] of Object.entries(EMPTY_OBJECTS)) {
      const wanted = other === key ? COPIES[mediaType] : empty
      assert.ok(text.includes(`"${other}":${wanted}`), `${other} is not ${wanted}`)
    }
    const keys = [
      'type',
      'digest',
      'imageUrl',
      'bytes',
      ...Object.keys(EMPTY_OBJECTS),
      'created',
      'pulled',
      'mediaType',
      'registry',
      'repository',
    ]
    assert.deepEqual(Object.keys(JSON.parse(text)), keys)
    assert.ok(!text.includes('\n'))
    assert.deepEqual(decodeRecord(digestFileName(record.digest), text, FILE_TIME_MS), record)
  })
}

test('The digest in a record is bare hex, as the Go program has it, and says its algorithm for sha512', () => {
  const bytes = Buffer.from('{}')
  assert.equal(JSON.parse(encodeRecord(recordWith({ bytes }))).digest, digestOf(bytes).slice(7))
  const record = { ...recordWith({ bytes }), digest: digestOf(bytes, 'sha512') }
  assert.equal(JSON.parse(encodeRecord(record)).digest, `sha512-${record.digest.slice(7)}`)
  assert.deepEqual(decodeRecord(digestFileName(record.digest), encodeRecord(record), FILE_TIME_MS), record)
})

test('Every record comes back as it was, whatever its bytes, names and times', () => {
  const letters = 'abcdefghijklmnopqrstuvwxyz0123456789'
  forAll(
    (random) => {
      const registry = random.pick(['docker.io', 'quay.io', 'registry.example:5000', '[::1]:5000', 'localhost', '10.0.0.1'])
      const repository = Array.from({ length: random.between(1, 5) }, () => random.text(letters, 1, 8)).join('/')
      const target =
        random.below(2) === 0
          ? random.text(`${letters}ABC._-`, 0, 20).replace(/^/, 'v')
          : `sha256:${random.text('0123456789abcdef', 64, 64)}`
      const reference = parseReference(`${registry}/${repository}${target.includes(':') ? '@' : ':'}${target}`)
      const bytes = Buffer.from(JSON.stringify({ text: random.text(' "\\<>&\u2028\u2029ßé😀\n', 0, 40) }))
      const [createdMs, pulledMs] = [random.below(2_000_000_000) * 1000, random.below(2_000_000_000) * 1000]
      const mediaType = random.pick([OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST, OCI_ARTIFACT, 'application/x+json'])
      const { registry: by, repository: from } = reference
      return {
        digest: digestOf(bytes),
        mediaType,
        bytes,
        imageUrl: formatReference(reference),
        registry: by,
        repository: from,
        createdMs,
        pulledMs,
      }
    },
    (record) => {
      const again = decodeRecord(digestFileName(record.digest), encodeRecord(record), FILE_TIME_MS)
      // the hour that comes twice in autumn is the one thing that a local time cannot tell apart
      const [created, pulled] = [record.createdMs, record.pulledMs].map((ms) => Date.parse(formatLocalTime(ms)))
      assert.deepEqual(again, { ...record, createdMs: created, pulledMs: pulled })
    },
    500,
  )
})

test('A record knows who supplied it, also when that is not whom its reference names', () => {
  const record = { ...recordWith({}), ...pick(makeReference(parseReference('mirror.example/x:1').registry, 'other/path', 'v1')) }
  assert.deepEqual(decodeRecord(digestFileName(record.digest), encodeRecord(record), FILE_TIME_MS), record)
})

const older: readonly (readonly [string, Record<string, unknown>, Partial<ManifestRecord>])[] = [
  ['without the keys that we add', {}, { mediaType: DOCKER_MANIFEST, registry: parseReference('quay.io/a/b:1').registry }],
  ['of a Docker list', { type: 0 }, { mediaType: DOCKER_LIST }],
  ['of an OCI index', { type: 2 }, { mediaType: OCI_INDEX }],
  ['of an OCI image', { type: 3 }, { mediaType: OCI_MANIFEST }],
  ['of a type that it does not name', { type: 4 }, { mediaType: '' }],
  ['of a type that nobody knows', { type: 17 }, { mediaType: '' }],
  ['whose type is no number', { type: '1' }, { mediaType: '' }],
  ['without a type', { type: undefined }, { mediaType: '' }],
  [
    'of 1.7, with the keys of that time',
    { mediaType: OCI_MANIFEST, size: 2, pullRequest: { id: 1 }, 'v2.docker.Manifest': {} },
    { mediaType: OCI_MANIFEST },
  ],
  ['without times', { created: undefined, pulled: undefined }, { createdMs: FILE_TIME_MS, pulledMs: FILE_TIME_MS }],
  ['with empty times', { created: '', pulled: '' }, { createdMs: FILE_TIME_MS, pulledMs: FILE_TIME_MS }],
  [
    'patched by hand with a literal $CREATED',
    { created: '$CREATED', pulled: '$CREATED' },
    { createdMs: FILE_TIME_MS, pulledMs: FILE_TIME_MS },
  ],
  ['with one time only', { pulled: '2026-07-01T12:00:00' }, { createdMs: FILE_TIME_MS, pulledMs: Date.UTC(2026, 6, 1, 10, 0, 0) }],
  ['with times that are numbers', { created: 17, pulled: 17 }, { createdMs: FILE_TIME_MS, pulledMs: FILE_TIME_MS }],
  ['of a Docker Hub image in the short form', { imageUrl: 'docker.io/alpine:3' }, { imageUrl: 'docker.io/library/alpine:3' }],
  ['of a Docker Hub image under an older name', { imageUrl: 'index.docker.io/a/b:3' }, { imageUrl: 'docker.io/a/b:3' }],
  ['of an image by digest', { imageUrl: `quay.io/a/b@sha256:${A64}` }, { imageUrl: `quay.io/a/b@sha256:${A64}` }],
  ['of a registry without a dot', { imageUrl: 'harbor:5000/a/b:1' }, { imageUrl: 'harbor:5000/a/b:1' }],
  ['of a repository with many parts', { imageUrl: 'quay.io/a/b/c/d/e/f:1' }, { imageUrl: 'quay.io/a/b/c/d/e/f:1' }],
]
for (const [what, json, wanted] of older) {
  test(`A record ${what} is read`, () => {
    const text = JSON.stringify({ type: 1, digest: A64, imageUrl: 'quay.io/a/b:1', bytes: base64('{}'), ...json })
    const record = decodeRecord(A64, text, FILE_TIME_MS)
    assert.deepEqual({ ...record, ...wanted }, record)
    assert.deepEqual(record.bytes, Buffer.from('{}'))
    assert.equal(record.digest, `sha256:${A64}`)
  })
}

test('The keys of a record are read in any case, as Go reads them; one that is spelled right counts most', () => {
  const inAnyCase = GO_RECORD.replace(/"(type|digest|imageUrl|bytes|created|pulled)":/g, (key) =>
    key.length % 2 === 0 ? key.toUpperCase() : key.toLowerCase(),
  )
  assert.notEqual(inAnyCase, GO_RECORD)
  assert.deepEqual(decodeRecord(GO_NAME, inAnyCase, FILE_TIME_MS), decodeRecord(GO_NAME, GO_RECORD, FILE_TIME_MS))
  const twice = GO_RECORD.replace('{', '{"IMAGEURL":"quay.io/a/b:1",')
  assert.deepEqual(decodeRecord(GO_NAME, twice, FILE_TIME_MS), decodeRecord(GO_NAME, GO_RECORD, FILE_TIME_MS))
})

test('A record whose media type is empty has that of its number', () => {
  const text = GO_RECORD.replace('{', '{"mediaType":"",')
  assert.equal(decodeRecord(GO_NAME, text, FILE_TIME_MS).mediaType, OCI_MANIFEST)
})

test('What HTML or JavaScript could misread is escaped in a record, as Go does it', () => {
  const bytes = Buffer.from('{"schemaVersion":2,"annotations":{"a":"<b>&\u2028\u2029\\u0000\u007f\u00e9"}}')
  const text = encodeRecord(recordWith({ bytes }))
  assert.match(text, /"annotations":\{"a":"\\u003cb\\u003e\\u0026\\u2028\\u2029\\u0000\x7fé"\}/)
  assert.doesNotMatch(text, /[<>&\u2028\u2029]/)
})

test('What Go escapes in JSON is read as what it means', () => {
  const text = `{"type":3,"imageUrl":"quay.io\\u002fa/b:1","bytes":"${base64('{"x":"<&>\u2028"}')}"}`
  const record = decodeRecord(A64, text, FILE_TIME_MS)
  assert.equal(record.imageUrl, 'quay.io/a/b:1')
  assert.equal(record.bytes.toString(), '{"x":"<&>\u2028"}')
})

const bytes = base64('{}')
const damaged: readonly (readonly [string, string])[] = [
  ['an empty file', ''],
  ['zeros, as a crash of the machine leaves them', '\0'.repeat(500)],
  ['text', 'hello'],
  ['a list', '[]'],
  ['null', 'null'],
  ['a number', '17'],
  ['a string', '"x"'],
  ['an empty object', '{}'],
  ['foreign JSON', '{"schemaVersion":2,"config":{},"layers":[]}'],
  ['a record without a reference', JSON.stringify({ bytes })],
  ['a record whose reference is no text', JSON.stringify({ bytes, imageUrl: 5 })],
  ['a record whose reference names no registry', JSON.stringify({ bytes, imageUrl: 'alpine' })],
  ['a record whose reference has neither tag nor digest', JSON.stringify({ bytes, imageUrl: 'quay.io/a/b' })],
  ['a record whose reference leaves the directory', JSON.stringify({ bytes, imageUrl: 'quay.io/../../etc:1' })],
  ['a record without bytes', JSON.stringify({ imageUrl: 'quay.io/a/b:1' })],
  ['a record with empty bytes', JSON.stringify({ imageUrl: 'quay.io/a/b:1', bytes: '' })],
  ['a record whose bytes are no base64', JSON.stringify({ imageUrl: 'quay.io/a/b:1', bytes: '!!!' })],
  ['a record whose bytes are no text', JSON.stringify({ imageUrl: 'quay.io/a/b:1', bytes: [123, 125] })],
  ['a record supplied by no registry', JSON.stringify({ imageUrl: 'quay.io/a/b:1', bytes, registry: 'a b' })],
  ['a record supplied from no repository', JSON.stringify({ imageUrl: 'quay.io/a/b:1', bytes, repository: '../x' })],
]
for (const [what, text] of damaged) {
  test(`${what} is no record`, () => {
    assert.throws(() => decodeRecord(A64, text, FILE_TIME_MS), RecordError)
  })
}

test('A record that was cut anywhere is no record', () => {
  for (let length = 0; length < GO_RECORD.length; length++) {
    assert.throws(() => decodeRecord(GO_NAME, GO_RECORD.slice(0, length), FILE_TIME_MS), RecordError, `cut after ${length} characters`)
  }
})

test('A record whose name is no digest is no record', () => {
  assert.throws(() => decodeRecord('README', GO_RECORD, FILE_TIME_MS), RecordError)
})

const times: readonly (readonly [unknown, number | undefined])[] = [
  ['2026-11-20T17:15:21', Date.UTC(2026, 10, 20, 16, 15, 21)],
  ['2026-07-20T17:15:21', Date.UTC(2026, 6, 20, 15, 15, 21)],
  ['2026-07-20T17:15:21Z', Date.UTC(2026, 6, 20, 17, 15, 21)],
  ['2026-07-20T17:15:21.5Z', Date.UTC(2026, 6, 20, 17, 15, 21, 500)],
  ['2026-07-20T17:15:21.123456789+05:30', Date.UTC(2026, 6, 20, 11, 45, 21, 123)],
  ['2026-07-20T17:15:21.123', Date.UTC(2026, 6, 20, 15, 15, 21, 123)],
  ['2026-13-20T17:15:21', undefined],
  ['2026-07-20T25:15:21', undefined],
  ['2026-07-20 17:15:21', undefined],
  ['2026-07-20', undefined],
  ['2026', undefined],
  ['', undefined],
  ['$CREATED', undefined],
  ['yesterday', undefined],
  [1_784_567_890, undefined],
  [null, undefined],
  [undefined, undefined],
]
for (const [value, wanted] of times) {
  test(`The time ${JSON.stringify(value)} is ${wanted === undefined ? 'none' : new Date(wanted).toISOString()} in Berlin`, () => {
    assert.equal(parseTime(value), wanted)
  })
}

test('Times are written as local wall time, in summer and in winter', () => {
  assert.equal(formatLocalTime(Date.UTC(2026, 6, 1, 22, 30, 5, 999)), '2026-07-02T00:30:05')
  assert.equal(formatLocalTime(Date.UTC(2026, 0, 1, 23, 0, 0)), '2026-01-02T00:00:00')
})

const REF_DIGEST = parseDigest(`sha256:${A64}`)
const REF_TEXT = `{"reference":"docker.io/library/alpine:3","digest":"sha256:${A64}","created":"2026-01-02T03:04:05.006Z","pulled":"2026-01-02T03:04:05.007Z","checked":"2026-01-02T03:04:05.008Z"}`

test('A reference is written with its canonical spelling, its digest and its times', () => {
  const createdMs = Date.UTC(2026, 0, 2, 3, 4, 5, 6)
  const ref = { reference: 'docker.io/library/alpine:3', digest: REF_DIGEST, createdMs, pulledMs: createdMs + 1, checkedMs: createdMs + 2 }
  assert.equal(encodeRef(ref), REF_TEXT)
  assert.deepEqual(decodeRef(REF_TEXT, FILE_TIME), ref)
})

test('A reference without readable times has the time of its file', () => {
  const text = JSON.stringify({ reference: 'quay.io/a/b:1', digest: REF_DIGEST, pulled: '' })
  const times = { createdMs: FILE_TIME_MS, pulledMs: FILE_TIME_MS, checkedMs: FILE_TIME_MS }
  assert.deepEqual(decodeRef(text, FILE_TIME), { reference: 'quay.io/a/b:1', digest: REF_DIGEST, ...times })
})

const damagedRefs: readonly (readonly [string, string])[] = [
  ['an empty file', ''],
  ['zeros', '\0'.repeat(100)],
  ['a list', '[]'],
  ['null', 'null'],
  ['foreign JSON', '{"a":1}'],
  ['a reference without a digest', '{"reference":"quay.io/a/b:1"}'],
  ['a reference with a digest that is none', '{"reference":"quay.io/a/b:1","digest":"sha256:abc"}'],
  ['a reference with a digest that is a path', '{"reference":"quay.io/a/b:1","digest":"../../etc/passwd"}'],
  ['a digest without a reference', `{"digest":"${REF_DIGEST}"}`],
  ['a reference that names no registry', `{"reference":"alpine","digest":"${REF_DIGEST}"}`],
]
for (const [what, text] of damagedRefs) {
  test(`${what} in refs/ is no reference`, () => {
    assert.throws(() => decodeRef(text, FILE_TIME), RecordError)
  })
}

test('A reference that was cut anywhere is none', () => {
  for (let length = 0; length < REF_TEXT.length; length++) {
    assert.throws(() => decodeRef(REF_TEXT.slice(0, length), FILE_TIME), RecordError, `cut after ${length} characters`)
  }
})

function recordWith({ mediaType = OCI_MANIFEST, bytes = Buffer.from('{}') }: { mediaType?: string; bytes?: Buffer }): ManifestRecord {
  const { registry, repository } = parseReference('quay.io/team/app:v1')
  const createdMs = Date.UTC(2026, 0, 2, 3, 4, 5)
  const digest: Digest = digestOf(bytes)
  return { digest, mediaType, bytes, imageUrl: 'quay.io/team/app:v1', registry, repository, createdMs, pulledMs: createdMs + 1000 }
}

function pick({ registry, repository }: Pick<ManifestRecord, 'registry' | 'repository'>): Pick<ManifestRecord, 'registry' | 'repository'> {
  return { registry, repository }
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64')
}

test('A record whose parsed copy alone is damaged is listed, since nobody reads that', () => {
  const text = GO_RECORD.replace('"layers":[{', '"layers":[')
  assert.throws(() => decodeWholeRecord(GO_NAME, text, FILE_TIME), RecordError)
  assert.deepEqual(decodedFromList(GO_NAME, text, FILE_TIME_MS), decodeRecord(GO_NAME, GO_RECORD, FILE_TIME_MS))
})
