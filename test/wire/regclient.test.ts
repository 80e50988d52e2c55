import assert from 'node:assert/strict'
import { test } from 'node:test'
import { digestOf } from '../../src/oci/digest.ts'
import { DOCKER_LIST, DOCKER_MANIFEST, OCI_ARTIFACT, OCI_INDEX, OCI_MANIFEST } from '../../src/oci/media-type.ts'
import { startFakeRegistry } from '../support/fake-registry.ts'
import { generatedBytes } from '../support/fake-registry-bytes.ts'
import { cutAt } from '../support/fake-registry-faults.ts'
import { entry, startServer } from '../support/server.ts'
import { assertBlob, assertManifest, HIT, MISS } from './answers.ts'

test('regclient asks one byte past the end', async (t) => {
  const hub = await startFakeRegistry(t)
  const server = await startServer(t, { registries: [entry(hub, 'docker.io')] })
  const size = 300_000
  const digest = hub.addGeneratedBlob('regclient', size)
  const bytes = Buffer.concat([...generatedBytes('regclient', size).read(0, size)])
  for (const cache of [MISS, HIT]) {
    const response = await server.get(`/v2/library/alpine/blobs/${digest}`, { range: `bytes=100-${size}` })
    assertBlob(response, { digest, bytes, part: [100, size - 1] }, { cache }) // a 416 makes it drop the mirror
    await server.settled()
  }
  assert.equal(hub.count({ kind: 'blob' }), 1)
})

test('regclient calls Docker Hub registry-1.docker.io, and gets that name back', async (t) => {
  const hub = await startFakeRegistry(t)
  const server = await startServer(t, { registries: [entry(hub, 'docker.io')] })
  const { digest, bytes } = hub.addImage('library/alpine', '3')
  const ns = 'registry-1.docker.io'
  const head = await server.head(`/v2/library/alpine/manifests/3?ns=${ns}`)
  assertManifest(head, { digest, mediaType: OCI_MANIFEST, bytes }, { method: 'HEAD', ns, cache: MISS })
  // with a pathPrefix host and ns both come
  const get = await server.get(`/v2/docker.io/library/alpine/manifests/3?ns=${ns}`)
  assertManifest(get, { digest, mediaType: OCI_MANIFEST, bytes }, { ns })
  assert.equal(hub.count(), 1)
})

test('regctl image copy: a HEAD and a GET of the manifest, each type in a line of its own, then the blobs, three at once', async (t) => {
  const hub = await startFakeRegistry(t)
  const server = await startServer(t, { registries: [entry(hub, 'docker.io')] })
  const layers = ['one', 'two', 'three'].map((text) => Buffer.alloc(100_000, text))
  const { digest, bytes, layers: digests } = hub.addImage('library/alpine', '3', { layers })
  const v1 = ['application/vnd.docker.distribution.manifest.v1+prettyjws', 'application/vnd.docker.distribution.manifest.v1+json']
  const headers = { accept: [OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST, ...v1, OCI_ARTIFACT], 'user-agent': 'regclient/regctl' }
  const [name, ns] = ['/v2/library/alpine', 'registry-1.docker.io']
  const manifest = { digest, mediaType: OCI_MANIFEST, bytes }
  const head = await server.ask({ method: 'HEAD', target: `${name}/manifests/3?ns=${ns}`, headers })
  assertManifest(head, manifest, { method: 'HEAD', ns, cache: MISS })
  assertManifest(await server.get(`${name}/manifests/${digest}?ns=${ns}`, headers), manifest, { ns })
  for (const cache of [MISS, HIT]) {
    const blobs = await Promise.all(digests.map((blob) => server.get(`${name}/blobs/${blob}?ns=${ns}`)))
    for (const [i, blob] of blobs.entries()) {
      assertBlob(blob, { digest: digestOf(layers[i] ?? Buffer.alloc(0)), bytes: layers[i] ?? Buffer.alloc(0) }, { ns, cache })
    }
    await server.settled()
  }
  assert.equal(hub.count(), 4)
})

test('regclient resumes a layer that was cut with a range that ends one byte past the end', async (t) => {
  const hub = await startFakeRegistry(t)
  const server = await startServer(t, { registries: [entry(hub, 'docker.io')], budgets: { retryWaitsMs: [] } })
  const size = 500_000
  const digest = hub.addGeneratedBlob('cut', size)
  const bytes = Buffer.concat([...generatedBytes('cut', size).read(0, size)])
  const target = `/v2/library/alpine/blobs/${digest}?ns=registry-1.docker.io`
  hub.fault({ match: { kind: 'blob', times: 1 }, do: [cutAt(300_000)] })
  const cut = await server.get(target)
  assert.equal(cut.status, 200)
  assert.equal(cut.complete, false)
  const got = cut.body.length
  assert(got < size && cut.body.equals(bytes.subarray(0, got)))
  const rest = await server.get(target, { range: `bytes=${got}-${size}` })
  assertBlob(rest, { digest, bytes, part: [got, size - 1] }, { ns: 'registry-1.docker.io', cache: MISS })
})
