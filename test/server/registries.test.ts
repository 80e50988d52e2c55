/** Which registries may be asked, and where they live: configured, unconfigured, refused, closed, air-gapped, and ourselves. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { OCI_MANIFEST } from '../../src/oci/media-type.ts'
import { parseRegistry } from '../../src/oci/name.ts'
import { startFakeRegistry } from '../support/fake-registry.ts'
import { redirect, status } from '../support/fake-registry-faults.ts'
import { entry, startServer } from '../support/server.ts'
import { assertError, assertManifest, HIT, MISS } from '../wire/answers.ts'

// literals first, then names that a resolver leads to such an address
const literals = [
  '127.0.0.1:5000',
  '127.8.9.10',
  '[::1]:5000',
  '[::1]',
  '[::ffff:127.0.0.1]:5000',
  '[::ffff:7f00:1]',
  '0.0.0.0',
  '[::]:5000',
  '169.254.1.1',
  '169.254.169.254',
  '[fe80::1]',
  '224.0.0.1',
  '255.255.255.255',
  '100.100.100.200',
]

for (const ns of literals) {
  test(`a registry that a client names cannot be ${ns}: 403 DENIED, 404 for referrers`, async (t) => {
    const server = await startServer(t)
    const query = `?ns=${encodeURIComponent(ns)}`
    const shown = { ns }
    assertError(await server.get(`/v2/a/b/manifests/1${query}`), 403, 'DENIED', shown)
    assertError(await server.get(`/v2/a/b/blobs/sha256:${'0'.repeat(64)}${query}`), 403, 'DENIED', shown)
    assertError(await server.get(`/v2/a/b/tags/list${query}`), 403, 'DENIED', shown)
    assertError(await server.get(`/v2/a/b/referrers/sha256:${'0'.repeat(64)}${query}`), 404, 'MANIFEST_UNKNOWN', shown)
    assertError(await server.get(`/v2/a/b/manifests/sha256-${'0'.repeat(64)}.sig${query}`), 404, 'MANIFEST_UNKNOWN', shown)
  })
}

for (const address of ['127.0.0.1', '::1', '169.254.169.254', '::ffff:127.0.0.1', '0.0.0.0', 'fe80::1']) {
  test(`a name that leads to ${address} is refused: 403 DENIED`, async (t) => {
    const asked: string[] = []
    const server = await startServer(t, {
      resolve: async (host: string) => {
        asked.push(host)
        return [{ address, family: address.includes(':') ? 6 : 4 }]
      },
    })
    const response = await server.get('/v2/evil.example/a/b/manifests/1')
    assertError(response, 403, 'DENIED')
    assert.match(response.body.toString(), /evil\.example/)
    assert.deepEqual(asked, ['evil.example'])
  })
}

test('a registry that a client names is not asked by http, and the message shows the entry that would allow it', async (t) => {
  const plain = await startFakeRegistry(t)
  const server = await startServer(t, { resolve: async () => [{ address: '127.0.0.1', family: 4 }] })
  const response = await server.get(`/v2/a/b/manifests/1?ns=reg.example%3A${plain.port}`)
  assertError(response, 403, 'DENIED', { ns: `reg.example:${plain.port}` })
  assert.equal(plain.count(), 0)
  assert.match(response.body.toString(), /registries/)
})

test('a configured registry may be on this machine; what it redirects to may be, too', async (t) => {
  const registry = await startFakeRegistry(t)
  const cdn = await startFakeRegistry(t, { content: registry.content })
  const server = await startServer(t, { registries: [entry(registry, 'reg.example:5000')] })
  const { digest, bytes } = registry.addImage('a/b', '1')
  registry.fault({ match: { kind: 'manifest' }, do: [redirect(({ path }) => `${cdn.origin}${path}`)] })
  const response = await server.get('/v2/reg.example:5000/a/b/manifests/1')
  assertManifest(response, { digest, mediaType: OCI_MANIFEST, bytes }, { cache: MISS })
  registry.fault({ match: { kind: 'blob' }, do: [redirect('http://169.254.169.254/latest/meta-data/')] })
  const blob = await server.get(`/v2/reg.example:5000/a/b/blobs/sha256:${'0'.repeat(64)}`)
  assertError(blob, 403, 'DENIED')
})

test('allowUnconfigured: false closes every registry without an entry: 404 NAME_UNKNOWN, and 404 for referrers', async (t) => {
  const registry = await startFakeRegistry(t)
  const server = await startServer(t, { registries: [entry(registry, 'docker.io')], allowUnconfigured: false })
  const { digest, bytes } = registry.addImage('library/alpine', '3')
  const hex = '0'.repeat(64)
  for (const [target, code] of [
    ['/v2/quay.io/a/b/manifests/1', 'NAME_UNKNOWN'],
    [`/v2/quay.io/a/b/manifests/sha256:${hex}`, 'NAME_UNKNOWN'],
    [`/v2/quay.io/a/b/blobs/sha256:${hex}`, 'NAME_UNKNOWN'],
    ['/v2/quay.io/a/b/tags/list', 'NAME_UNKNOWN'],
    ['/quay.io/v2/a/b/manifests/1', 'NAME_UNKNOWN'],
    [`/v2/quay.io/a/b/referrers/sha256:${hex}`, 'MANIFEST_UNKNOWN'],
    [`/v2/quay.io/a/b/manifests/sha256-${hex}`, 'MANIFEST_UNKNOWN'],
    ['/v2/127.0.0.1:5000/a/b/manifests/1', 'NAME_UNKNOWN'],
  ] as const) {
    assertError(await server.get(target), 404, code)
    assertError(await server.head(target), 404, code, { method: 'HEAD' })
  }
  const manifest = { digest, mediaType: OCI_MANIFEST, bytes }
  assertManifest(await server.get('/v2/alpine/manifests/3?ns=index.docker.io'), manifest, { ns: 'index.docker.io', cache: MISS })
})

test('url says where a registry lives; aliases are other names of it, and references have one canonical spelling', async (t) => {
  const registry = await startFakeRegistry(t)
  const server = await startServer(t, { registries: [entry(registry, 'mirror.corp:5000', 'corp', 'old.corp')] })
  const { digest, bytes } = registry.addImage('team/app', '1')
  const manifest = { digest, mediaType: OCI_MANIFEST, bytes }
  let cache = MISS
  for (const path of ['/v2/mirror.corp:5000/team/app', '/v2/corp/team/app', '/v2/old.corp/team/app', '/OLD.corp/v2/team/app']) {
    assertManifest(await server.get(`${path}/manifests/1`), manifest, { cache })
    cache = HIT
  }
  for (const ns of ['corp', 'Corp', 'old.corp', 'mirror.corp:5000', 'MIRROR.corp:5000']) {
    assertManifest(await server.get(`/v2/team/app/manifests/1?ns=${ns}`), manifest, { ns })
  }
  // its address is no name: nobody can reach it by that
  assertError(await server.get(`/v2/${registry.host}/team/app/manifests/1`), 403, 'DENIED')
  assert.equal(registry.count(), 1)
  assert.equal(registry.requests()[0]?.headers.host, registry.host)
})

test('two entries may live at one address, and are two registries', async (t) => {
  const registry = await startFakeRegistry(t)
  const server = await startServer(t, { registries: [entry(registry, 'a.example'), entry(registry, 'b.example')] })
  registry.addImage('team/app', '1')
  assert.equal((await server.get('/v2/a.example/team/app/manifests/1')).header('cache-status'), 'ociregistry; fwd=miss')
  assert.equal((await server.get('/v2/b.example/team/app/manifests/1')).header('cache-status'), 'ociregistry; fwd=miss')
  assert.equal(registry.count(), 2)
})

test('airGapped: what is not cached is 404 at once, what is cached is served under every name of it', async (t) => {
  const hub = await startFakeRegistry(t)
  const registries = [entry(hub, 'docker.io')]
  const { digest, bytes, layers } = hub.addImage('library/alpine', 'latest')
  const online = await startServer(t, { registries })
  await online.get('/v2/alpine/manifests/latest')
  await online.get(`/v2/alpine/blobs/${layers[0]}`)
  await online.settled()
  await online.stop()
  const before = hub.count()
  const server = await startServer(t, { registries, imagePath: online.imagePath, airGapped: true, alwaysPullLatest: true, prefetch: true })
  const manifest = { digest, mediaType: OCI_MANIFEST, bytes }
  for (const path of [
    '/v2/library/alpine',
    '/v2/alpine',
    '/v2/docker.io/alpine',
    '/v2/index.docker.io/library/alpine',
    '/registry-1.docker.io/v2/alpine',
  ]) {
    assertManifest(await server.get(`${path}/manifests/latest`), manifest)
    assert.equal((await server.get(`${path}/blobs/${layers[0]}`)).status, 200)
  }
  assertManifest(await server.get('/v2/alpine/manifests/latest?ns=registry.hub.docker.com'), manifest, { ns: 'registry.hub.docker.com' })
  assert.deepEqual((await server.get('/v2/alpine/tags/list')).json(), { name: 'library/alpine', tags: ['latest'] })
  const hex = '0'.repeat(64)
  for (const [path, code] of [
    ['manifests/3', 'MANIFEST_UNKNOWN'],
    [`manifests/sha256:${hex}`, 'MANIFEST_UNKNOWN'],
    [`blobs/sha256:${hex}`, 'BLOB_UNKNOWN'],
    [`referrers/${digest}`, 'MANIFEST_UNKNOWN'],
    [`manifests/sha256-${hex}`, 'MANIFEST_UNKNOWN'],
  ] as const) {
    assertError(await server.get(`/v2/alpine/${path}`), 404, code)
    assertError(await server.head(`/v2/alpine/${path}`), 404, code, { method: 'HEAD' })
  }
  assertError(await server.get('/v2/other/tags/list'), 404, 'NAME_UNKNOWN')
  assert.equal(hub.count(), before)
})

test('a registry that is configured to live at this very server: the loop is refused', async (t) => {
  const server = await startServer(t, {
    registries: (port) => [
      {
        name: parseRegistry('loop.example'),
        aliases: [],
        scheme: 'http',
        address: `127.0.0.1:${port}`,
        tls: { insecureSkipVerify: false },
      },
    ],
  })
  const response = await server.get('/v2/loop.example/a/b/manifests/1')
  assertError(response, 403, 'DENIED')
  assert.match(response.body.toString(), /through this server already/)
  assertError(await server.get(`/v2/loop.example/a/b/blobs/sha256:${'0'.repeat(64)}`), 403, 'DENIED')
  assertError(await server.get(`/v2/loop.example/a/b/referrers/sha256:${'0'.repeat(64)}`), 404, 'MANIFEST_UNKNOWN')
  const inner = server.log.lines.filter(({ message }) => message.startsWith('GET /v2/a/b/manifests/1'))
  assert.equal(inner.length, 1, 'once around, no further')
})

test('a request that came through this server is refused; through another one it is not', async (t) => {
  const server = await startServer(t)
  assertError(await server.get('/v2/', { via: `1.1 ${server.viaName}` }), 403, 'DENIED')
  assertError(await server.get('/v2/', { via: ['1.1 other', `1.1 ${server.viaName}, 1.0 third`] }), 403, 'DENIED')
  assert.equal((await server.get('/v2/', { via: '1.1 varnish, 1.1 ociregistry-another' })).status, 200)
})

test('a registry that sends a manifest under a wrong type does not spoil it for those who pull it elsewhere', async (t) => {
  const [hub, evil] = [await startFakeRegistry(t), await startFakeRegistry(t)]
  const server = await startServer(t, { registries: [entry(hub, 'docker.io'), entry(evil, 'evil.example')] })
  const { digest, bytes } = hub.addImage('library/alpine', '3')
  evil.addManifest('x/y', '1', bytes, 'application/vnd.example.nonsense+json')
  await server.get(`/v2/evil.example/x/y/manifests/${digest}`)
  for (const cache of [MISS, HIT]) {
    assertManifest(await server.get('/v2/alpine/manifests/3'), { digest, mediaType: OCI_MANIFEST, bytes }, { cache })
  }
})

test('why a pull failed is in the log, since clients show only the status', async (t) => {
  const hub = await startFakeRegistry(t)
  const server = await startServer(t, { registries: [entry(hub, 'docker.io')] })
  hub.fault({ match: { repository: 'library/alpine' }, do: [status(503)] })
  await server.get('/v2/library/alpine/manifests/3')
  await server.get('/v2/library/none/manifests/3')
  const lines = server.log.lines.filter(({ message }) => message === 'upstream failed')
  assert.deepEqual(
    lines.map(({ level, fields }) => [level, fields.kind]),
    [
      ['warn', 'failed'],
      ['info', 'notFound'],
    ],
  )
  assert.match(String(lines[0]?.fields.error), /docker\.io.*503/)
})
