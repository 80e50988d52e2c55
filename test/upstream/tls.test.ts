/** TLS to a registry: whom it believes, what it shows, and what its entry would have to say. */
import assert from 'node:assert/strict'
import { createServer } from 'node:net'
import { type TestContext, test } from 'node:test'
import type { RegistryTls } from '../../src/config/config.ts'
import { parseRegistry } from '../../src/oci/name.ts'
import { type Authority, type Certificate, makeAuthority } from '../support/certificates.ts'
import { type FakeRegistry, type FakeRegistryOptions, startFakeRegistry } from '../support/fake-registry.ts'
import { FakeAuth } from '../support/fake-registry-auth.ts'
import { redirectToCdn } from '../support/fake-registry-faults.ts'
import { temporaryDirectory } from '../support/files.ts'
import { bytesOfBody, entryOf, makeUpstreams, password, REPOSITORY, TAG, unconfiguredOnLoopback, upstreamOf } from './support.ts'

type Setup = { authority: Authority; leaf: Certificate; start: (options?: FakeRegistryOptions) => Promise<FakeRegistry> }

async function setUp(t: TestContext, ...names: string[]): Promise<Setup> {
  const authority = await makeAuthority(await temporaryDirectory(t))
  const leaf = await authority.issue(...(names.length === 0 ? ['127.0.0.1', 'localhost'] : names))
  const start = async (options: FakeRegistryOptions = {}): Promise<FakeRegistry> => {
    const registry = await startFakeRegistry(t, { tls: leaf, ...options })
    registry.addImage('team/app', 'v1')
    return registry
  }
  return { authority, leaf, start }
}

function get(t: TestContext, registry: FakeRegistry, tls: Partial<RegistryTls> = {}, env: Record<string, string> = {}): Promise<unknown> {
  return upstreamOf(t, registry, { tls }, { env }).getManifest(REPOSITORY, TAG)
}

test("a registry with a private CA: by tls.ca, by the system's store, and by neither", async (t) => {
  const { authority, start } = await setUp(t)
  const registry = await start()
  await get(t, registry, { ca: authority.certPath })
  await get(t, registry, {}, { SSL_CERT_FILE: authority.certPath })
  await assert.rejects(get(t, registry), {
    kind: 'tls',
    message: /; add tls: \{ca: \/path\/to\/its\/ca\.pem\} to its entry in registries$/,
  })
})

test("tls.ca replaces the system's store for the registry itself", async (t) => {
  const { authority, start } = await setUp(t)
  const other = await makeAuthority(await temporaryDirectory(t), 'other')
  await assert.rejects(get(t, await start(), { ca: other.certPath }, { SSL_CERT_FILE: authority.certPath }), { kind: 'tls' })
})

test('insecureSkipVerify lets any certificate pass, for this registry only', async (t) => {
  const { leaf, start } = await setUp(t, 'elsewhere.example')
  const registry = await start()
  await assert.rejects(get(t, registry), { kind: 'tls' })
  await get(t, registry, { insecureSkipVerify: true })
  const cdn = await startFakeRegistry(t, { tls: leaf, content: registry.content })
  registry.fault({ match: { kind: 'blob' }, do: [redirectToCdn(cdn.origin)] })
  const upstream = upstreamOf(t, registry, { tls: { insecureSkipVerify: true } })
  await assert.rejects(upstream.openBlob(REPOSITORY, registry.addBlob('x'), 0), { kind: 'tls' })
  assert.equal(cdn.count(), 0)
})

test('a registry is reached by name and by IPv6 address, each checked against its certificate', async (t) => {
  const { authority, start } = await setUp(t, 'registry.test', '::1')
  const named = await start()
  const config = entryOf(named, {
    name: parseRegistry('registry.test'),
    address: `registry.test:${named.port}`,
    tls: { ca: authority.certPath },
  })
  const resolve = async () => [{ address: '127.0.0.1', family: 4 }]
  await makeUpstreams(t, { registries: [config], resolve })
    .upstreams.of(config.name)
    .getManifest(REPOSITORY, TAG)
  await get(t, await start({ host: '[::1]' }), { ca: authority.certPath })
})

test('a client certificate is shown to the registry, and to nobody it sends us to', async (t) => {
  const { authority, leaf, start } = await setUp(t)
  const client = await authority.issue('client')
  const registry = await start({ tls: { ...leaf, clientCa: authority.cert } })
  const tls = { ca: authority.certPath, cert: client.certPath, key: client.keyPath }
  await get(t, registry, tls)
  await assert.rejects(
    get(t, registry, { ca: authority.certPath }),
    ({ kind }: { kind: string }) => kind === 'tls' || kind === 'unreachable',
  )

  const cdn = await startFakeRegistry(t, { tls: { ...leaf, clientCa: authority.cert }, content: registry.content })
  registry.fault({ match: { kind: 'blob' }, do: [redirectToCdn(cdn.origin)] })
  const opened = upstreamOf(t, registry, { tls }).openBlob(REPOSITORY, registry.addBlob('x'), 0)
  await assert.rejects(opened, ({ kind }: { kind: string }) => kind === 'tls' || kind === 'unreachable')
  assert.equal(cdn.count(), 0)
})

test("what a registry redirects to is believed by tls.ca and by the system's store", async (t) => {
  const { authority, start } = await setUp(t)
  const system = await makeAuthority(await temporaryDirectory(t), 'system')
  const registry = await start()
  const env = { SSL_CERT_FILE: system.certPath }
  const upstream = upstreamOf(t, registry, { tls: { ca: authority.certPath } }, { env })
  const digest = registry.addBlob('layer')
  for (const leaf of [await authority.issue('127.0.0.1'), await system.issue('127.0.0.1')]) {
    const cdn = await startFakeRegistry(t, { tls: leaf, content: registry.content })
    const fault = registry.fault({ match: { kind: 'blob' }, do: [redirectToCdn(cdn.origin)] })
    assert.equal(String(await bytesOfBody((await upstream.openBlob(REPOSITORY, digest, 0)).body)), 'layer')
    fault.remove()
  }
})

type RealmCase = [title: string, realmTls: boolean, realmHost: string, insecure: boolean, credentials: 'sent' | 'withheld' | 'unreached']
const realms: RealmCase[] = [
  ['https, verified', true, '127.0.0.1', false, 'sent'],
  ['https on its own host, unverified by its own insecureSkipVerify', true, '127.0.0.1', true, 'sent'],
  ['https on another host, which insecureSkipVerify is not for', true, 'localhost', true, 'unreached'],
  ['http', false, '127.0.0.1', false, 'withheld'],
  ['http, insecureSkipVerify or not', false, '127.0.0.1', true, 'withheld'],
]
for (const [title, realmTls, realmHost, insecure, credentials] of realms) {
  test(`credentials of an https registry and a realm that is ${title}: ${credentials}`, async (t) => {
    const { authority, leaf } = await setUp(t)
    const auth = new FakeAuth({ scheme: 'bearer', users: { ann: 'pw' } })
    const realm = await startFakeRegistry(t, { realmOf: auth, ...(realmTls ? { tls: leaf } : {}) })
    auth.options = { ...auth.options, realm: `${realmTls ? 'https' : 'http'}://${realmHost}:${realm.port}/token` }
    const registry = await startFakeRegistry(t, { tls: leaf, auth })
    registry.addImage('team/app', 'v1')
    const tls = insecure ? { insecureSkipVerify: true } : { ca: authority.certPath }
    const got = upstreamOf(t, registry, { tls, auth: password('ann', 'pw') }).getManifest(REPOSITORY, TAG)
    if (credentials === 'sent') await got
    else await assert.rejects(got, { kind: credentials === 'withheld' ? 'denied' : 'tls' })
    const wanted = { sent: [`Basic ${btoa('ann:pw')}`], withheld: [undefined], unreached: [] }[credentials]
    assert.deepEqual(realm.authorizations(), wanted)
    assert.equal(registry.authorizations().includes(`Basic ${btoa('ann:pw')}`), false)
  })
}

test('an https registry with an http realm is still pulled from by those who need no credentials', async (t) => {
  const { authority, leaf } = await setUp(t)
  const auth = new FakeAuth({ scheme: 'bearer' })
  const realm = await startFakeRegistry(t, { realmOf: auth })
  auth.options = { ...auth.options, realm: `${realm.origin}/token` }
  const registry = await startFakeRegistry(t, { tls: leaf, auth })
  registry.addImage('team/app', 'v1')
  await get(t, registry, { ca: authority.certPath })
})

test('both offered, the realm by http: the password goes to the registry by https', async (t) => {
  const { authority, leaf } = await setUp(t)
  const auth = new FakeAuth({ scheme: 'both', users: { ann: 'pw' } })
  const realm = await startFakeRegistry(t, { realmOf: auth })
  auth.options = { ...auth.options, realm: `${realm.origin}/token` }
  const registry = await startFakeRegistry(t, { tls: leaf, auth })
  registry.addImage('team/app', 'v1')
  await upstreamOf(t, registry, { tls: { ca: authority.certPath }, auth: password('ann', 'pw') }).getManifest(REPOSITORY, TAG)
  assert.equal(realm.count(), 0)
})

test('a file of the entry that cannot be read is named', async (t) => {
  const { start } = await setUp(t)
  await assert.rejects(get(t, await start(), { ca: '/does/not/exist.pem' }), {
    kind: 'tls',
    message: /cannot read \/does\/not\/exist\.pem: ENOENT/,
  })
})

test('an unconfigured registry with an unknown certificate: refused, and log and error say which entry would allow it', async (t) => {
  const { start } = await setUp(t)
  const registry = await start()
  const { upstream, log } = unconfiguredOnLoopback(t, registry)
  const entry = `to allow it, configure registries: [{name: "${registry.name}", tls: {ca: /path/to/its/ca.pem}}]`
  for (let round = 0; round < 2; round++) {
    await assert.rejects(upstream.getManifest(REPOSITORY, TAG), (error: { kind?: string; message: string }) => {
      assert.deepEqual([error.kind, error.message.endsWith(entry)], ['tls', true])
      return true
    })
  }
  assert.deepEqual(
    log.lines.filter(({ level }) => level === 'warn').map(({ message }) => message.endsWith(entry)),
    [true],
    'once',
  )
})

test('an unconfigured registry that speaks http only: recognised, and the entry said', async (t) => {
  const registry = await startFakeRegistry(t)
  const { upstream, log } = unconfiguredOnLoopback(t, registry)
  const entry = `registries: [{name: "${registry.name}", scheme: http}]`
  await assert.rejects(upstream.getManifest(REPOSITORY, TAG), (error: { kind?: string; message: string }) => {
    assert.deepEqual([error.kind, error.message.includes('it does not speak TLS'), error.message.endsWith(entry)], ['tls', true, true])
    return true
  })
  assert.equal(log.lines.at(-1)?.message.endsWith(entry), true)
})

test('a port that closes at once is no certificate trouble', async (t) => {
  const server = createServer((socket) => socket.destroy())
  t.after(() => server.close())
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  const name = parseRegistry(`127.0.0.1:${port}`)
  const config = { name, aliases: [], scheme: 'https', address: name, tls: { insecureSkipVerify: false } } as const
  const got = makeUpstreams(t, { registries: [config] })
    .upstreams.of(name)
    .getManifest(REPOSITORY, TAG)
  await assert.rejects(got, { kind: 'unreachable' })
})
