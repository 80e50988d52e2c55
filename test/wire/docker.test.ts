import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST } from '../../src/oci/media-type.ts'
import { type FakeRegistry, startFakeRegistry } from '../support/fake-registry.ts'
import { generatedBytes } from '../support/fake-registry-bytes.ts'
import { entry, startServer, type TestServer } from '../support/server.ts'
import { assertBlob, assertError, assertManifest, HIT, headersOf, MISS } from './answers.ts'

/** One line each, in an order that changes. */
const ACCEPT = [
  'application/vnd.docker.distribution.manifest.v1+prettyjws',
  'application/json',
  OCI_MANIFEST,
  DOCKER_MANIFEST,
  DOCKER_LIST,
  OCI_INDEX,
]
const HEADERS = { accept: ACCEPT, connection: 'close', 'user-agent': 'docker/20.10.24' }

async function start(t: TestContext): Promise<{ hub: FakeRegistry; server: TestServer }> {
  const hub = await startFakeRegistry(t)
  return { hub, server: await startServer(t, { registries: [entry(hub, 'docker.io')] }) }
}

test('Docker sends six Accept lines and closes the connection', async (t) => {
  const { hub, server } = await start(t)
  const { digest, bytes } = hub.addImage('library/alpine', '3', { mediaType: DOCKER_MANIFEST })
  const manifest = { digest, mediaType: DOCKER_MANIFEST, bytes }
  const connection = await server.connect()
  const head = await connection.ask({ method: 'HEAD', target: '/v2/library/alpine/manifests/3', headers: HEADERS })
  assertManifest(head, manifest, { method: 'HEAD', closed: true, cache: MISS })
  assert.equal(await connection.ending(), 'fin')
  const get = await (await server.connect()).ask({ target: `/v2/library/alpine/manifests/${digest}`, headers: HEADERS })
  assertManifest(get, manifest, { closed: true })
  assert.equal(hub.count(), 1)
})

test('Docker pings first: answered at once, with no upstream call and no challenge', async (t) => {
  const hub = await startFakeRegistry(t, { auth: { scheme: 'bearer', users: { user: 'secret' } } })
  const server = await startServer(t, { registries: [entry(hub, 'docker.io')] })
  for (const target of ['/v2/', '/v2', '/docker.io/v2/', '/v2/?ns=docker.io']) {
    for (const method of ['GET', 'HEAD'] as const) {
      const response = await server.ask({ method, target })
      assert.equal(response.status, 200)
      assert.deepEqual(headersOf(response), {
        'docker-distribution-api-version': 'registry/2.0',
        'content-type': 'application/json',
        'content-length': '2',
        'cache-status': 'ociregistry',
        connection: 'keep-alive',
        'keep-alive': 'timeout=130',
      })
      assert.equal(response.body.toString(), method === 'HEAD' ? '' : '{}')
    }
  }
  assert.equal(hub.count(), 0)
})

test('Docker resumes a layer and checks that the last byte named is the last one', async (t) => {
  const { hub, server } = await start(t)
  const size = 1_000_000
  const digest = hub.addGeneratedBlob('docker', size)
  const bytes = Buffer.concat([...generatedBytes('docker', size).read(0, size)])
  const connection = await server.connect()
  connection.send({ target: `/v2/library/alpine/blobs/${digest}`, headers: { connection: 'close' } })
  await connection.head()
  const got = await connection.take(384_000)
  connection.close('rst')
  const response = await server.get(`/v2/library/alpine/blobs/${digest}`, { range: `bytes=${got.length}-`, connection: 'close' })
  const cache = response.header('cache-status')?.replace('ociregistry; ', '') ?? '' // the fill may be stored by now
  assertBlob(response, { digest, bytes, part: [384_000, size - 1] }, { closed: true, cache })
  assert.equal(hub.count({ kind: 'blob' }), 1)
})

for (const scheme of ['basic', 'bearer', 'both'] as const) {
  test(`Docker is never shown a challenge of the upstream (${scheme}): it would send its Docker Hub password to us`, async (t) => {
    const hub = await startFakeRegistry(t, { auth: { scheme, users: { user: 'secret' } } })
    const server = await startServer(t, { registries: [entry(hub, 'docker.io')] })
    const { digest, layers } = hub.addImage('library/private', '1')
    for (const path of ['manifests/1', `manifests/${digest}`, `blobs/${layers[0]}`, 'tags/list']) {
      assertError(await server.get(`/v2/library/private/${path}`, { authorization: 'Basic dXNlcjpzZWNyZXQ=' }), 403, 'DENIED')
      assertError(await server.head(`/v2/library/private/${path}`), 403, 'DENIED', { method: 'HEAD' })
    }
    assert(!hub.authorizations().includes('Basic dXNlcjpzZWNyZXQ='), 'what a client sends stays here')
  })
}

test('Docker 24.0.8+ puts the path of its registry mirror before /v2/', async (t) => {
  const { hub, server } = await start(t)
  const layer = Buffer.alloc(200_000, 'layer')
  const image = hub.addImage('library/alpine', undefined, { layers: [layer], mediaType: DOCKER_MANIFEST })
  const list = hub.addIndex('library/alpine', '3', [{ digest: image.digest }], DOCKER_LIST)
  const listBytes = hub.content.manifest('library/alpine', list)?.bytes ?? Buffer.alloc(0)
  const mirror = '/docker.io/v2'
  const [layerDigest] = image.layers
  assert(layerDigest !== undefined)
  for (const cache of [MISS, HIT]) {
    assert.equal((await server.get(`${mirror}/`, HEADERS)).status, 200)
    const top = { digest: list, mediaType: DOCKER_LIST, bytes: listBytes }
    const name = `${mirror}/library/alpine`
    const head = await server.ask({ method: 'HEAD', target: `${name}/manifests/3`, headers: HEADERS })
    assertManifest(head, top, { method: 'HEAD', closed: true, cache })
    assertManifest(await server.get(`${name}/manifests/${list}`, HEADERS), top, { closed: true })
    const child = await server.get(`${name}/manifests/${image.digest}`, HEADERS)
    assertManifest(child, { ...image, mediaType: DOCKER_MANIFEST }, { closed: true, cache })
    const blob = { digest: layerDigest, bytes: layer }
    assertBlob(await server.get(`${name}/blobs/${layerDigest}`, { connection: 'close' }), blob, { closed: true, cache })
    await server.settled()
    const rest = await server.get(`${name}/blobs/${layerDigest}`, { connection: 'close', range: 'bytes=150000-' })
    assertBlob(rest, { ...blob, part: [150_000, layer.length - 1] }, { closed: true })
  }
  assert.equal(hub.count(), 3)
})

test('Docker up to 28 would take a schema 1 manifest; one that the upstream has is 404, as newer clients need it', async (t) => {
  const { hub, server } = await start(t)
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 1, name: 'library/old', tag: '1', fsLayers: [], history: [], signatures: [] }))
  hub.addManifest('library/old', '1', bytes, 'application/vnd.docker.distribution.manifest.v1+prettyjws')
  assertError(await server.get('/v2/library/old/manifests/1', HEADERS), 404, 'MANIFEST_UNKNOWN', { closed: true })
  const head = await server.ask({ method: 'HEAD', target: '/v2/library/old/manifests/1', headers: HEADERS })
  assertError(head, 404, 'MANIFEST_UNKNOWN', { closed: true, method: 'HEAD' })
})

type Mirror = { readonly how: string; readonly name: string; readonly ns: string; readonly registry: string; readonly repository: string }

const mirrors: Mirror[] = [
  { how: 'registry-mirrors', name: '/v2/library/alpine', ns: 'docker.io', registry: 'docker.io', repository: 'library/alpine' },
  {
    how: 'registry-mirrors with a path',
    name: '/docker.io/v2/library/alpine',
    ns: 'docker.io',
    registry: 'docker.io',
    repository: 'library/alpine',
  },
  { how: 'hosts.toml in certs.d', name: '/v2/org/app', ns: 'quay.io', registry: 'quay.io', repository: 'org/app' },
  { how: 'hosts.toml with override_path', name: '/v2/quay.io/org/app', ns: 'quay.io', registry: 'quay.io', repository: 'org/app' },
]

/** An image that BuildKit has made: beside it an attestation, and a signature of that. */
function addAttestedImage(registry: FakeRegistry, repository: string) {
  const image = registry.addImage(repository, undefined, { layers: [Buffer.alloc(200_000, 'layer')] })
  const attestation = registry.addImage(repository, undefined, {
    layers: [Buffer.from('in-toto')],
    layerMediaType: 'application/vnd.in-toto+json',
  })
  const index = registry.addIndex(repository, '3', [
    { digest: image.digest, platform: { os: 'linux', architecture: 'amd64' } },
    {
      digest: attestation.digest,
      platform: { os: 'unknown', architecture: 'unknown' },
      annotations: { 'vnd.docker.reference.type': 'attestation-manifest', 'vnd.docker.reference.digest': image.digest },
    },
  ])
  const signature = registry.addImage(repository, undefined, {
    layers: [Buffer.from('sigstore bundle')],
    fields: {
      artifactType: 'application/vnd.dev.sigstore.bundle.v0.3+json',
      annotations: { kind: 'signature' },
      subject: { mediaType: OCI_MANIFEST, digest: attestation.digest, size: attestation.bytes.length },
    },
  })
  return { image, attestation, index, indexBytes: registry.content.manifest(repository, index)?.bytes ?? Buffer.alloc(0), signature }
}

for (const { how, name, ns, registry, repository } of mirrors) {
  test(`Docker 29.1 with ${how} pulls an image with its attestation and what refers to that, also with the upstream off`, async (t) => {
    const upstream = await startFakeRegistry(t)
    const server = await startServer(t, { registries: [entry(upstream, registry)] })
    const { image, attestation, index, indexBytes, signature } = addAttestedImage(upstream, repository)
    const blobs = new Set([image, attestation, signature].flatMap(({ config, layers }) => [config, ...layers])) // they share a config
    const connection = await server.connect() // kept from 29 on
    const ask = (path: string, accept: string) => connection.ask({ target: `${name}/${path}?ns=${ns}`, headers: { accept } })
    const pull = async (cache: string): Promise<void> => {
      const top = { digest: index, mediaType: OCI_INDEX, bytes: indexBytes }
      const resolved = await connection.ask({ method: 'HEAD', target: `${name}/manifests/3?ns=${ns}`, headers: { accept: '*/*' } })
      assertManifest(resolved, top, { method: 'HEAD', ns, cache })
      assertManifest(await ask(`manifests/${index}`, `${OCI_INDEX}, */*`), top, { ns })
      for (const one of [image, attestation]) {
        assertManifest(await ask(`manifests/${one.digest}`, `${OCI_MANIFEST}, */*`), { ...one, mediaType: OCI_MANIFEST }, { ns, cache })
      }
      const referrers = await ask(`referrers/${attestation.digest}`, `${OCI_INDEX}, */*`)
      assert.equal(referrers.status, 200)
      assert.equal(referrers.header('content-type'), OCI_INDEX)
      assert.equal(referrers.header('oci-namespace'), ns)
      assert.deepEqual(referrers.json(), {
        schemaVersion: 2,
        mediaType: OCI_INDEX,
        manifests: [
          {
            mediaType: OCI_MANIFEST,
            digest: signature.digest,
            size: signature.bytes.length,
            artifactType: 'application/vnd.dev.sigstore.bundle.v0.3+json',
            annotations: { kind: 'signature' },
          },
        ],
      })
      const bundle = await ask(`manifests/${signature.digest}`, `${OCI_MANIFEST}, */*`)
      assertManifest(bundle, { ...signature, mediaType: OCI_MANIFEST }, { ns, cache })
      for (const digest of blobs) {
        const bytes = Buffer.concat([...(upstream.content.blob(undefined, digest)?.read(0, 1_000_000) ?? [])])
        assertBlob(await ask(`blobs/${digest}`, '*/*'), { digest, bytes }, { ns, cache })
      }
    }
    await pull(MISS)
    await server.settled()
    await upstream.stop()
    await pull(HIT)
  })

  test(`Docker 29.1 with ${how} pulls with the upstream off although nobody ever asked what refers to the attestation`, async (t) => {
    const upstream = await startFakeRegistry(t)
    const server = await startServer(t, { registries: [entry(upstream, registry)] })
    const { image, attestation, index } = addAttestedImage(upstream, repository)
    for (const reference of ['3', image.digest, attestation.digest])
      assert.equal((await server.get(`${name}/manifests/${reference}?ns=${ns}`)).status, 200)
    await server.settled()
    await upstream.stop()
    const resolved = await server.head(`${name}/manifests/3?ns=${ns}`)
    assert.equal(resolved.header('docker-content-digest'), index)
    // "none", in both ways in which it asks: anything but 404 would fail the pull
    const tag = attestation.digest.replace(':', '-')
    for (const path of [`referrers/${attestation.digest}`, `manifests/${tag}`]) {
      assertError(await server.get(`${name}/${path}?ns=${ns}`, { accept: `${OCI_INDEX}, */*` }), 404, 'MANIFEST_UNKNOWN', { ns })
    }
  })
}
