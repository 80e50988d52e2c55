/** What the OCI conformance suites assert of a server that pulls only. */
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { type Digest, digestOf } from '../../src/oci/digest.ts'
import { OCI_INDEX, OCI_MANIFEST } from '../../src/oci/media-type.ts'
import { type FakeRegistry, startFakeRegistry } from '../support/fake-registry.ts'
import { entry, startServer, type TestServer } from '../support/server.ts'
import { assertBlob, assertError, assertHeaders, assertManifest, HIT, MISS } from './answers.ts'

const NOWHERE = digestOf(Buffer.from('nowhere'))
const NAME = '/v2/docker.io/library/alpine'

async function start(t: TestContext): Promise<{ hub: FakeRegistry; server: TestServer }> {
  const hub = await startFakeRegistry(t)
  return { hub, server: await startServer(t, { registries: [entry(hub, 'docker.io')] }) }
}

test('ping: 200', async (t) => {
  const { server } = await start(t)
  assert.equal((await server.get('/v2/')).status, 200)
})

test('empty: tags of a repository that does not exist are 404 JSON; referrers of a random digest an empty index', async (t) => {
  const { server } = await start(t)
  assertError(await server.get(`${NAME}/tags/list`), 404, 'NAME_UNKNOWN')
  const referrers = await server.get(`${NAME}/referrers/${NOWHERE}`)
  assert.equal(referrers.status, 200)
  assertHeaders(referrers, { 'content-type': OCI_INDEX, 'content-length': String(referrers.body.length) }, { cache: MISS })
  assert.deepEqual(referrers.json(), { schemaVersion: 2, mediaType: OCI_INDEX, manifests: [] })
})

test('tag list: all tags; n limits them, last starts behind one, n=0 is empty and has no Link', async (t) => {
  const { hub, server } = await start(t)
  for (const tag of ['test3', 'test1', 'TEST0', 'test2']) hub.addImage('library/alpine', tag)
  const list = async (query: string) => {
    const response = await server.get(`${NAME}/tags/list${query}`)
    assert.equal(response.status, 200)
    assert.equal(response.header('content-type'), 'application/json')
    const { name, tags } = response.json() as { name: string; tags: string[] }
    assert.equal(name, 'library/alpine')
    return { tags, link: response.header('link') }
  }
  assert.deepEqual(await list(''), { tags: ['TEST0', 'test1', 'test2', 'test3'], link: undefined })
  assert.deepEqual(await list('?n=2'), { tags: ['TEST0', 'test1'], link: `<${NAME}/tags/list?n=2&last=test1>; rel="next"` })
  assert.deepEqual(await list('?n=2&last=test1'), { tags: ['test2', 'test3'], link: undefined })
  assert.deepEqual(await list('?last=test1'), { tags: ['test2', 'test3'], link: undefined })
  assert.deepEqual(await list('?n=0'), { tags: [], link: undefined })
  assert.deepEqual(await list('?n=4'), { tags: ['TEST0', 'test1', 'test2', 'test3'], link: undefined })
  assertError(await server.get(`${NAME}/tags/list?n=x`), 400, 'UNSUPPORTED')
})

test('missing: manifests by tag and digest, and blobs, are 404 by HEAD and GET', async (t) => {
  const { server } = await start(t)
  for (const [path, code] of [
    ['manifests/nowhere', 'MANIFEST_UNKNOWN'],
    [`manifests/${NOWHERE}`, 'MANIFEST_UNKNOWN'],
    [`blobs/${NOWHERE}`, 'BLOB_UNKNOWN'],
  ] as const) {
    assertError(await server.get(`${NAME}/${path}`), 404, code)
    assertError(await server.head(`${NAME}/${path}`), 404, code, { method: 'HEAD' })
  }
})

test('GET with a body keeps the connection usable', async (t) => {
  const { hub, server } = await start(t)
  hub.addImage('library/alpine', '3')
  const connection = await server.connect()
  for (const size of [100, 5_000_000]) {
    const bad = await connection.ask({
      target: `${NAME}/manifests/sha256:totallywrong`,
      headers: { 'content-type': OCI_MANIFEST },
      body: Buffer.alloc(size, '{'),
    })
    assertError(bad, 400, 'DIGEST_INVALID')
    const good = await connection.ask({ target: `${NAME}/manifests/3`, body: Buffer.alloc(size, 'x') })
    assert.equal(good.status, 200)
    const chunks = `${(0x1000).toString(16)}\r\n${'y'.repeat(0x1000)}\r\n0\r\n\r\n`
    connection.write(`GET ${NAME}/manifests/3 HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n${chunks}`)
    assert.equal((await connection.response()).status, 200)
  }
})

test('blobs of no byte, of two, and by sha256', async (t) => {
  const { hub, server } = await start(t)
  for (const text of ['', '{}']) {
    const digest = hub.addBlob(text)
    for (const cache of [MISS, HIT]) {
      assertBlob(await server.get(`${NAME}/blobs/${digest}`), { digest, bytes: Buffer.from(text) }, { cache })
      await server.settled()
      assertBlob(await server.head(`${NAME}/blobs/${digest}`), { digest, bytes: Buffer.from(text) }, { method: 'HEAD' })
    }
  }
})

const ranges: [range: string, want: readonly [number, number] | 416][] = [
  ['bytes=500-1499', [500, 1499]],
  ['bytes=500-', [500, 2047]],
  ['bytes=-500', [1548, 2047]],
  ['bytes=2000-5000', [2000, 2047]],
  ['bytes=500-0', 416],
  ['bytes=5000-10000', 416],
]

for (const state of ['cached', 'being filled'] as const) {
  test(`range requests of a blob that is ${state}`, async (t) => {
    const { hub, server } = await start(t)
    for (const [i, [range, want]] of ranges.entries()) {
      const bytes = Buffer.alloc(2048, `${i} of these `)
      const digest = hub.addBlob(bytes)
      const target = `${NAME}/blobs/${digest}`
      if (state === 'cached') {
        await server.get(target)
        await server.settled()
      }
      const response = await server.get(target, { range })
      const cache = state === 'cached' ? HIT : MISS
      if (want === 416) {
        assertError(response, 416, 'SIZE_INVALID', { cache, more: { 'content-range': 'bytes */2048' } })
      } else assertBlob(response, { digest, bytes, part: want }, { cache })
    }
  })
}

type Made = { readonly digest: Digest; readonly bytes: Buffer; readonly mediaType: string }

test('data sets: every kind of manifest is served by tag and by digest as it is', async (t) => {
  const { hub, server } = await start(t)
  const repository = 'library/alpine'
  const image = hub.addImage(repository, 'base')
  const made = (tag: string, mediaType: string, json: Record<string, unknown>): Made => {
    const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, ...json }))
    return { digest: hub.addManifest(repository, tag, bytes, mediaType), bytes, mediaType }
  }
  const empty = { mediaType: 'application/vnd.oci.empty.v1+json', digest: hub.addBlob('{}'), size: 2 }
  const child = { mediaType: OCI_MANIFEST, digest: image.digest, size: image.bytes.length }
  const index = made('index', OCI_INDEX, { manifests: [child] })
  const sets: Record<string, Made> = {
    index,
    'nested-index': made('nested-index', OCI_INDEX, {
      manifests: [{ mediaType: OCI_INDEX, digest: index.digest, size: index.bytes.length }],
    }),
    'empty-index': made('empty-index', OCI_INDEX, { manifests: [] }),
    artifact: made('artifact', OCI_MANIFEST, { artifactType: 'application/x', config: empty, layers: [empty] }),
    'artifact-index': made('artifact-index', OCI_INDEX, { artifactType: 'application/x', manifests: [child] }),
    'artifact-without-layers': made('artifact-without-layers', OCI_MANIFEST, { artifactType: 'application/x', config: empty, layers: [] }),
    'index-with-subject': made('index-with-subject', OCI_INDEX, { manifests: [], subject: child }),
    'missing-subject': made('missing-subject', OCI_MANIFEST, { config: empty, layers: [], subject: { ...child, digest: NOWHERE } }),
    'data-field': made('data-field', OCI_MANIFEST, { config: { ...empty, data: 'e30=' }, layers: [] }),
    'non-distributable-layers': made('non-distributable-layers', OCI_MANIFEST, {
      config: empty,
      layers: [
        { mediaType: 'application/vnd.oci.image.layer.nondistributable.v1.tar', digest: NOWHERE, size: 1, urls: ['https://x.example/'] },
      ],
    }),
    'custom-fields': made('custom-fields', OCI_MANIFEST, { config: { ...empty, 'org.example': [1] }, layers: [], 'org.example': { a: 1 } }),
    sparse: made('sparse', OCI_INDEX, { manifests: [child, { ...child, digest: NOWHERE }] }),
    'large-manifest': made('large-manifest', OCI_MANIFEST, { config: empty, layers: [], annotations: { x: 'y'.repeat(3_900_000) } }),
  }
  for (const [tag, manifest] of Object.entries(sets)) {
    await t.test(tag, async () => {
      assertManifest(await server.head(`${NAME}/manifests/${tag}`), manifest, { method: 'HEAD', cache: MISS })
      assertManifest(await server.get(`${NAME}/manifests/${tag}`), manifest)
      assertManifest(await server.get(`${NAME}/manifests/${manifest.digest}`), manifest)
    })
  }
})

test('tags of 128 characters, and those that begin with _', async (t) => {
  const { hub, server } = await start(t)
  for (const tag of ['_', '_a.b-c', 'T'.repeat(128), '0', 'sha256', 'latest', 'list']) {
    const { digest, bytes } = hub.addImage('library/alpine', tag)
    assertManifest(await server.get(`${NAME}/manifests/${tag}`), { digest, mediaType: OCI_MANIFEST, bytes }, { cache: MISS })
  }
})
