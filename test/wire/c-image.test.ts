import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { type Digest, digestOf } from '../../src/oci/digest.ts'
import { DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST } from '../../src/oci/media-type.ts'
import { type FakeRegistry, startFakeRegistry } from '../support/fake-registry.ts'
import { header } from '../support/fake-registry-faults.ts'
import { entry, startServer, type TestServer } from '../support/server.ts'
import { assertBlob, assertManifest, HIT, MISS } from './answers.ts'

const HEADERS = {
  accept: [
    OCI_MANIFEST,
    DOCKER_MANIFEST,
    'application/vnd.docker.distribution.manifest.v1+prettyjws',
    'application/vnd.docker.distribution.manifest.v1+json',
    DOCKER_LIST,
    OCI_INDEX,
  ],
  'docker-distribution-api-version': 'registry/2.0',
  connection: 'close',
}

async function start(t: TestContext): Promise<{ quay: FakeRegistry; server: TestServer }> {
  const quay = await startFakeRegistry(t)
  return { quay, server: await startServer(t, { registries: [entry(quay, 'quay.io')] }) }
}

test('TLS ClientHello on the http port gets HTTP/1.1 400', async (t) => {
  const { server } = await start(t)
  const connection = await server.connect()
  connection.write(Buffer.from('16030100c8010000c40303', 'hex')) // podman, Docker and containerd with skip_verify fall back to http on this
  const { bytes } = await connection.rest()
  assert.match(bytes.toString('latin1'), /^HTTP\/1\.1 400 Bad Request\r\n/)
})

test('podman, skopeo: ping, GET of the tag under the host, child, blobs; a connection each', async (t) => {
  const { quay, server } = await start(t)
  const layer = Buffer.alloc(100_000, 'layer')
  const image = quay.addImage('org/deep/er/app', undefined, { layers: [layer] })
  const index = quay.addIndex('org/deep/er/app', '1', [{ digest: image.digest }], DOCKER_LIST)
  const indexBytes = quay.content.manifest('org/deep/er/app', index)?.bytes ?? Buffer.alloc(0)
  const name = '/v2/quay.io/org/deep/er/app'
  for (const cache of [MISS, HIT]) {
    assert.equal((await server.get('/v2/', HEADERS)).status, 200)
    const top = await server.get(`${name}/manifests/1`, HEADERS)
    assertManifest(top, { digest: index, mediaType: DOCKER_LIST, bytes: indexBytes }, { closed: true, cache })
    const child = await server.get(`${name}/manifests/${image.digest}`, HEADERS)
    assertManifest(child, { digest: image.digest, mediaType: OCI_MANIFEST, bytes: image.bytes }, { closed: true, cache })
    const blob = await server.get(`${name}/blobs/${digestOf(layer)}`, { connection: 'close', 'accept-encoding': 'gzip' })
    assertBlob(blob, { digest: digestOf(layer), bytes: layer }, { closed: true, cache })
    await server.settled()
  }
  assert.equal(quay.count(), 3)
})

for (const range of ['bytes=0-9,20-29', 'bytes=0-9, 20-29', 'bytes=0-0,-1', 'bytes=20-29,0-9']) {
  test(`a client that asks for ${range} gets the whole, never a single part`, async (t) => {
    const { quay, server } = await start(t)
    const bytes = Buffer.alloc(100_000, '0123456789')
    const digest = quay.addBlob(bytes)
    for (const cache of [MISS, HIT]) {
      assertBlob(await server.get(`/v2/quay.io/org/app/blobs/${digest}`, { range }), { digest, bytes }, { cache })
      await server.settled()
    }
  })
}

// c/image fails for good on a type that it cannot parse by, so it is derived where the upstream does not say it
for (const vague of [undefined, 'text/plain', 'application/json', 'application/octet-stream', 'text/plain; charset=utf-8']) {
  test(`podman gets the real media type where the upstream says ${vague}`, async (t) => {
    const { quay, server } = await start(t)
    const image = quay.addImage('org/app', '1', { mediaType: DOCKER_MANIFEST })
    const index = quay.addManifest('org/app', 'untyped', { schemaVersion: 2, manifests: [] })
    quay.fault({ match: { kind: 'manifest' }, do: [header('content-type', vague)] })
    for (const method of ['HEAD', 'GET'] as const) {
      const response = await server.ask({ method, target: '/v2/quay.io/org/app/manifests/1' })
      assertManifest(response, { digest: image.digest, mediaType: DOCKER_MANIFEST, bytes: image.bytes }, cacheOf(method))
    }
    const untyped = await server.get('/v2/quay.io/org/app/manifests/untyped')
    assertManifest(untyped, { digest: index, mediaType: OCI_INDEX, bytes: bytesOf(quay, index) }, { cache: MISS })
  })
}

test('podman gets a manifest of 3.9 MB, byte for byte', async (t) => {
  const { quay, server } = await start(t)
  const { digest, bytes } = quay.addImage('org/app', '1', { fields: { annotations: { big: 'x'.repeat(3_900_000) } } })
  const manifest = { digest, mediaType: OCI_MANIFEST, bytes }
  assertManifest(await server.get('/v2/quay.io/org/app/manifests/1'), manifest, { cache: MISS })
  assertManifest(await server.get('/v2/quay.io/org/app/manifests/1'), manifest)
  assertManifest(await server.head('/v2/quay.io/org/app/manifests/1'), manifest, { method: 'HEAD' })
})

test('manifests are the bytes that came, whatever they look like', async (t) => {
  const { quay, server } = await start(t)
  const odd = [
    '{\n  "schemaVersion" : 2,\r\n\t"mediaType":"application/vnd.oci.image.index.v1+json", "manifests":[ ]\n}\n\n',
    '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[],"annotations":{"é":"\\u00e9 ünïcödé 日本"}}',
    '{"manifests":[],"schemaVersion":2.0,"mediaType":"application/vnd.oci.image.index.v1+json","x":1e2,"x":3}',
  ]
  for (const [i, text] of odd.entries()) {
    const bytes = Buffer.from(text)
    const digest = quay.addManifest('org/app', `${i}`, bytes, OCI_INDEX)
    for (const [method, cache] of [
      ['GET', MISS],
      ['GET', HIT],
      ['HEAD', HIT],
    ] as const) {
      const response = await server.ask({ method, target: `/v2/quay.io/org/app/manifests/${i}` })
      assertManifest(response, { digest, mediaType: OCI_INDEX, bytes }, { method, cache })
    }
  }
})

function cacheOf(method: 'GET' | 'HEAD'): { method: 'GET' | 'HEAD'; cache: string } {
  return { method, cache: method === 'HEAD' ? MISS : HIT }
}

function bytesOf(registry: FakeRegistry, digest: Digest): Buffer {
  return registry.content.manifest('org/app', digest)?.bytes ?? Buffer.alloc(0)
}
