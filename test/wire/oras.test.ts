import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { digestOf } from '../../src/oci/digest.ts'
import { DOCKER_LIST, DOCKER_MANIFEST, OCI_ARTIFACT, OCI_INDEX, OCI_MANIFEST } from '../../src/oci/media-type.ts'
import { type FakeRegistry, type FakeRegistryOptions, startFakeRegistry } from '../support/fake-registry.ts'
import { type Action, hangAt } from '../support/fake-registry-faults.ts'
import { Gate, reply } from '../support/fake-registry-reply.ts'
import { entry, startServer, type TestServer } from '../support/server.ts'
import { assertBlob, assertError, assertHeaders, assertManifest, HIT, MISS } from './answers.ts'

const ACCEPT = [DOCKER_MANIFEST, DOCKER_LIST, OCI_MANIFEST, OCI_INDEX, OCI_ARTIFACT].join(', ')

async function start(t: TestContext, options: FakeRegistryOptions = {}): Promise<{ ghcr: FakeRegistry; server: TestServer }> {
  const ghcr = await startFakeRegistry(t, options)
  return { ghcr, server: await startServer(t, { registries: [entry(ghcr, 'ghcr.io')] }) }
}

/** Serves bytes under a name that the fake registry has no digest for. */
const serve =
  (bytes: Buffer, headers: Record<string, string>): Action =>
  (answer) =>
    void Object.assign(answer, reply(200, headers, bytes))

test('oras resolves by HEAD and demands type, length and digest; GET agrees with it', async (t) => {
  const { ghcr, server } = await start(t)
  const { digest, bytes } = ghcr.addImage('org/charts/x', '1.0', { layers: [], fields: { artifactType: 'application/vnd.cncf.helm' } })
  const manifest = { digest, mediaType: OCI_MANIFEST, bytes }
  const name = '/v2/ghcr.io/org/charts/x/manifests'
  assertManifest(await server.head(`${name}/1.0`), manifest, { method: 'HEAD', cache: MISS })
  assertManifest(await server.get(`${name}/${digest}`, { accept: OCI_MANIFEST }), manifest)
  assertManifest(await server.get(`${name}/1.0`), manifest)
  assert.equal(ghcr.count(), 1)
})

test('oras by sha512 echoes sha512', async (t) => {
  const { ghcr, server } = await start(t)
  const { bytes, digest: sha256 } = ghcr.addImage('org/app', '1')
  const layer = Buffer.alloc(150_000, 'sha512')
  const [manifest512, layer512] = [digestOf(bytes, 'sha512'), digestOf(layer, 'sha512')]
  const type = { 'content-type': OCI_MANIFEST, 'docker-content-digest': sha256 } // as some registries answer
  ghcr.fault({ match: { kind: 'manifest', reference: manifest512 }, do: [serve(bytes, type)] })
  ghcr.fault({ match: { kind: 'blob', reference: layer512 }, do: [serve(layer, {})] })
  for (const cache of [MISS, HIT]) {
    const manifest = await server.get(`/v2/ghcr.io/org/app/manifests/${manifest512}`)
    assertManifest(manifest, { digest: manifest512, mediaType: OCI_MANIFEST, bytes }, { cache })
    const blob = await server.get(`/v2/ghcr.io/org/app/blobs/${layer512}`)
    assertBlob(blob, { digest: layer512, bytes: layer }, { cache })
    const part = await server.get(`/v2/ghcr.io/org/app/blobs/${layer512}`, { range: 'bytes=10-19' })
    assert.equal(part.status, 206)
    assert.equal(part.header('docker-content-digest'), layer512)
    await server.settled()
  }
  const head = await server.head(`/v2/ghcr.io/org/app/manifests/${manifest512}`)
  assertManifest(head, { digest: manifest512, mediaType: OCI_MANIFEST, bytes }, { method: 'HEAD' })
  // the same bytes under their other name
  const other = await server.get(`/v2/ghcr.io/org/app/manifests/${sha256}`)
  assert.equal(other.header('docker-content-digest'), sha256)
  assert(other.body.equals(bytes))
})

test('oras by sha512: bytes that hash to something else are not served', async (t) => {
  const { ghcr, server } = await start(t)
  const bytes = Buffer.from('{"schemaVersion":2,"manifests":[]}')
  const wanted = digestOf(Buffer.from('something else'), 'sha512')
  ghcr.fault({ match: { reference: wanted }, do: [serve(bytes, { 'content-type': OCI_INDEX })] })
  assertError(await server.get(`/v2/ghcr.io/org/app/manifests/${wanted}`), 502, 'UNAVAILABLE')
  assertError(await server.get(`/v2/ghcr.io/org/app/blobs/${wanted}`), 502, 'UNAVAILABLE')
})

test('oras seeks in a blob with closed ranges', async (t) => {
  const { ghcr, server } = await start(t)
  const bytes = Buffer.alloc(300_000, 'seek')
  const digest = ghcr.addBlob(bytes)
  const target = `/v2/ghcr.io/org/app/blobs/${digest}`
  assertBlob(await server.get(target, { range: 'bytes=250000-299999' }), { digest, bytes, part: [250_000, 299_999] }, { cache: MISS })
  await server.settled()
  for (const [first, last] of [
    [0, 299_999],
    [1, 1],
    [299_999, 299_999],
    [65_536, 131_071],
  ] as const) {
    assertBlob(await server.get(target, { range: `bytes=${first}-${last}` }), { digest, bytes, part: [first, last] })
  }
  assert.equal(ghcr.count({ kind: 'blob' }), 1)
})

test('oras: referrers where the upstream has no API and no fallback tag: an empty list of exactly the type it wants', async (t) => {
  const { ghcr, server } = await start(t, { referrers: false })
  const { digest } = ghcr.addImage('org/app', '1')
  const response = await server.get(`/v2/ghcr.io/org/app/referrers/${digest}`)
  assert.equal(response.status, 200)
  assertHeaders(response, { 'content-type': OCI_INDEX, 'content-length': String(response.body.length) }, { cache: MISS })
  assert.deepEqual(response.json(), { schemaVersion: 2, mediaType: OCI_INDEX, manifests: [] })
})

for (const scene of ['unreachable', 'closed by the configuration', 'unknown to DNS'] as const) {
  test(`oras: referrers of a registry that is ${scene}: a 404 that is not NAME_UNKNOWN`, async (t) => {
    const ghcr = await startFakeRegistry(t)
    const server = await startServer(t, {
      registries: scene === 'unreachable' ? [entry(ghcr, 'ghcr.io')] : [],
      allowUnconfigured: scene !== 'closed by the configuration',
      resolve: async () => {
        throw Object.assign(new Error('no such host'), { code: 'ENOTFOUND' })
      },
    })
    await ghcr.stop()
    const response = await server.get(`/v2/ghcr.io/org/app/referrers/${digestOf(Buffer.from('x'))}`)
    assertError(response, 404, 'MANIFEST_UNKNOWN') // NAME_UNKNOWN would end its search with an error
  })
}

test('oras filters referrers by artifact type, and is told that they are filtered', async (t) => {
  for (const referrers of [true, false]) {
    const { ghcr, server } = await start(t, { referrers })
    const { digest } = ghcr.addImage('org/app', '1')
    const subject = { mediaType: OCI_MANIFEST, digest, size: 1 }
    const refer = (artifactType: string) => {
      const added = ghcr.addImage('org/app', undefined, { fields: { subject, artifactType } })
      return { digest: added.digest, artifactType }
    }
    const [first, second] = [refer('application/sbom'), refer('application/signature')]
    if (!referrers) ghcr.addIndex('org/app', digest.replace(':', '-'), [first, second])
    const target = `/v2/ghcr.io/org/app/referrers/${digest}`
    const digestsOf = (json: unknown) => (json as { manifests: { digest: string }[] }).manifests.map((descriptor) => descriptor.digest)
    const all = await server.get(target)
    assert.deepEqual(digestsOf(all.json()), [first.digest, second.digest])
    assert.equal(all.header('oci-filters-applied'), undefined)
    const filtered = await server.get(`${target}?artifactType=application%2Fsbom`)
    assert.deepEqual(digestsOf(filtered.json()), [first.digest])
    assert.equal(filtered.header('oci-filters-applied'), 'artifactType')
    assert.equal(filtered.header('content-type'), OCI_INDEX)
    const none = await server.get(`${target}?artifactType=application/none`)
    assert.deepEqual(digestsOf(none.json()), [])
    assert.equal(none.status, 200)
  }
})

test('oras pulls an artifact manifest, a kind that OCI has withdrawn and registries still hold', async (t) => {
  const { ghcr, server } = await start(t)
  const content = Buffer.from('a file')
  const blobs = [{ mediaType: 'text/plain', digest: ghcr.addBlob(content), size: content.length }]
  const bytes = Buffer.from(JSON.stringify({ mediaType: OCI_ARTIFACT, artifactType: 'application/x', blobs }))
  const digest = ghcr.addManifest('org/thing', '1', bytes, OCI_ARTIFACT)
  const manifest = { digest, mediaType: OCI_ARTIFACT, bytes }
  assertManifest(await server.head('/v2/ghcr.io/org/thing/manifests/1', { accept: ACCEPT }), manifest, { method: 'HEAD', cache: MISS })
  assertManifest(await server.get(`/v2/ghcr.io/org/thing/manifests/${digest}`, { accept: OCI_ARTIFACT }), manifest)
  const blob = await server.get(`/v2/ghcr.io/org/thing/blobs/${blobs[0]?.digest}`)
  assertBlob(blob, { digest: digestOf(content), bytes: content }, { cache: MISS })
})

test('oras gets the referrers of all pages of the upstream in one answer', async (t) => {
  const { ghcr, server } = await start(t, { pageSize: 2 })
  const { digest } = ghcr.addImage('org/app', '1')
  const subject = { mediaType: OCI_MANIFEST, digest, size: 1 }
  const signatures = ['a', 'b', 'c', 'd', 'e'].map((name) =>
    ghcr.addImage('org/app', undefined, { fields: { subject, artifactType: `application/${name}` } }),
  )
  const response = await server.get(`/v2/ghcr.io/org/app/referrers/${digest}`)
  assertHeaders(response, { 'content-type': OCI_INDEX, 'content-length': String(response.body.length) }, { cache: MISS })
  const { manifests } = response.json() as { manifests: { digest: string }[] }
  assert.deepEqual(
    manifests.map((descriptor) => descriptor.digest),
    signatures.map((signature) => signature.digest),
  )
})

test('oras is promised ranges where a blob is whole as well, and gets them also while it is being downloaded', async (t) => {
  const { ghcr, server } = await start(t)
  const bytes = Buffer.alloc(400_000, 'promised')
  const digest = ghcr.addBlob(bytes)
  const target = `/v2/ghcr.io/org/app/blobs/${digest}`
  const rest = new Gate()
  ghcr.fault({ match: { kind: 'blob' }, do: [hangAt(200_000, rest)] })
  const whole = await server.connect()
  whole.send({ target })
  assert.equal((await whole.head()).header('accept-ranges'), 'bytes')
  const part = await server.get(target, { range: 'bytes=1000-99999' })
  assertBlob(part, { digest, bytes, part: [1000, 99_999] }, { cache: `${MISS}; collapsed` })
  rest.open()
  assert((await whole.take(bytes.length)).equals(bytes))
})
