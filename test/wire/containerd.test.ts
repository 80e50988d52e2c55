import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { type Digest, digestOf } from '../../src/oci/digest.ts'
import { DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST } from '../../src/oci/media-type.ts'
import { type FakeRegistry, startFakeRegistry } from '../support/fake-registry.ts'
import { generatedBytes } from '../support/fake-registry-bytes.ts'
import { cutAt, hangAt } from '../support/fake-registry-faults.ts'
import { Gate } from '../support/fake-registry-reply.ts'
import { entry, type ServerOptions, startServer, type TestServer } from '../support/server.ts'
import { until } from '../support/until.ts'
import { assertBlob, assertError, assertManifest, HIT, MISS } from './answers.ts'

const RESOLVE_ACCEPT = [DOCKER_MANIFEST, DOCKER_LIST, OCI_MANIFEST, OCI_INDEX, '*/*'].join(', ')
/** What containerd 2.x sends with every GET; it decodes what says that it is encoded. */
const ENCODINGS = 'zstd;q=1.0, gzip;q=0.8, deflate;q=0.5'
const MIB = 1024 * 1024

type Bench = { readonly hub: FakeRegistry; readonly server: TestServer }

async function start(t: TestContext, options: ServerOptions = {}): Promise<Bench> {
  const hub = await startFakeRegistry(t)
  return { hub, server: await startServer(t, { registries: [entry(hub, 'docker.io')], ...options }) }
}

function bigBlob(hub: FakeRegistry, seed: string, sizeBytes: number): { digest: Digest; bytes: Buffer } {
  return { digest: hub.addGeneratedBlob(seed, sizeBytes), bytes: Buffer.concat([...generatedBytes(seed, sizeBytes).read(0, sizeBytes)]) }
}

test('containerd pulls: HEAD of the tag, then everything by digest, blobs in parallel', async (t) => {
  const { hub, server } = await start(t)
  const layers = [Buffer.from('layer one'), Buffer.alloc(200_000, 'two')]
  const image = hub.addImage('library/alpine', undefined, { layers })
  const index = hub.addIndex('library/alpine', '3', [{ digest: image.digest, platform: { os: 'linux', architecture: 'amd64' } }])
  const indexBytes = hub.content.manifest('library/alpine', index)?.bytes ?? Buffer.alloc(0)
  const name = '/v2/library/alpine'

  const resolved = await server.head(`${name}/manifests/3?ns=docker.io`, { accept: RESOLVE_ACCEPT })
  assertManifest(resolved, { digest: index, mediaType: OCI_INDEX, bytes: indexBytes }, { method: 'HEAD', ns: 'docker.io', cache: MISS })
  const fetched = await server.get(`${name}/manifests/${index}?ns=docker.io`, { accept: `${OCI_INDEX}, */*`, 'accept-encoding': 'gzip' })
  assertManifest(fetched, { digest: index, mediaType: OCI_INDEX, bytes: indexBytes }, { ns: 'docker.io' })
  const child = await server.get(`${name}/manifests/${image.digest}?ns=docker.io`, { accept: `${OCI_MANIFEST}, */*` })
  assertManifest(child, { digest: image.digest, mediaType: OCI_MANIFEST, bytes: image.bytes }, { ns: 'docker.io', cache: MISS })
  const blobs = await Promise.all(
    image.layers.map((digest) =>
      server.get(`${name}/blobs/${digest}?ns=docker.io`, { accept: 'application/x, */*', 'accept-encoding': ENCODINGS }),
    ),
  )
  for (const [i, response] of blobs.entries()) {
    assertBlob(
      response,
      { digest: digestOf(layers[i] ?? Buffer.alloc(0)), bytes: layers[i] ?? Buffer.alloc(0) },
      { ns: 'docker.io', cache: MISS },
    )
  }
  assert.deepEqual(
    hub
      .requests()
      .map(({ method, kind, reference }) => `${method} ${kind} ${reference}`)
      .sort(),
    [`GET manifest 3`, `GET manifest ${image.digest}`, ...image.layers.map((digest) => `GET blob ${digest}`)].sort(),
  )
  for (const { headers } of hub.requests()) {
    assert.equal(headers['accept-encoding'], 'identity')
    assert.notEqual(headers.accept, RESOLVE_ACCEPT)
  }
})

for (const state of ['being downloaded', 'stored'] as const) {
  for (const leaving of ['fin', 'rst'] as const) {
    test(`containerd 2.1+ fetches a layer that is ${state} in parallel ranges, and leaves each in the middle (${leaving})`, async (t) => {
      const { hub, server } = await start(t)
      const { digest, bytes } = bigBlob(hub, 'parallel', 8 * MIB + 12_345)
      const target = `/v2/library/alpine/blobs/${digest}?ns=docker.io`
      const half = new Gate()
      if (state === 'stored') {
        assert.equal((await server.get(target)).status, 200)
        await server.settled()
      } else hub.fault({ match: { kind: 'blob' }, do: [hangAt(4 * MIB, half)] })
      const buffer = MIB
      // the first answer says how long the layer is; each of the others is asked for "the rest", of which one buffer is read
      const open = async (from: number) => {
        const connection = await server.connect()
        connection.send({ target, headers: { range: `bytes=${from}-`, 'accept-encoding': ENCODINGS } })
        const head = await connection.head()
        const wanted = { ns: 'docker.io', cache: state === 'stored' ? HIT : from === 0 ? MISS : `${MISS}; collapsed` }
        assertBlob({ ...head, body: bytes.subarray(from) }, { digest, bytes, part: [from, bytes.length - 1] }, wanted)
        return connection
      }
      const first = await open(0)
      const rest = await Promise.all([1, 3, 8].map(async (k) => ({ from: k * buffer, connection: await open(k * buffer) })))
      half.open()
      await Promise.all(
        [{ from: 0, connection: first }, ...rest].map(async ({ from, connection }) => {
          const body = await connection.take(Math.min(buffer, bytes.length - from))
          assert(body.equals(bytes.subarray(from, from + buffer)), `the buffer from byte ${from}`)
          connection.close(leaving)
        }),
      )
      // the server is healthy, the download went on, and the upstream was asked once
      await server.settled()
      assertBlob(await server.get(target), { digest, bytes }, { ns: 'docker.io' })
      assert.equal(hub.count({ kind: 'blob' }), 1)
      assert.equal(hub.bytesSent(digest), bytes.length)
      assert.deepEqual(problems(server), [])
      await until(() => server.buffers.lent === 0, 'every buffer is back')
    })
  }
}

test('containerd 2.3 waits 30 s for headers: those of a range far ahead of a download come before its bytes', async (t) => {
  const { hub, server } = await start(t)
  const { digest, bytes } = bigBlob(hub, 'far ahead', 2 * MIB)
  const target = `/v2/library/alpine/blobs/${digest}?ns=docker.io`
  const little = new Gate()
  hub.fault({ match: { kind: 'blob' }, do: [hangAt(1000, little)] })
  const connection = await server.connect()
  const from = MIB + 1
  connection.send({ target, headers: { range: `bytes=${from}-` } })
  const head = await connection.head() // the upstream has sent a thousand bytes, and waits
  assertBlob({ ...head, body: bytes.subarray(from) }, { digest, bytes, part: [from, bytes.length - 1] }, { ns: 'docker.io', cache: MISS })
  little.open()
  const body = await connection.take(bytes.length - from)
  assert(body.equals(bytes.subarray(from)))
})

test('containerd takes up an interrupted pull where it left off, also when the cache has nothing of the layer', async (t) => {
  const { hub, server } = await start(t)
  const { digest, bytes } = bigBlob(hub, 'taken up', MIB)
  const target = `/v2/library/alpine/blobs/${digest}?ns=docker.io`
  const part = [700_001, bytes.length - 1] as const
  const resumed = await server.get(target, { range: 'bytes=700001-', 'accept-encoding': ENCODINGS })
  assertBlob(resumed, { digest, bytes, part }, { ns: 'docker.io', cache: MISS })
  await server.settled()
  assertBlob(await server.get(target), { digest, bytes }, { ns: 'docker.io' }) // the whole is cached by now
  assert.equal(hub.count(), 1)
})

test('containerd 2.1+ fetches an empty layer with bytes=0-', async (t) => {
  const { hub, server } = await start(t)
  const digest = hub.addBlob('')
  const target = `/v2/library/alpine/blobs/${digest}?ns=docker.io`
  for (const cache of [MISS, HIT]) {
    const response = await server.get(target, { range: 'bytes=0-', 'accept-encoding': ENCODINGS })
    assertBlob(response, { digest, bytes: Buffer.alloc(0) }, { ns: 'docker.io', cache }) // a 416 makes it leave the mirror
    await server.settled()
  }
})

test('containerd 2.1.0 sends bytes=0- for manifests too', async (t) => {
  const { hub, server } = await start(t)
  const { digest, bytes } = hub.addImage('library/alpine', '3')
  for (const cache of [MISS, HIT]) {
    const response = await server.get(`/v2/library/alpine/manifests/${digest}?ns=docker.io`, { range: 'bytes=0-' })
    assertManifest(response, { digest, mediaType: OCI_MANIFEST, bytes }, { ns: 'docker.io', cache })
  }
})

test('containerd sends the port of a registry encoded', async (t) => {
  const hub = await startFakeRegistry(t)
  const { digest, bytes } = hub.addImage('team/app', '1')
  const server = await startServer(t, { registries: [entry(hub, 'reg.example:5000')] })
  const response = await server.head('/v2/team/app/manifests/1?ns=reg.example%3A5000', { accept: RESOLVE_ACCEPT })
  assertManifest(response, { digest, mediaType: OCI_MANIFEST, bytes }, { method: 'HEAD', ns: 'reg.example:5000', cache: MISS })
})

test('containerd before 2.0.11 looks for a manifest under /blobs/ and must not find it', async (t) => {
  const { hub, server } = await start(t)
  const { digest } = hub.addImage('library/alpine', '3')
  const target = `/v2/library/alpine/blobs/${digest}?ns=docker.io`
  for (const when of ['before it is cached', 'when it is cached']) {
    assertError(await server.head(target), 404, 'BLOB_UNKNOWN', { method: 'HEAD', ns: 'docker.io' })
    assertError(await server.get(target), 404, 'BLOB_UNKNOWN', { ns: 'docker.io' })
    assert.equal((await server.head('/v2/library/alpine/manifests/3?ns=docker.io')).status, 200, when)
  }
})

test('containerd FetchByDigest: HEAD of a blob that is not cached downloads nothing', async (t) => {
  const { hub, server } = await start(t)
  const { digest, bytes } = bigBlob(hub, 'head', 2 * MIB)
  const target = `/v2/library/alpine/blobs/${digest}?ns=docker.io`
  assertBlob(await server.head(target), { digest, bytes }, { method: 'HEAD', ns: 'docker.io', cache: MISS })
  assert.deepEqual(
    hub.requests().map(({ method, headers }) => [method, headers.range]),
    [['GET', 'bytes=0-0']],
  )
  assert.equal(hub.bytesSent(digest), 1)
  assertBlob(await server.get(target), { digest, bytes }, { ns: 'docker.io', cache: MISS })
  await server.settled()
  assertBlob(await server.head(target), { digest, bytes }, { method: 'HEAD', ns: 'docker.io' })
  assert.equal(hub.count(), 2)
})

test('containerd resumes a cut layer with Range, and gets exactly the rest', async (t) => {
  const { hub, server } = await start(t, { budgets: { retryWaitsMs: [] } })
  const { digest, bytes } = bigBlob(hub, 'resume', 3 * MIB)
  const target = `/v2/library/alpine/blobs/${digest}?ns=docker.io`
  hub.fault({ match: { kind: 'blob', times: 1 }, do: [cutAt(2 * MIB)] })
  const connection = await server.connect()
  connection.send({ target })
  const cut = await connection.response()
  assert.equal(cut.status, 200)
  assert.equal(cut.complete, false)
  assert(cut.body.equals(bytes.subarray(0, cut.body.length)))
  assert.equal(await connection.ending(), 'fin') // RST is fatal, FIN is resumed from
  const resumed = await server.get(target, { range: `bytes=${cut.body.length}-` })
  assertBlob(resumed, { digest, bytes, part: [cut.body.length, bytes.length - 1] }, { ns: 'docker.io', cache: MISS })
})

test('containerd 2.2+ asks for referrers, then for the fallback tag', async (t) => {
  const hub = await startFakeRegistry(t, { referrers: false })
  const server = await startServer(t, { registries: [entry(hub, 'docker.io')], negativeTtlMs: 0 })
  const { digest } = hub.addImage('library/alpine', '3')
  const tag = digest.replace(':', '-')
  // proven absent: the registry has neither the API nor the tag
  const none = await server.get(`/v2/library/alpine/referrers/${digest}?ns=docker.io`, { accept: `${OCI_INDEX}, */*` })
  assert.equal(none.status, 200)
  assert.deepEqual(none.json(), { schemaVersion: 2, mediaType: OCI_INDEX, manifests: [] })
  assertError(await server.get(`/v2/library/alpine/manifests/${tag}?ns=docker.io`), 404, 'MANIFEST_UNKNOWN', { ns: 'docker.io' })
  const signature = hub.addImage('library/alpine', undefined, { fields: { subject: { digest, size: 1, mediaType: OCI_MANIFEST } } })
  const index = hub.addIndex('library/alpine', tag, [{ digest: signature.digest, artifactType: 'application/x' }])
  const listed = await server.get(`/v2/library/alpine/referrers/${digest}?ns=docker.io`, { accept: `${OCI_INDEX}, */*` })
  assert.deepEqual(
    (listed.json() as { manifests: { digest: string }[] }).manifests.map((descriptor) => descriptor.digest),
    [signature.digest],
  )
  const fallback = await server.get(`/v2/library/alpine/manifests/${tag}?ns=docker.io`)
  assert.equal(fallback.status, 200)
  assert.equal(fallback.header('docker-content-digest'), index)
})

test('containerd 2.2+ asks for referrers of several types at once', async (t) => {
  const { hub, server } = await start(t)
  const { digest } = hub.addImage('library/alpine', '3')
  const subject = { digest, size: 1, mediaType: OCI_MANIFEST }
  for (const artifactType of ['application/a', 'application/b', 'application/c']) {
    hub.addImage('library/alpine', undefined, { fields: { subject, artifactType } })
  }
  const typesOf = async (query: string) => {
    const response = await server.get(`/v2/library/alpine/referrers/${digest}?${query}&ns=docker.io`)
    const { manifests } = response.json() as { manifests: { artifactType: string }[] }
    return { types: manifests.map(({ artifactType }) => artifactType), applied: response.header('oci-filters-applied') }
  }
  const applied = 'artifactType'
  assert.deepEqual(await typesOf('artifactType=application/a&artifactType=application%2Fc'), {
    types: ['application/a', 'application/c'],
    applied,
  })
  assert.deepEqual(await typesOf('artifactType=application/x&artifactType=application/b'), { types: ['application/b'], applied })
  assert.deepEqual(await typesOf('artifactType='), { types: ['application/a', 'application/b', 'application/c'], applied: undefined })
})

test('containerd gets 404, not 5xx, for referrers and signatures when the upstream is gone', async (t) => {
  const { hub, server } = await start(t)
  const { digest } = hub.addImage('library/alpine', '3')
  await hub.stop()
  const tag = digest.replace(':', '-')
  for (const path of [`referrers/${digest}`, `referrers/${digest}?artifactType=a`, `manifests/${tag}`, `manifests/${tag}.sig`]) {
    const target = `/v2/library/alpine/${path}${path.includes('?') ? '&' : '?'}ns=docker.io`
    assertError(await server.get(target), 404, 'MANIFEST_UNKNOWN', { ns: 'docker.io' })
    assertError(await server.head(target), 404, 'MANIFEST_UNKNOWN', { method: 'HEAD', ns: 'docker.io' })
  }
})

/** Lines of the log that say that something went wrong. */
function problems(server: TestServer): string[] {
  return server.log.lines.filter(({ level }) => level === 'warn' || level === 'error').map(({ message }) => message)
}
