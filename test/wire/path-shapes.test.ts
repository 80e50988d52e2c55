/** The five path shapes that arrive from real configurations, over HTTP: each names the same image in the same store. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { OCI_MANIFEST } from '../../src/oci/media-type.ts'
import { startFakeRegistry } from '../support/fake-registry.ts'
import { entry, startServer } from '../support/server.ts'
import { assertBlob, assertError, assertManifest, HIT, MISS } from './answers.ts'

type Shape = [client: string, path: string, ns?: string]

const hub: Shape[] = [
  ['containerd hosts.toml, Docker 29, BuildKit', '/v2/library/alpine', 'docker.io'],
  ['regclient', '/v2/library/alpine', 'registry-1.docker.io'],
  ['a client with an old name', '/v2/library/alpine', 'index.docker.io'],
  ['a client with the name of its web pages', '/v2/library/alpine', 'registry.hub.docker.com'],
  ['a client with the name in another case', '/v2/library/alpine', 'Docker.IO'],
  ['podman, skopeo, crane, oras', '/v2/docker.io/library/alpine'],
  ['skopeo with the name of the host', '/v2/registry-1.docker.io/library/alpine'],
  ['kaniko --registry-map index.docker.io', '/v2/index.docker.io/library/alpine'],
  ['a person who leaves out library/', '/v2/docker.io/alpine'],
  ['containerd override_path, BuildKit with a path', '/v2/docker.io/library/alpine', 'docker.io'],
  ['regclient with a pathPrefix', '/v2/docker.io/library/alpine', 'registry-1.docker.io'],
  ['containerd without override_path', '/docker.io/v2/library/alpine', 'docker.io'],
  ['Docker registry-mirrors with a path', '/docker.io/v2/library/alpine'],
  ['Docker 29 registry-mirrors with a path', '/registry-1.docker.io/v2/library/alpine', 'docker.io'],
  ['Docker registry-mirrors, kaniko', '/v2/library/alpine'],
]

const quay: Shape[] = [
  ['containerd', '/v2/a/b/c/d/e', 'quay.io'],
  ['containerd with another case', '/v2/a/b/c/d/e', 'Quay.IO'],
  ['podman', '/v2/quay.io/a/b/c/d/e'],
  ['k3s with a path', '/v2/quay.io/a/b/c/d/e', 'quay.io'],
  ['containerd with a path', '/quay.io/v2/a/b/c/d/e', 'quay.io'],
  ['containerd with an alias in the path', '/q/v2/a/b/c/d/e'],
  ['podman with an alias', '/v2/q/a/b/c/d/e'],
]

for (const [name, repository, shapes] of [
  ['docker.io', 'library/alpine', hub],
  ['quay.io', 'a/b/c/d/e', quay],
] as const) {
  test(`every shape of a request for ${name} means one image, and one download`, async (t) => {
    const registry = await startFakeRegistry(t)
    const server = await startServer(t, { registries: [entry(registry, name, ...(name === 'quay.io' ? ['q'] : []))] })
    const { digest, bytes, layers } = registry.addImage(repository, '3')
    const [layer] = layers
    assert(layer !== undefined)
    let cache = MISS
    for (const [client, path, ns] of shapes) {
      await t.test(`${client}: ${path}${ns === undefined ? '' : ` with ns=${ns}`}`, async () => {
        const wanted = { cache, ...(ns === undefined ? {} : { ns }) }
        const query = ns === undefined ? '' : `?ns=${ns}`
        const manifest = { digest, mediaType: OCI_MANIFEST, bytes }
        assertManifest(await server.get(`${path}/manifests/3${query}`), manifest, wanted)
        assertManifest(await server.get(`${path}/manifests/${digest}${query}`), manifest, { ...wanted, cache: HIT })
        const blob = await server.get(`${path}/blobs/${layer}${query}`)
        assertBlob(blob, { digest: layer, bytes: Buffer.from(`layer of ${repository}:3`) }, wanted)
        assert.equal((await server.get(`${path}/tags/list${query}`)).body.toString(), JSON.stringify({ name: repository, tags: ['3'] }))
        assert.equal((await server.get(`${path}/referrers/${digest}${query}`)).status, 200)
        await server.settled()
      })
      cache = HIT
    }
    assert.equal(registry.count({ kind: 'manifest' }), 1)
    assert.equal(registry.count({ kind: 'blob' }), 1)
  })
}

test('X-Registry names the registry where nothing else does', async (t) => {
  const quayRegistry = await startFakeRegistry(t)
  const server = await startServer(t, { registries: [entry(quayRegistry, 'quay.io')] })
  const { digest, bytes } = quayRegistry.addImage('a/b', '1')
  const response = await server.get('/v2/a/b/manifests/1', { 'x-registry': 'quay.io' })
  assertManifest(response, { digest, mediaType: OCI_MANIFEST, bytes }, { cache: MISS })
  assertError(await server.get('/v2/a/b/manifests/1', { 'x-registry': 'not a host' }), 404, 'NAME_UNKNOWN')
})

test('another registry than docker.io may be the default', async (t) => {
  const quayRegistry = await startFakeRegistry(t)
  const server = await startServer(t, { registries: [entry(quayRegistry, 'quay.io', 'q')], defaultNs: 'q' })
  const { digest, bytes } = quayRegistry.addImage('single', '1')
  assertManifest(await server.get('/v2/single/manifests/1'), { digest, mediaType: OCI_MANIFEST, bytes }, { cache: MISS })
})

test('an ns that names this very server counts as absent, in whatever case', async (t) => {
  const registry = await startFakeRegistry(t)
  const server = await startServer(t, { registries: [entry(registry, 'docker.io')] })
  const { digest, bytes } = registry.addImage('library/alpine', '3')
  const manifest = { digest, mediaType: OCI_MANIFEST, bytes }
  assertManifest(await server.get(`/v2/alpine/manifests/3?ns=127.0.0.1%3A${server.port}`), manifest, { cache: MISS })
  const named = await server.get('/v2/alpine/manifests/3?ns=Cache.example:8080', { host: 'cache.EXAMPLE:8080' })
  assertManifest(named, manifest, { cache: HIT })
  assertManifest(await server.get('/v2/alpine/manifests/3?ns='), manifest, { cache: HIT })
})

test('a prefix that contradicts ns, or is no host, is 404 and asks nobody', async (t) => {
  const registry = await startFakeRegistry(t)
  const server = await startServer(t, { registries: [entry(registry, 'docker.io'), entry(registry, 'quay.io')] })
  registry.addImage('library/alpine', '3')
  for (const [target, ns] of [
    ['/quay.io/v2/library/alpine/manifests/3?ns=docker.io', undefined],
    ['/mirror/v2/library/alpine/manifests/3', undefined],
    ['//v2/library/alpine/manifests/3', undefined],
    ['/v2/library/alpine/manifests/3?ns=not%20a%20host', undefined],
    ['/v2/library/alpine/manifests/3?ns=https://docker.io', undefined],
  ] as const) {
    assertError(await server.get(target), 404, 'NAME_UNKNOWN', ns === undefined ? {} : { ns })
  }
  assert.equal(registry.count(), 0)
})
