import assert from 'node:assert/strict'
import { test } from 'node:test'
import { OCI_MANIFEST } from '../../src/oci/media-type.ts'
import { startFakeRegistry } from '../support/fake-registry.ts'
import { generatedBytes } from '../support/fake-registry-bytes.ts'
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
