import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type { Digest } from '../../src/oci/digest.ts'
import { DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST } from '../../src/oci/media-type.ts'
import { type FakeRegistry, startFakeRegistry } from '../support/fake-registry.ts'
import { generatedBytes } from '../support/fake-registry-bytes.ts'
import { cutAt, status } from '../support/fake-registry-faults.ts'
import type { RawConnection } from '../support/raw-http.ts'
import { entry, type ServerOptions, startServer, type TestServer } from '../support/server.ts'
import { assertBlob, assertError, assertManifest, HIT, MISS } from './answers.ts'

const HEADERS = { 'user-agent': 'buildkit/v0.13', 'accept-encoding': 'zstd;q=1.0, gzip;q=0.8, deflate;q=0.5' }
const RESOLVE = { 'user-agent': 'buildkit/v0.13', accept: [DOCKER_MANIFEST, DOCKER_LIST, OCI_MANIFEST, OCI_INDEX, '*/*'].join(', ') }
const SIZE = 300_000

async function start(t: TestContext, options: ServerOptions = {}): Promise<{ hub: FakeRegistry; server: TestServer }> {
  const hub = await startFakeRegistry(t)
  return { hub, server: await startServer(t, { registries: [entry(hub, 'docker.io')], ...options }) }
}

function addLayer(hub: FakeRegistry, seed: string): { digest: Digest; bytes: Buffer } {
  return { digest: hub.addGeneratedBlob(seed, SIZE), bytes: Buffer.concat([...generatedBytes(seed, SIZE).read(0, SIZE)]) }
}

for (const name of ['/v2/docker.io/library/alpine', '/v2/library/alpine', '/docker.io/v2/library/alpine']) {
  test(`BuildKit pulls through ${name} with ns: one connection for manifests, four for layers, all kept`, async (t) => {
    const { hub, server } = await start(t)
    const layers = Array.from({ length: 12 }, (_, i) => addLayer(hub, `layer ${i}`))
    const image = hub.addImage('library/alpine', undefined, { layers: layers.map(({ digest }) => digest) })
    const index = hub.addIndex('library/alpine', '3', [{ digest: image.digest, platform: { os: 'linux', architecture: 'amd64' } }])
    const indexBytes = hub.content.manifest('library/alpine', index)?.bytes ?? Buffer.alloc(0)
    const ns = 'docker.io'
    const connections = await Promise.all(Array.from({ length: 5 }, () => server.connect()))
    const [forManifests, ...forLayers] = connections as [RawConnection, ...RawConnection[]]

    for (const cache of [MISS, HIT]) {
      const top = { digest: index, mediaType: OCI_INDEX, bytes: indexBytes }
      const resolved = await forManifests.ask({ method: 'HEAD', target: `${name}/manifests/3?ns=${ns}`, headers: RESOLVE })
      assertManifest(resolved, top, { method: 'HEAD', ns, cache })
      assertManifest(await forManifests.ask({ target: `${name}/manifests/${index}?ns=${ns}`, headers: HEADERS }), top, { ns })
      const child = await forManifests.ask({ target: `${name}/manifests/${image.digest}?ns=${ns}`, headers: HEADERS })
      assertManifest(child, { ...image, mediaType: OCI_MANIFEST }, { ns, cache })
      await Promise.all(
        forLayers.map(async (connection, i) => {
          for (const { digest, bytes } of layers.filter((_, n) => n % forLayers.length === i)) {
            const blob = await connection.ask({ target: `${name}/blobs/${digest}?ns=${ns}`, headers: HEADERS })
            assertBlob(blob, { digest, bytes }, { ns, cache })
          }
        }),
      )
      await server.settled()
    }
    assert.equal(hub.count({ kind: 'manifest' }), 2)
    assert.equal(hub.count({ kind: 'blob' }), layers.length)
  })
}

for (const [what, fault] of [
  ['500', status(500)],
  ['503', status(503)],
  ['the end of the connection in the middle', cutAt(SIZE / 2)],
  ['a reset in the middle', cutAt(SIZE / 2, 'rst')],
] as const) {
  test(`BuildKit asks again for what failed because the upstream answered with ${what}, and gets it`, async (t) => {
    const { hub, server } = await start(t, { budgets: { retryWaitsMs: [] } })
    const { digest, bytes } = addLayer(hub, 'retried')
    const target = `/v2/docker.io/library/alpine/blobs/${digest}?ns=docker.io`
    hub.fault({ match: { reference: digest, times: 1 }, do: [fault] })
    hub.fault({ match: { reference: digest, nth: 2 }, do: [status(503)] }) // the rest of what was cut
    for (let attempt = 1; attempt <= 2; attempt++) {
      const connection = await server.connect()
      const failed = await connection.ask({ target, headers: HEADERS })
      if (failed.status === 200) {
        assert.equal(failed.complete, false)
        assert.equal(await connection.ending(), 'fin')
      } else assertError(failed, 502, 'UNAVAILABLE', { ns: 'docker.io' })
    }
    assertBlob(await server.get(target, HEADERS), { digest, bytes }, { ns: 'docker.io', cache: MISS })
    await server.settled()
    assertBlob(await server.get(target, HEADERS), { digest, bytes }, { ns: 'docker.io' })
  })
}
