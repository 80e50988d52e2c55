/** What is cached is served from the cache: the upstream is not asked, and need not be there. */
import assert from 'node:assert/strict'
import { rm } from 'node:fs/promises'
import { type TestContext, test } from 'node:test'
import type { Digest } from '../../src/oci/digest.ts'
import { OCI_INDEX, OCI_MANIFEST } from '../../src/oci/media-type.ts'
import { type FakeRegistry, startFakeRegistry } from '../support/fake-registry.ts'
import { entry, type ServerOptions, startServer, type TestServer } from '../support/server.ts'
import { until } from '../support/until.ts'
import { assertBlob, assertError, assertHeaders, assertManifest, HIT, headersOf, MISS } from '../wire/answers.ts'

const NAME = '/v2/library/alpine'

type Bench = {
  readonly hub: FakeRegistry
  readonly server: TestServer
  readonly manifest: { digest: Digest; bytes: Buffer; mediaType: string }
  readonly layer: { digest: Digest; bytes: Buffer }
  readonly config: Digest
}

/** A server with the image `library/alpine:3`, pulled and stored. */
async function pulled(t: TestContext, options: ServerOptions = {}): Promise<Bench> {
  const hub = await startFakeRegistry(t)
  const server = await startServer(t, { registries: [entry(hub, 'docker.io')], ...options })
  const bytes = Buffer.alloc(300_000, 'layer')
  const image = hub.addImage('library/alpine', '3', { layers: [bytes] })
  const [digest] = image.layers
  assert(digest !== undefined)
  for (const path of ['manifests/3', `blobs/${digest}`, `blobs/${image.config}`])
    assert.equal((await server.get(`${NAME}/${path}`)).status, 200)
  await server.settled()
  const manifest = { digest: image.digest, bytes: image.bytes, mediaType: OCI_MANIFEST }
  return { hub, server, manifest, layer: { digest, bytes }, config: image.config }
}

async function assertAllHits({ server, manifest, layer }: Omit<Bench, 'hub' | 'config'>): Promise<void> {
  for (const reference of ['3', manifest.digest]) {
    assertManifest(await server.get(`${NAME}/manifests/${reference}`), manifest)
    assertManifest(await server.head(`${NAME}/manifests/${reference}`), manifest, { method: 'HEAD' })
  }
  assertBlob(await server.get(`${NAME}/blobs/${layer.digest}`), layer)
  assertBlob(await server.head(`${NAME}/blobs/${layer.digest}`), layer, { method: 'HEAD' })
  assertBlob(await server.get(`${NAME}/blobs/${layer.digest}`, { range: 'bytes=7-99' }), { ...layer, part: [7, 99] })
}

test('a hit never asks the upstream', async (t) => {
  const bench = await pulled(t)
  const before = bench.hub.count()
  await assertAllHits(bench)
  assert.equal(bench.hub.count(), before)
})

test('a hit works with the upstream switched off; tags are listed from what is cached', async (t) => {
  const bench = await pulled(t)
  await bench.hub.stop()
  await assertAllHits(bench)
  const tags = await bench.server.get(`${NAME}/tags/list`)
  assert.equal(tags.status, 200)
  assert.deepEqual(tags.json(), { name: 'library/alpine', tags: ['3'] })
  assert.equal(tags.header('cache-status'), 'ociregistry; hit; detail=stale-unreachable')
  assert.match(tags.header('warning') ?? '', /^299 - "/)
})

test('a restart finds everything there, and asks nobody', async (t) => {
  const bench = await pulled(t)
  await bench.server.stop()
  await bench.hub.stop()
  const server = await startServer(t, { registries: [entry(bench.hub, 'docker.io')], imagePath: bench.server.imagePath })
  await assertAllHits({ ...bench, server })
  assert.deepEqual(
    server.log.lines.filter(({ level }) => level === 'warn' || level === 'error'),
    [],
  )
})

test('a request that comes before the catalog is loaded waits for it', async (t) => {
  const bench = await pulled(t)
  await bench.server.stop()
  await bench.hub.stop()
  const registries = [entry(bench.hub, 'docker.io')]
  const server = await startServer(t, { registries, imagePath: bench.server.imagePath, loaded: false })
  const early = await server.connect()
  early.send({ target: `${NAME}/manifests/3` })
  const ping = await server.get('/v2/') // needs no catalog
  assert.equal(ping.status, 200)
  await server.load()
  assertManifest(await early.response(), bench.manifest)
})

test('HEAD and GET agree on every header, hit or error', async (t) => {
  const { hub, server, manifest, layer } = await pulled(t, { negativeTtlMs: 0 }) // else the second of two is told from memory
  const nowhere = `sha256:${'0'.repeat(64)}`
  const targets = [
    '/',
    '/v2/',
    '/v1/_ping',
    `${NAME}/manifests/3`,
    `${NAME}/manifests/${manifest.digest}`,
    `${NAME}/manifests/nowhere`,
    `${NAME}/manifests/${nowhere}`,
    `${NAME}/manifests/sha256:bad`,
    `${NAME}/blobs/${layer.digest}`,
    `${NAME}/blobs/${nowhere}`,
    `${NAME}/blobs/bad`,
    `${NAME}/tags/list`,
    `${NAME}/tags/list?n=1`,
    `${NAME}/referrers/${manifest.digest}`,
    `${NAME}/referrers/${manifest.digest}?artifactType=x`,
    '/v2/_catalog',
    '/v2/Not/manifests/3',
  ]
  for (const headers of [{}, { 'if-none-match': '*' }, { 'if-none-match': `"${manifest.digest}", "${layer.digest}"` }]) {
    for (const target of targets) {
      const [get, head] = [await server.get(target, headers), await server.head(target, headers)]
      assert.equal(head.status, get.status, target)
      assert.deepEqual(headersOf(head), headersOf(get), target)
      assert.equal(head.body.length, 0)
    }
  }
  await hub.stop()
  for (let failures = 0; failures < 3; failures++) await server.get(`${NAME}/tags/list`) // from now on the registry is not asked
  // what is not cached is refused in words that tell how often that was so, and for how long it will be
  for (const target of targets.filter((target) => !target.includes('nowhere') && !target.includes(nowhere))) {
    const [get, head] = [await server.get(target), await server.head(target)]
    assert.deepEqual([head.status, headersOf(head)], [get.status, headersOf(get)], target)
  }
})

const conditions: [what: string, header: (etag: string) => string, status: 200 | 304][] = [
  ['the entity tag', (etag) => etag, 304],
  ['the weak entity tag', (etag) => `W/${etag}`, 304],
  ['a list with it', (etag) => `"other", ${etag}`, 304],
  ['a list with it, weak and without blanks', (etag) => `"other",W/${etag},"third"`, 304],
  ['*', () => '*', 304],
  ['another entity tag', () => `"sha256:${'0'.repeat(64)}"`, 200],
  ['the digest without quotes', (etag) => etag.replaceAll('"', ''), 200],
  ['nothing', () => '', 200],
]

for (const [what, header, status] of conditions) {
  test(`If-None-Match with ${what}: ${status} for manifest and blob, by GET and HEAD`, async (t) => {
    const { server, manifest, layer } = await pulled(t)
    const connection = await server.connect()
    for (const method of ['GET', 'HEAD'] as const) {
      for (const [target, digest] of [
        [`${NAME}/manifests/3`, manifest.digest],
        [`${NAME}/blobs/${layer.digest}`, layer.digest],
      ] as const) {
        const response = await connection.ask({ method, target, headers: { 'if-none-match': header(`"${digest}"`) } })
        assert.equal(response.status, status)
        assert.equal(response.header('etag'), `"${digest}"`)
        assert.equal(response.header('docker-content-digest'), digest)
        assert.equal(response.header('cache-status'), 'ociregistry; hit')
        if (status === 304) assert.equal(response.header('content-length'), undefined)
      }
    }
  })
}

test('If-None-Match comes before Range', async (t) => {
  const { server, layer } = await pulled(t)
  const response = await server.get(`${NAME}/blobs/${layer.digest}`, { 'if-none-match': `"${layer.digest}"`, range: 'bytes=0-9' })
  assert.equal(response.status, 304)
})

const ifRanges: [what: string, header: (etag: string) => string, partial: boolean][] = [
  ['the entity tag', (etag) => etag, true],
  ['a weak one', (etag) => `W/${etag}`, false],
  ['another one', () => '"other"', false],
  ['a date', () => 'Sat, 29 Oct 2022 19:43:31 GMT', false],
]

for (const [what, header, partial] of ifRanges) {
  test(`If-Range with ${what}: ${partial ? 'the part' : 'the whole'}`, async (t) => {
    const { server, layer } = await pulled(t)
    const headers = { range: 'bytes=5-9', 'if-range': header(`"${layer.digest}"`) }
    const response = await server.get(`${NAME}/blobs/${layer.digest}`, headers)
    assertBlob(response, partial ? { ...layer, part: [5, 9] } : layer)
    const outside = await server.get(`${NAME}/blobs/${layer.digest}`, { ...headers, range: 'bytes=999999-' })
    assert.equal(outside.status, partial ? 416 : 200)
  })
}

test('Cache-Control: only-if-cached: hits as ever, misses are 504, and the upstream is not asked', async (t) => {
  const { hub, server, manifest, layer } = await pulled(t)
  const other = hub.addImage('library/alpine', '4')
  const before = hub.count()
  for (const value of ['only-if-cached', 'max-age=0, Only-If-Cached', 'no-transform,only-if-cached']) {
    const headers = { 'cache-control': value }
    assertManifest(await server.get(`${NAME}/manifests/3`, headers), manifest)
    assertBlob(await server.get(`${NAME}/blobs/${layer.digest}`, headers), layer)
    for (const path of ['manifests/4', `manifests/${other.digest}`]) {
      assertError(await server.get(`${NAME}/${path}`, headers), 504, 'MANIFEST_UNKNOWN')
      assertError(await server.head(`${NAME}/${path}`, headers), 504, 'MANIFEST_UNKNOWN', { method: 'HEAD' })
    }
    assertError(await server.get(`${NAME}/blobs/${other.config}`, headers), 504, 'BLOB_UNKNOWN')
    assertError(await server.head(`${NAME}/blobs/${other.config}`, headers), 504, 'BLOB_UNKNOWN', { method: 'HEAD' })
    assertError(await server.get('/v2/library/other/tags/list', headers), 504, 'NAME_UNKNOWN')
    assertError(await server.get(`${NAME}/referrers/${manifest.digest}`, headers), 404, 'MANIFEST_UNKNOWN')
    const tags = await server.get(`${NAME}/tags/list`, headers)
    assert.deepEqual(tags.json(), { name: 'library/alpine', tags: ['3'] })
  }
  assert.equal(hub.count(), before)
})

test('alwaysPullLatest with only-if-cached: latest is served without asking', async (t) => {
  const { hub, server } = await pulled(t, { alwaysPullLatest: true })
  hub.addImage('library/alpine', 'latest')
  await server.get(`${NAME}/manifests/latest`)
  const before = hub.count()
  assert.equal((await server.get(`${NAME}/manifests/latest`, { 'cache-control': 'only-if-cached' })).status, 200)
  assert.equal(hub.count(), before)
  assert.equal((await server.get(`${NAME}/manifests/latest`)).status, 200)
  assert.equal(hub.count(), before + 1)
  assert.deepEqual([hub.requests().at(-1)?.method, hub.requests().at(-1)?.kind], ['HEAD', 'manifest'])
})

test('a tag that moved upstream: alwaysPullLatest brings the new image, the old one stays to be had by digest', async (t) => {
  const hub = await startFakeRegistry(t)
  const server = await startServer(t, { registries: [entry(hub, 'docker.io')], alwaysPullLatest: true })
  const old = hub.addImage('library/alpine', 'latest', { layers: [Buffer.from('old')] })
  assertManifest(await server.get(`${NAME}/manifests/latest`), { ...old, mediaType: OCI_MANIFEST }, { cache: MISS })
  const next = hub.addImage('library/alpine', 'latest', { layers: [Buffer.from('new')] })
  const moved = await server.get(`${NAME}/manifests/latest`)
  assert.equal(moved.header('docker-content-digest'), next.digest)
  assert(moved.body.equals(next.bytes))
  assertManifest(await server.get(`${NAME}/manifests/${old.digest}`), { ...old, mediaType: OCI_MANIFEST })
})

test('GET of a manifest completes its image in the background, HEAD does not', async (t) => {
  const hub = await startFakeRegistry(t)
  const server = await startServer(t, { registries: [entry(hub, 'docker.io')], prefetch: true })
  const image = hub.addImage('library/alpine', '3', { layers: [Buffer.from('one'), Buffer.alloc(200_000, 'two')] })
  const looked = hub.addImage('library/alpine', 'looked-at', { layers: [Buffer.from('of no interest')] })
  for (let i = 0; i < 2; i++) assert.equal((await server.head(`${NAME}/manifests/looked-at`)).status, 200)
  assertManifest(await server.get(`${NAME}/manifests/3`), { ...image, mediaType: OCI_MANIFEST }, { cache: MISS })
  const blobs = [image.config, ...image.layers]
  for (const digest of blobs) await hub.arrived({ reference: digest })
  await until(async () => {
    const files = await server.files()
    return blobs.every((digest) => files.includes(`blobs/${digest.slice(7)}`))
  }, 'all blobs are stored')
  assert.equal(hub.count({ reference: looked.config }), 0) // it would have had its turn before
  await hub.stop()
  for (const digest of blobs) assert.equal((await server.get(`${NAME}/blobs/${digest}`)).header('cache-status'), 'ociregistry; hit')
})

test('background completion: not of an index, of foreign layers, of attestations; and not twice', async (t) => {
  const hub = await startFakeRegistry(t)
  const server = await startServer(t, { registries: [entry(hub, 'docker.io')], prefetch: true })
  const foreign = hub.addBlob('a foreign layer')
  const config = hub.addBlob('{"config":1}')
  const windows = hub.addManifest('library/alpine', 'windows', {
    schemaVersion: 2,
    mediaType: OCI_MANIFEST,
    config: { mediaType: 'application/vnd.oci.image.config.v1+json', digest: config, size: 12 },
    layers: [
      {
        mediaType: 'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip',
        digest: foreign,
        size: 15,
        urls: ['https://elsewhere.example/layer'],
      },
    ],
  })
  const index = hub.addIndex('library/alpine', 'index', [{ digest: windows }])
  assert.equal((await server.get(`${NAME}/manifests/${index}`)).header('content-type'), OCI_INDEX)
  for (let i = 0; i < 3; i++) assert.equal((await server.get(`${NAME}/manifests/windows`)).status, 200)
  await hub.arrived({ reference: config })
  await server.settled()
  for (let i = 0; i < 3; i++) assert.equal((await server.get(`${NAME}/manifests/windows`)).status, 200)
  assert.equal(hub.count({ reference: config }), 1)
  assert.equal(hub.count({ reference: foreign }), 0)
})

test('an image whose background completion failed is completed by the next GET', async (t) => {
  const hub = await startFakeRegistry(t)
  const server = await startServer(t, { registries: [entry(hub, 'docker.io')], prefetch: true })
  const image = hub.addImage('library/alpine', '3')
  const config = hub.content.blob(undefined, image.config)
  assert(config !== undefined)
  hub.content.removeBlob(image.config)
  await server.get(`${NAME}/manifests/3`)
  await hub.arrived({ reference: image.config })
  await until(() => server.log.lines.some(({ message }) => message === 'fill failed'), 'it failed')
  await server.settled()
  hub.addBlob(Buffer.concat([...config.read(0, config.sizeBytes)]))
  await until(async () => {
    await server.get(`${NAME}/manifests/3`)
    return (await server.files()).includes(`blobs/${image.config.slice(7)}`)
  }, 'it is completed')
})

test('tags and referrers: Cache-Status and Warning say where a list came from', async (t) => {
  const { hub, server, manifest } = await pulled(t)
  const subject = { mediaType: OCI_MANIFEST, digest: manifest.digest, size: manifest.bytes.length }
  const signature = hub.addImage('library/alpine', undefined, { fields: { subject, artifactType: 'application/signature' } })
  const target = `${NAME}/referrers/${manifest.digest}`
  const live = await server.get(target)
  assertHeaders(live, { 'content-type': OCI_INDEX, 'content-length': String(live.body.length) }, { cache: MISS })
  await server.get(`${NAME}/manifests/${signature.digest}`)
  await hub.stop()
  const cached = await server.get(target)
  assertHeaders(
    cached,
    { 'content-type': OCI_INDEX, 'content-length': String(cached.body.length) },
    { cache: 'hit; detail=stale-unreachable', warning: /^299 - "/ },
  )
  assert.deepEqual(
    (cached.json() as { manifests: { digest: string }[] }).manifests.map((descriptor) => descriptor.digest),
    [signature.digest],
  )
})

test('a file that somebody deletes while the server runs is a miss, and fetched again', async (t) => {
  const { hub, server, layer } = await pulled(t)
  const published = () => server.log.lines.some(({ message, fields }) => message === 'blob stored' && fields.digest === layer.digest)
  await until(published, 'it is published: nobody joins its fill any more')
  await rm(`${server.imagePath}/blobs/${layer.digest.slice(7)}`)
  assertBlob(await server.get(`${NAME}/blobs/${layer.digest}`), layer, { cache: MISS })
  await server.settled()
  assertBlob(await server.get(`${NAME}/blobs/${layer.digest}`), layer, { cache: HIT })
  assert.equal(hub.count({ reference: layer.digest }), 2)
})
