import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { digestOf } from '../../src/oci/digest.ts'
import { DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST } from '../../src/oci/media-type.ts'
import { type FakeRegistry, startFakeRegistry } from '../support/fake-registry.ts'
import { chunked, header } from '../support/fake-registry-faults.ts'
import { entry, startServer, type TestServer } from '../support/server.ts'
import { assertBlob, assertHeaders, assertManifest, HIT, MISS } from './answers.ts'

const ACCEPT =
  'application/vnd.docker.distribution.manifest.v1+json,application/vnd.docker.distribution.manifest.v1+prettyjws,' +
  'application/vnd.docker.distribution.manifest.v2+json,application/vnd.oci.image.manifest.v1+json,' +
  'application/vnd.docker.distribution.manifest.list.v2+json,application/vnd.oci.image.index.v1+json'

async function start(t: TestContext, pageSize = 1000): Promise<{ gcr: FakeRegistry; server: TestServer }> {
  const gcr = await startFakeRegistry(t, { pageSize })
  return { gcr, server: await startServer(t, { registries: [entry(gcr, 'gcr.io')] }) }
}

for (const mediaType of [OCI_INDEX, DOCKER_LIST, OCI_MANIFEST, DOCKER_MANIFEST]) {
  test(`crane digest: HEAD has type, length and digest, the type without parameters (${mediaType})`, async (t) => {
    const { gcr, server } = await start(t)
    const json = mediaType.includes('manifest.v') ? { config: {}, layers: [] } : { manifests: [] }
    const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, ...json }))
    const digest = gcr.addManifest('org/app', '1', bytes, mediaType)
    gcr.fault({ match: { kind: 'manifest' }, do: [header('content-type', `${mediaType}; charset=utf-8`)] })
    for (const cache of [MISS, HIT]) {
      const response = await server.head('/v2/gcr.io/org/app/manifests/1', { accept: ACCEPT })
      assertManifest(response, { digest, mediaType, bytes }, { method: 'HEAD', cache })
    }
    assertManifest(await server.get('/v2/gcr.io/org/app/manifests/1', { accept: ACCEPT }), { digest, mediaType, bytes })
    assert.equal(gcr.count(), 1)
  })
}

test('crane gets length and digest where the upstream sends neither', async (t) => {
  const { gcr, server } = await start(t)
  const { digest, bytes } = gcr.addImage('org/app', '1')
  gcr.fault({ match: { kind: 'manifest' }, do: [chunked(), header('docker-content-digest', undefined)] })
  for (const cache of [MISS, HIT]) {
    const response = await server.head('/v2/gcr.io/org/app/manifests/1', { accept: ACCEPT })
    assertManifest(response, { digest, mediaType: OCI_MANIFEST, bytes }, { method: 'HEAD', cache })
  }
})

test('crane ls follows Link through every page, in the shape in which it asked', async (t) => {
  const { gcr, server } = await start(t, 7)
  const tags = Array.from({ length: 25 }, (_, i) => `v1.${i}`).sort()
  for (const tag of tags) gcr.addImage('org/app', tag)
  for (const first of ['/v2/gcr.io/org/app/tags/list?n=10', '/gcr.io/v2/org/app/tags/list?n=10', '/v2/org/app/tags/list?ns=gcr.io&n=10']) {
    const seen: string[] = []
    let pages = 0
    for (let next: string | undefined = first; next !== undefined; pages++) {
      const response = await server.get(next)
      assert.equal(response.status, 200)
      const link = response.header('link')
      const ns = first.includes('ns=') ? { ns: 'gcr.io' } : {}
      assertHeaders(
        response,
        { 'content-type': 'application/json', 'content-length': String(response.body.length), ...(link === undefined ? {} : { link }) },
        { cache: MISS, ...ns },
      )
      const body = response.json() as { name: string; tags: string[] }
      assert.equal(body.name, 'org/app')
      seen.push(...body.tags)
      next = link === undefined ? undefined : /^<([^>]+)>; rel="next"$/.exec(link)?.[1]
    }
    assert.deepEqual(seen, tags)
    assert.equal(pages, 3)
  }
})

test('crane pull: ping, manifest by tag, child and blobs, all by GET', async (t) => {
  const { gcr, server } = await start(t)
  const layer = Buffer.alloc(100_000, 'layer')
  const image = gcr.addImage('org/app', undefined, { layers: [layer] })
  const index = gcr.addIndex('org/app', '1', [{ digest: image.digest, platform: { os: 'linux', architecture: 'amd64' } }])
  const indexBytes = gcr.content.manifest('org/app', index)?.bytes ?? Buffer.alloc(0)
  const name = '/v2/gcr.io/org/app'
  for (const cache of [MISS, HIT]) {
    assert.equal((await server.get('/v2/')).status, 200)
    const top = await server.get(`${name}/manifests/1`, { accept: ACCEPT })
    assertManifest(top, { digest: index, mediaType: OCI_INDEX, bytes: indexBytes }, { cache })
    const child = await server.get(`${name}/manifests/${image.digest}`, { accept: ACCEPT })
    assertManifest(child, { ...image, mediaType: OCI_MANIFEST }, { cache })
    const blob = await server.get(`${name}/blobs/${digestOf(layer)}`, { 'accept-encoding': 'gzip' })
    assertBlob(blob, { digest: digestOf(layer), bytes: layer }, { cache })
    await server.settled()
  }
  assert.equal(gcr.count(), 3)
})

test('crane gets referrers with a type without parameters, whatever the upstream says', async (t) => {
  const { gcr, server } = await start(t)
  const { digest } = gcr.addImage('org/app', '1')
  const subject = { mediaType: OCI_MANIFEST, digest, size: 1 }
  const signature = gcr.addImage('org/app', undefined, { fields: { subject, artifactType: 'application/signature' } })
  gcr.fault({ match: { kind: 'referrers' }, do: [header('content-type', `${OCI_INDEX}; charset=utf-8`)] })
  const response = await server.get(`/v2/gcr.io/org/app/referrers/${digest}`)
  assert.equal(response.status, 200)
  assertHeaders(response, { 'content-type': OCI_INDEX, 'content-length': String(response.body.length) }, { cache: MISS })
  assert.equal((response.json() as { manifests: { digest: string }[] }).manifests[0]?.digest, signature.digest)
})
