import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST } from '../../src/oci/media-type.ts'
import { type FakeRegistry, startFakeRegistry } from '../support/fake-registry.ts'
import { generatedBytes } from '../support/fake-registry-bytes.ts'
import { entry, startServer, type TestServer } from '../support/server.ts'
import { assertBlob, assertError, assertManifest, headersOf, MISS } from './answers.ts'

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
        via: '1.1 ociregistry-under-test',
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

test('Docker 29.1 pulls an image with its attestation and the referrers of that, with the upstream switched off', async (t) => {
  const { hub, server } = await start(t)
  const image = hub.addImage('library/alpine', undefined)
  const attestation = hub.addImage('library/alpine', undefined, { layers: [Buffer.from('in-toto')] })
  const index = hub.addIndex('library/alpine', '3', [
    { digest: image.digest, platform: { os: 'linux', architecture: 'amd64' } },
    {
      digest: attestation.digest,
      platform: { os: 'unknown', architecture: 'unknown' },
      annotations: { 'vnd.docker.reference.type': 'attestation-manifest', 'vnd.docker.reference.digest': image.digest },
    },
  ])
  const signature = hub.addImage('library/alpine', undefined, {
    layers: [Buffer.from('sigstore bundle')],
    fields: {
      artifactType: 'application/vnd.dev.sigstore.bundle.v0.3+json',
      annotations: { kind: 'signature' },
      subject: { mediaType: OCI_MANIFEST, digest: attestation.digest, size: attestation.bytes.length },
    },
  })
  const blobs = [image, attestation, signature].flatMap(({ config, layers }) => [config, ...layers])
  const pull = async (): Promise<void> => {
    assert.equal((await server.head('/v2/library/alpine/manifests/3?ns=docker.io')).header('docker-content-digest'), index)
    for (const digest of [index, image.digest, attestation.digest]) {
      assert.equal((await server.get(`/v2/library/alpine/manifests/${digest}?ns=docker.io`)).status, 200)
    }
    const referrers = await server.get(`/v2/library/alpine/referrers/${attestation.digest}?ns=docker.io`)
    assert.equal(referrers.status, 200)
    assert.equal(referrers.header('content-type'), OCI_INDEX)
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
    assert.equal((await server.get(`/v2/library/alpine/manifests/${signature.digest}?ns=docker.io`)).status, 200)
    for (const digest of blobs) assert.equal((await server.get(`/v2/library/alpine/blobs/${digest}?ns=docker.io`)).status, 200)
  }
  await pull()
  await server.settled()
  await hub.stop()
  await pull()
})
