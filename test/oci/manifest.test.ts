import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Descriptor, isAttestation, MAX_MANIFEST_BYTES, type Manifest, ManifestError, parseManifest } from '../../src/oci/manifest.ts'
import {
  DOCKER_LIST,
  DOCKER_MANIFEST,
  isSchema1,
  type ManifestKind,
  OCI_ARTIFACT,
  OCI_INDEX,
  OCI_MANIFEST,
} from '../../src/oci/media-type.ts'

type Json = Record<string, unknown>

const OCI_CONFIG = 'application/vnd.oci.image.config.v1+json'
const OCI_LAYER = 'application/vnd.oci.image.layer.v1.tar+gzip'
const DOCKER_CONFIG = 'application/vnd.docker.container.image.v1+json'
const IN_TOTO = 'application/vnd.in-toto+json'
const SCHEMA_1 = 'application/vnd.docker.distribution.manifest.v1+json'
const SIGNED_SCHEMA_1 = 'application/vnd.docker.distribution.manifest.v1+prettyjws'

const hex = (digit: string): string => `sha256:${digit.repeat(64)}`
const descriptor = (digit: string, mediaType: string, more: Json = {}): Json => ({ mediaType, digest: hex(digit), size: 7, ...more })
const config = descriptor('c', OCI_CONFIG)
const layer = descriptor('1', OCI_LAYER)
const image: Json = { schemaVersion: 2, config, layers: [layer] }
const dockerImage: Json = { schemaVersion: 2, config: descriptor('c', DOCKER_CONFIG), layers: [layer] }
const index: Json = { schemaVersion: 2, manifests: [descriptor('d', OCI_MANIFEST)] }
const dockerList: Json = { schemaVersion: 2, manifests: [descriptor('d', DOCKER_MANIFEST)] }
const artifact: Json = { mediaType: OCI_ARTIFACT, artifactType: 'application/x', blobs: [layer] }

const parseText = (source: string, contentType?: string | null): Manifest => parseManifest(Buffer.from(source), contentType)
const parse = (json: unknown, contentType?: string | null): Manifest => parseText(JSON.stringify(json), contentType)
const digests = (descriptors: readonly Descriptor[]): string[] => descriptors.map(({ digest }) => digest)

// --- Which type: what the manifest says of itself, else what the upstream declares, else its shape

const shapes: [what: string, json: Json, kind: ManifestKind, fromShape: string][] = [
  ['an OCI image', image, 'image', OCI_MANIFEST],
  ['a Docker image', dockerImage, 'image', DOCKER_MANIFEST],
  ['an OCI index', index, 'index', OCI_INDEX],
  ['a Docker list', dockerList, 'index', DOCKER_LIST],
  ['an empty index', { schemaVersion: 2, manifests: [] }, 'index', OCI_INDEX],
  ['an image without layers', { ...image, layers: [] }, 'image', OCI_MANIFEST],
  ['an image without a layer list', { schemaVersion: 2, config }, 'image', OCI_MANIFEST],
  ['layers without a configuration', { schemaVersion: 2, layers: [layer] }, 'image', OCI_MANIFEST],
]
/** What servers send that do not know better. */
const nothing = [undefined, null, '', ' ']
const vague = [
  'text/plain',
  'text/plain; charset=utf-8',
  'text/html',
  'Application/JSON',
  'application/octet-stream',
  'binary/octet-stream',
]
const malformed = ['json', '*', `${OCI_INDEX}, ${OCI_INDEX}`]

for (const [what, json, kind, fromShape] of shapes) {
  for (const contentType of [...nothing, ...vague, ...malformed]) {
    test(`${what} sent as ${JSON.stringify(contentType)} is known by its shape`, () => {
      const manifest = parse(json, contentType)
      assert.deepEqual([manifest.kind, manifest.mediaType], [kind, fromShape])
    })
    test(`${what} sent as ${JSON.stringify(contentType)} is believed what it says of itself`, () => {
      const own = kind === 'index' ? DOCKER_LIST : DOCKER_MANIFEST
      assert.equal(parse({ ...json, mediaType: own }, contentType).mediaType, own)
    })
  }
  for (const declared of kind === 'index' ? [OCI_INDEX, DOCKER_LIST] : [OCI_MANIFEST, DOCKER_MANIFEST]) {
    for (const contentType of [declared, `${declared}; charset=utf-8`, declared.toUpperCase()]) {
      test(`${what} sent as '${contentType}' is passed on as that, without parameters`, () => {
        const manifest = parse({ ...json, mediaType: 'application/vnd.other+json' }, contentType)
        assert.deepEqual([manifest.kind, manifest.mediaType], [kind, declared])
      })
    }
  }
  test(`${what} that calls itself something that nobody knows keeps that, and is known by its shape`, () => {
    const manifest = parse({ ...json, mediaType: 'application/vnd.example.thing+json' })
    assert.deepEqual([manifest.kind, manifest.mediaType], [kind, 'application/vnd.example.thing+json'])
  })
  test(`${what} that somebody sends as something that nobody knows has the type of its shape`, () => {
    const { mediaType: _, ...nameless } = json as { mediaType?: string }
    const sentAsNonsense = parse(nameless, 'application/vnd.example.thing+json')
    assert.deepEqual(sentAsNonsense, parse(nameless, ''))
    assert.equal(sentAsNonsense.kind, kind)
  })
}

for (const own of ['x-text/plain', 'application/json5', 'application/octet-stream+json']) {
  test(`A manifest that calls itself ${own} is passed on as that`, () => {
    assert.equal(parse({ ...image, mediaType: own }).mediaType, own)
  })
}

for (const own of [
  '',
  'application/json',
  'text/plain',
  'manifest',
  'a/b\r\nset-cookie: c/d',
  'a/b c',
  'käse/brot',
  '/',
  7,
  null,
  [OCI_INDEX],
  {},
]) {
  test(`A manifest that calls itself ${JSON.stringify(own)} is known by its shape, and nobody is sent that as Content-Type`, () => {
    assert.equal(parse({ ...image, mediaType: own }).mediaType, OCI_MANIFEST)
    assert.equal(parse({ ...index, mediaType: own }).mediaType, OCI_INDEX)
  })
}

test('An OCI artifact manifest is known by what it says of itself, though it has no schema version', () => {
  for (const contentType of [undefined, 'application/json', OCI_ARTIFACT, 'application/vnd.example.thing+json']) {
    const manifest = parse(artifact, contentType)
    assert.equal(manifest.kind, 'artifact')
    assert.equal(manifest.artifactType, 'application/x')
    assert.deepEqual(digests(manifest.blobs), [hex('1')])
    assert.deepEqual(manifest.manifests, [])
  }
})

// --- What is no manifest

const notManifests: [string, string][] = [
  ['nothing', ''],
  ['blanks', '  \n'],
  ['a login page', '<!doctype html><title>Sign in</title>'],
  ['a cut manifest', JSON.stringify(image).slice(0, -1)],
  ['two manifests', JSON.stringify(image).repeat(2)],
  ['an array', '[]'],
  ['an array of manifests', JSON.stringify([image])],
  ['null', 'null'],
  ['a number', '2'],
  ['a string', '"sha256:x"'],
  ['a NUL', '\0'],
  ['a byte order mark and a manifest', `\ufeff${JSON.stringify(image)}`],
  ['an unclosed string', '{"schemaVersion":2,"manifests":"'],
  ['a string that ends in a backslash', '"\\'],
  ['arrays a million deep', '['.repeat(1e6)],
  ['an object a hundred thousand deep', `${'{"a":'.repeat(1e5)}1${'}'.repeat(1e5)}`],
  ['a manifest with a field 101 deep', `{"schemaVersion":2,"manifests":[],"x":${'['.repeat(100)}${']'.repeat(100)}}`],
]
for (const [what, source] of notManifests) {
  test(`${what} is no manifest, whatever type it is sent as`, () => {
    for (const contentType of [undefined, 'application/json', OCI_INDEX, OCI_MANIFEST]) {
      assert.throws(() => parseText(source, contentType), { name: 'ManifestError', schema1: false })
    }
  })
}

const otherJson: [string, unknown][] = [
  ['an empty object', {}],
  ['a version alone', { schemaVersion: 2 }],
  ['an error', { errors: [{ code: 'DENIED', message: 'no' }] }],
  ["an image's configuration", { architecture: 'amd64', config: { Env: [] }, rootfs: { type: 'layers', diff_ids: [] } }],
  ['what some portal is configured with', { config: { theme: 'dark' } }],
  ['a list of manifests of some other kind', { manifests: ['a', 'b'] }],
  ['a list of tags', { name: 'library/alpine', tags: ['3'] }],
  ['a version in words', { ...image, schemaVersion: '2' }],
  ['a version that does not exist', { ...index, schemaVersion: 3 }],
  ['manifests that are no list', { schemaVersion: 2, manifests: { length: 1 } }],
  ['layers and a configuration that are neither', { schemaVersion: 2, layers: 'all', config: 'none' }],
  ['keys that only look like fields', { schemaVersion: 2, Manifests: [], ' layers': [] }],
  ['a manifest hidden in __proto__', JSON.parse(`{"__proto__":${JSON.stringify(image)}}`)],
]
for (const [what, json] of otherJson) {
  test(`${what} is JSON, but no manifest`, () => {
    for (const contentType of [undefined, 'application/json', 'application/octet-stream', 'application/vnd.example.thing+json']) {
      assert.throws(() => parse(json, contentType), ManifestError)
    }
  })
}

const schema1: Json = { schemaVersion: 1, name: 'library/alpine', tag: '2', fsLayers: [{ blobSum: hex('1') }], history: [], signatures: [] }
for (const contentType of [SCHEMA_1, SIGNED_SCHEMA_1, `${SIGNED_SCHEMA_1}; charset=utf-8`, 'application/json', 'text/plain', undefined]) {
  test(`A schema 1 manifest sent as ${JSON.stringify(contentType)} is refused as what it is`, () => {
    for (const json of [schema1, { ...schema1, mediaType: SIGNED_SCHEMA_1 }]) {
      assert.throws(() => parse(json, contentType), { name: 'ManifestError', schema1: true, message: /schema 1/ })
    }
  })
}

test('A type of schema 1 is refused whatever the body looks like', () => {
  assert.equal(isSchema1(SIGNED_SCHEMA_1), true)
  assert.throws(() => parse(image, SIGNED_SCHEMA_1), ManifestError)
  assert.throws(() => parse({ ...image, mediaType: SCHEMA_1 }, 'application/json'), ManifestError)
})

// --- What it needs

test('An image needs its configuration and its layers, in order', () => {
  const { blobs, manifests } = parse({ ...image, layers: [layer, descriptor('2', OCI_LAYER, { size: 0 })] })
  assert.deepEqual(blobs, [
    { mediaType: OCI_CONFIG, digest: hex('c'), sizeBytes: 7, foreign: false },
    { mediaType: OCI_LAYER, digest: hex('1'), sizeBytes: 7, foreign: false },
    { mediaType: OCI_LAYER, digest: hex('2'), sizeBytes: 0, foreign: false },
  ])
  assert.deepEqual(manifests, [])
})

test('A layer that is listed twice, or is the configuration too, is needed once', () => {
  const again = descriptor('c', OCI_LAYER)
  assert.deepEqual(digests(parse({ ...image, layers: [layer, again, layer, layer] }).blobs), [hex('c'), hex('1')])
})

for (const [what, body, contentType] of [
  ['an index that lists layers', { ...index, config, layers: [layer] }, OCI_INDEX],
  ['an image manifest that lists manifests', { ...index, mediaType: undefined, config, layers: [layer] }, OCI_MANIFEST],
] as const) {
  test(`A body that contradicts its type is refused: ${what}`, () => {
    assert.throws(() => parseManifest(Buffer.from(JSON.stringify(body)), contentType), ManifestError)
  })
}

test('An index may hold indexes, and says so', () => {
  const nested = { schemaVersion: 2, mediaType: OCI_INDEX, manifests: [descriptor('e', OCI_INDEX), descriptor('d', OCI_MANIFEST)] }
  assert.deepEqual(
    parse(nested).manifests.map(({ mediaType, digest }) => [mediaType, digest]),
    [
      [OCI_INDEX, hex('e')],
      [OCI_MANIFEST, hex('d')],
    ],
  )
})

test('An index keeps the platform of each manifest, where it is one', () => {
  const platforms = [
    { os: 'linux', architecture: 'amd64' },
    { os: 'linux', architecture: 'arm', variant: 'v7', 'os.features': ['x'] },
    { os: 'linux', architecture: 'arm64', variant: '' },
    { os: 'unknown', architecture: 'unknown' },
    { os: '', architecture: '' },
    { os: 'linux' },
    { os: 1, architecture: ['amd64'] },
    'linux/amd64',
    null,
    { os: 'linux', architecture: 'amd64\nforged: yes' },
    { os: 'linux\u001b[2J', architecture: 'amd64' },
    { os: 'linux', architecture: 'arm', variant: 'v7\u2028' },
    { os: 'linux', architecture: 'x'.repeat(65) },
  ]
  const json = { schemaVersion: 2, manifests: platforms.map((platform, i) => descriptor(i.toString(16), OCI_MANIFEST, { platform })) }
  assert.deepEqual(
    parse(json).manifests.map(({ platform }) => platform),
    [
      { os: 'linux', architecture: 'amd64' },
      { os: 'linux', architecture: 'arm', variant: 'v7' },
      { os: 'linux', architecture: 'arm64' },
      { os: 'unknown', architecture: 'unknown' },
      ...Array.from({ length: 9 }, () => undefined),
    ],
  )
})

test('An artifact whose layers are [] needs only its empty configuration', () => {
  const digest = 'sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a'
  const empty = { mediaType: 'application/vnd.oci.empty.v1+json', digest, size: 2, data: 'e30=' }
  const manifest = parse({ schemaVersion: 2, mediaType: OCI_MANIFEST, artifactType: 'application/x', config: empty, layers: [] })
  assert.deepEqual(digests(manifest.blobs), [digest])
  assert.equal(manifest.artifactType, 'application/x')
})

const foreignLayers: [what: string, mediaType: string, more: Json, foreign: boolean][] = [
  ['An ordinary layer', OCI_LAYER, {}, false],
  ['A layer with no addresses', OCI_LAYER, { urls: [] }, false],
  ['A layer with an address', OCI_LAYER, { urls: ['https://example.com/layer'] }, true],
  ['A layer whose addresses are no list', OCI_LAYER, { urls: 'https://example.com/layer' }, false],
  ['A foreign Docker layer', 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip', {}, true],
  ['A foreign Docker layer, unpacked', 'application/vnd.docker.image.rootfs.foreign.diff.tar', {}, true],
  ['A nondistributable layer', 'application/vnd.oci.image.layer.nondistributable.v1.tar', {}, true],
  ['A nondistributable zstd layer', 'application/vnd.oci.image.layer.nondistributable.v1.tar+zstd', {}, true],
  ['A zstd layer', 'application/vnd.oci.image.layer.v1.tar+zstd', {}, false],
  ['An encrypted layer', 'application/vnd.oci.image.layer.v1.tar+gzip+encrypted', {}, false],
]
for (const [what, mediaType, more, foreign] of foreignLayers) {
  test(`${what} is ${foreign ? 'not expected in the registry' : 'pulled from the registry'}`, () => {
    const { blobs } = parse({ ...image, layers: [descriptor('1', mediaType, more)] })
    assert.equal(blobs[1]?.foreign, foreign)
  })
}

const attestations: [what: string, json: Json, want: boolean][] = [
  ['BuildKit writes beside an image', { ...image, layers: [descriptor('1', IN_TOTO)] }, true],
  ['has two statements', { ...image, layers: [descriptor('1', IN_TOTO), descriptor('2', IN_TOTO)] }, true],
  ['is an ordinary image', image, false],
  ['has no layers', { ...image, layers: [] }, false],
  ['is an index that lists attestations', { ...index, manifests: [descriptor('1', IN_TOTO)] }, false],
]
for (const [what, json, want] of attestations) {
  test(`A manifest that ${what} is ${want ? 'an' : 'no'} attestation`, () => assert.equal(isAttestation(parse(json)), want))
}

test('An index tells its attestations by platform and annotation', () => {
  const annotations = { 'vnd.docker.reference.type': 'attestation-manifest', 'vnd.docker.reference.digest': hex('d') }
  const platform = { os: 'unknown', architecture: 'unknown' }
  const [first] = parse({ ...index, manifests: [descriptor('a', OCI_MANIFEST, { annotations, platform })] }).manifests
  assert.deepEqual(first, { mediaType: OCI_MANIFEST, digest: hex('a'), sizeBytes: 7, foreign: false, annotations, platform })
})

// --- What the referrers API needs

const artifactTypes: [what: string, json: Json, want: string | undefined][] = [
  ['An image', image, OCI_CONFIG],
  ['An image with an artifact type', { ...image, artifactType: 'application/x' }, 'application/x'],
  ['An image with an empty artifact type', { ...image, artifactType: '' }, OCI_CONFIG],
  ['An image with an artifact type that is no string', { ...image, artifactType: 7 }, OCI_CONFIG],
  ['An image without a configuration', { schemaVersion: 2, layers: [] }, undefined],
  ['An image whose configuration has no type', { ...image, config: { digest: hex('c'), size: 2 } }, undefined],
  ['An index', index, undefined],
  ['An index with an artifact type', { ...index, artifactType: 'application/x' }, 'application/x'],
  ['An index with a configuration', { ...index, config }, undefined],
  ['An artifact manifest', artifact, 'application/x'],
  ['An artifact manifest without a type', { mediaType: OCI_ARTIFACT, config }, undefined],
]
for (const [what, json, want] of artifactTypes) {
  test(`${what} is listed as ${want ?? 'nothing in particular'}`, () => {
    assert.equal(parse(json).artifactType, want)
    assert.equal('artifactType' in parse(json), want !== undefined)
  })
}

const subjects: [what: string, subject: unknown, want: string | undefined][] = [
  ['another manifest', descriptor('d', OCI_MANIFEST), hex('d')],
  ['another manifest by sha512', { mediaType: OCI_MANIFEST, digest: `sha512:${'d'.repeat(128)}`, size: 7 }, `sha512:${'d'.repeat(128)}`],
  ['a digest without its descriptor', hex('d'), undefined],
  ['a descriptor without a size', { mediaType: OCI_MANIFEST, digest: hex('d') }, undefined],
  ['a list', [descriptor('d', OCI_MANIFEST)], undefined],
  ['null', null, undefined],
]
for (const [what, subject, want] of subjects) {
  test(`A manifest whose subject is ${what} refers to ${want?.slice(0, 10) ?? 'nothing'}`, () => {
    for (const json of [image, index, artifact]) assert.equal(parse({ ...json, subject }).subject, want)
  })
}

const annotationCases: [what: string, annotations: unknown, want: Record<string, string> | undefined][] = [
  ['strings', { a: 'b', 'org.x/y': '' }, { a: 'b', 'org.x/y': '' }],
  ['strings among other things', { a: 'b', c: 1, d: null, e: ['f'], g: { h: 'i' } }, { a: 'b' }],
  ['nothing', {}, undefined],
  ['no strings', { a: 1 }, undefined],
  ['a list', ['a'], undefined],
  ['a string', 'a', undefined],
  ['null', null, undefined],
]
for (const [what, annotations, want] of annotationCases) {
  test(`Annotations of ${what} are kept as ${JSON.stringify(want)}`, () => {
    assert.deepEqual(parse({ ...image, annotations }).annotations, want)
    assert.deepEqual(parse({ ...index, manifests: [descriptor('d', OCI_MANIFEST, { annotations })] }).manifests[0]?.annotations, want)
  })
}

// --- Hostile fields

const unusable: [string, unknown][] = [
  ['null', null],
  ['a string', hex('1')],
  ['a number', 7],
  ['a list', [descriptor('1', OCI_LAYER)]],
  ['an empty object', {}],
  ['no digest', { mediaType: OCI_LAYER, size: 7 }],
  ['an upper-case digest', { ...layer, digest: `sha256:${'A'.repeat(64)}` }],
  ['a digest that is a path', { ...layer, digest: '../../etc/passwd' }],
  ['a digest of another algorithm', { ...layer, digest: `sha384:${'a'.repeat(96)}` }],
  ['a digest that is no string', { ...layer, digest: { toString: hex('1') } }],
  ['no size', { mediaType: OCI_LAYER, digest: hex('1') }],
  ['a size in words', { ...layer, size: '7' }],
  ['a negative size', { ...layer, size: -1 }],
  ['half a byte', { ...layer, size: 7.5 }],
  ['a size that no number can hold exactly', { ...layer, size: 2 ** 53 }],
  ['a size of null', { ...layer, size: null }],
]
for (const [what, value] of unusable) {
  test(`A descriptor that is or has ${what} is left out, and the rest is kept`, () => {
    assert.deepEqual(digests(parse({ ...image, layers: [value, descriptor('2', OCI_LAYER)] }).blobs), [hex('c'), hex('2')])
    assert.deepEqual(digests(parse({ ...index, manifests: [value, descriptor('d', OCI_MANIFEST)] }).manifests), [hex('d')])
    assert.deepEqual(digests(parse({ ...image, config: value }, OCI_MANIFEST).blobs), [hex('1')])
  })
}

test('Numbers beyond any number are no sizes', () => {
  for (const size of ['1e999', '-1e999', '1e400', '9007199254740993', '123456789012345678901234567890']) {
    const source = `{"schemaVersion":2,"layers":[{"mediaType":"${OCI_LAYER}","digest":"${hex('1')}","size":${size}}]}`
    assert.deepEqual(parseText(source).blobs, [], size)
  }
})

test('The largest exact size is a size', () => {
  const { blobs } = parse({ ...image, layers: [{ ...layer, size: Number.MAX_SAFE_INTEGER }] })
  assert.equal(blobs[1]?.sizeBytes, Number.MAX_SAFE_INTEGER)
})

test('A descriptor without a media type is still needed', () => {
  assert.equal(parse({ ...image, layers: [{ digest: hex('1'), size: 7 }] }).blobs[1]?.mediaType, '')
})

test('Lists that are none count as empty', () => {
  for (const value of [null, 'x', 7, true, {}, { 0: layer, length: 1 }]) {
    assert.deepEqual(parse({ ...image, layers: value, blobs: value }).blobs.length, 1)
    assert.deepEqual(parse({ schemaVersion: 2, manifests: value }, OCI_INDEX).manifests, []) // Go writes an empty list as null
  }
})

test('Keys called __proto__ change nothing but themselves', () => {
  const source = `{"schemaVersion":2,"__proto__":{"subject":${JSON.stringify(layer)},"artifactType":"x"},
    "config":{"__proto__":{"digest":"${hex('c')}","size":7}},"layers":[],
    "annotations":{"__proto__":"polluted","constructor":"mine"}}`
  const manifest = parseText(source)
  assert.deepEqual([manifest.blobs, manifest.subject, manifest.artifactType], [[], undefined, undefined])
  assert.deepEqual(Object.entries(manifest.annotations ?? {}), [
    ['__proto__', 'polluted'],
    ['constructor', 'mine'],
  ])
  assert.equal(({} as Json).polluted, undefined)
  assert.equal(Object.getPrototypeOf(manifest.annotations), Object.prototype)
})

test('Of a key that comes twice the last counts, as with the clients', () => {
  const source = JSON.stringify(image).replace('"layers":', `"layers":[${JSON.stringify(descriptor('9', OCI_LAYER))}],"layers":`)
  assert.deepEqual(digests(parseText(source).blobs), [hex('c'), hex('1')])
})

test('Depth is counted outside of strings only', () => {
  const annotations = { '[[{': '['.repeat(500), quoted: `\\"${'{"'.repeat(500)}\\` }
  assert.deepEqual(parse({ ...image, annotations }).annotations, annotations)
  const nested = JSON.parse(`${'{"a":'.repeat(99)}1${'}'.repeat(99)}`)
  assert.equal(parse({ ...image, nested }).kind, 'image')
})

test('A manifest is read from the part of a buffer that it fills', () => {
  const bytes = Buffer.from(`]]]${JSON.stringify(image)}]]]`)
  assert.equal(parseManifest(bytes.subarray(3, -3), OCI_MANIFEST).kind, 'image')
})

test('Bytes that are no UTF-8 harm only the string that they stand in', () => {
  const bytes = Buffer.from(JSON.stringify({ ...image, annotations: { a: 'xyz' } }).replace('xyz', '\xff\xfe\x80'), 'latin1')
  assert.deepEqual(digests(parseManifest(bytes, OCI_MANIFEST).blobs), [hex('c'), hex('1')])
})

test('The largest manifest that clients take is 4 MiB, and is read', () => {
  assert.equal(MAX_MANIFEST_BYTES, 4_194_304)
  const source = JSON.stringify({ ...image, annotations: { padding: '' } })
  const full = source.replace('"padding":"', `"padding":"${'x'.repeat(MAX_MANIFEST_BYTES - source.length)}`)
  assert.equal(Buffer.byteLength(full), MAX_MANIFEST_BYTES)
  assert.equal(parseText(full, OCI_MANIFEST).blobs.length, 2)
})

test('Four thousand layers, half of them listed twice, count once each', () => {
  const layers = Array.from({ length: 4000 }, (_, i) => ({ ...layer, digest: `sha256:${(i % 2000).toString(16).padStart(64, '0')}` }))
  assert.equal(parse({ ...image, layers }).blobs.length, 2001)
})

for (const declared of [OCI_ARTIFACT, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST, 'application/vnd.example.thing+json', '']) {
  test(`An image that does not name its type is an OCI image, also when somebody sends it as '${declared}'`, () => {
    const manifest = parse({ schemaVersion: 2, config, layers: [layer] }, declared)
    assert.deepEqual([manifest.kind, manifest.mediaType], ['image', OCI_MANIFEST])
  })
}

test('A manifest that lists thousands of layers is refused: each would cost memory for as long as it is cached', () => {
  const layers = Array.from({ length: 4097 }, () => layer)
  assert.equal(parse({ ...image, layers: layers.slice(1) }).kind, 'image')
  assert.throws(() => parse({ ...image, layers }), ManifestError)
})
