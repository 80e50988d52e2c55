/** Clients choose names: none of them, and nothing behind them, may lead into the machine that this server runs on. */
import assert from 'node:assert/strict'
import type { LookupAddress } from 'node:dns'
import { type TestContext, test } from 'node:test'
import { parseRegistry, type Registry } from '../../src/oci/name.ts'
import { makeAuthority } from '../support/certificates.ts'
import { type FakeRegistry, startFakeRegistry } from '../support/fake-registry.ts'
import { redirect, status } from '../support/fake-registry-faults.ts'
import { temporaryDirectory } from '../support/files.ts'
import { bytesOfBody, entryOf, makeUpstreams, REPOSITORY, TAG, unconfigured, unconfiguredOnLoopback, upstreamOf } from './support.ts'

const at = (...addresses: string[]): LookupAddress[] => addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }))
const resolveTo =
  (...addresses: string[]) =>
  async () =>
    at(...addresses)

// what a client may write, and how a URL parser reads it
const literals: [written: string, address: string, allowable: boolean][] = [
  ['127.0.0.1:5000', '127.0.0.1 (loopback)', true],
  ['127.1', '127.0.0.1 (loopback)', true],
  ['0x7f.1', '127.0.0.1 (loopback)', true],
  ['0177.0.0.1', '127.0.0.1 (loopback)', true],
  ['2130706433:5000', '127.0.0.1 (loopback)', true],
  ['0.0.0.0:5000', '0.0.0.0 (unspecified)', true],
  ['255.255.255.255:5000', '255.255.255.255 (unspecified)', true],
  ['224.0.0.1:5000', '224.0.0.1 (multicast)', true],
  ['169.254.1.1', '169.254.1.1 (linkLocal)', true],
  ['[::1]:5000', '::1 (loopback)', true],
  ['[::ffff:127.0.0.1]:5000', '::ffff:7f00:1 (loopback)', true],
  ['[64:ff9b::7f00:1]', '64:ff9b::7f00:1 (loopback)', true],
  ['169.254.169.254', '169.254.169.254 (metadata)', false],
  ['2852039166:80', '169.254.169.254 (metadata)', false],
  ['[fd00:ec2::254]', 'fd00:ec2::254 (metadata)', false],
  ['100.100.100.200', '100.100.100.200 (metadata)', false],
]
for (const [written, address, allowable] of literals) {
  test(`an unconfigured registry ${written} is refused as ${address}`, async (t) => {
    // as if the grammar of names let it through: connections are checked by themselves
    const upstream = makeUpstreams(t, { resolve: async () => assert.fail('looked up') }).upstreams.of(written as Registry)
    const entry = `configure registries: [{name: "${written}"}], with scheme: http if it speaks only that`
    const advice = allowable ? entry : 'no configuration allows that'
    for (const asked of [upstream.getManifest(REPOSITORY, TAG), upstream.headManifest(REPOSITORY, TAG), upstream.listTags(REPOSITORY)]) {
      await assert.rejects(asked, (error: { kind?: string; message: string }) => {
        assert.equal(error.kind, 'refusedAddress')
        assert.ok(error.message.includes(address) && error.message.endsWith(advice), error.message)
        return true
      })
    }
  })
}

const names: [resolved: string[], refused: string][] = [
  [['127.0.0.1'], '127.0.0.1 (loopback)'],
  [['::1', '127.0.0.1'], '::1 (loopback), 127.0.0.1 (loopback)'],
  [['::ffff:7f00:1'], '::ffff:7f00:1 (loopback)'],
  [['fe80::1'], 'fe80::1 (linkLocal)'],
  [['169.254.169.254'], '169.254.169.254 (metadata)'],
]
for (const [resolved, refused] of names) {
  test(`an unconfigured registry that resolves to ${resolved.join(', ')} is refused`, async (t) => {
    const registry = await startFakeRegistry(t)
    const upstream = unconfigured(t, `reg.example:${registry.port}`, { resolve: resolveTo(...resolved) })
    await assert.rejects(upstream.getManifest(REPOSITORY, TAG), (error: { kind?: string; message: string }) => {
      assert.equal(error.kind, 'refusedAddress')
      assert.ok(error.message.includes(`reg.example is at ${refused}, which clients must not reach`), error.message)
      return true
    })
    assert.equal(registry.connections, 0)
  })
}

test('localhost is refused by its address, whatever its name', async (t) => {
  await assert.rejects(unconfigured(t, 'localhost:5000').getManifest(REPOSITORY, TAG), { kind: 'refusedAddress' })
})

test('an entry exempts the address of its registry, by literal and by name', async (t) => {
  const registry = await startFakeRegistry(t)
  registry.addImage('team/app', 'v1')
  await upstreamOf(t, registry).getManifest(REPOSITORY, TAG)
  const named = { address: `registry.test:${registry.port}` }
  await upstreamOf(t, registry, named, { resolve: resolveTo('127.0.0.1') }).getManifest(REPOSITORY, TAG)
})

test('not even an entry exempts a metadata service', async (t) => {
  const name = parseRegistry('169.254.169.254')
  const entry = { name, aliases: [], scheme: 'http', address: name, tls: { insecureSkipVerify: false } } as const
  const { upstreams } = makeUpstreams(t, { registries: [entry] })
  await assert.rejects(upstreams.of(name).getManifest(REPOSITORY, TAG), { kind: 'refusedAddress', message: /no configuration allows that/ })
})

test('of several addresses only allowed ones are connected to', async (t) => {
  const registry = await startFakeRegistry(t)
  registry.addImage('team/app', 'v1')
  const resolve = resolveTo('169.254.169.254', 'fd00:ec2::254', '127.0.0.1')
  await upstreamOf(t, registry, { address: `registry.test:${registry.port}` }, { resolve }).getManifest(REPOSITORY, TAG)
  assert.equal(registry.count(), 1)
})

test('a name that was harmless when it was first looked up is checked with every connection', async (t) => {
  const registry = await startFakeRegistry(t)
  registry.addImage('team/app', 'v1')
  let address = '127.0.0.1'
  const upstream = upstreamOf(t, registry, { address: `registry.test:${registry.port}` }, { resolve: async () => at(address) })
  await upstream.getManifest(REPOSITORY, TAG)
  address = '169.254.169.254'
  registry.dropConnections()
  await assert.rejects(upstream.getManifest(REPOSITORY, TAG), { kind: 'refusedAddress' })
})

/** A configured registry on loopback that sends the request for `v1` elsewhere. */
async function redirecting(t: TestContext, location: string): Promise<FakeRegistry> {
  const registry = await startFakeRegistry(t)
  registry.fault({ match: { kind: 'manifest' }, do: [redirect(location)] })
  return registry
}

const targets: [location: string, refused: string][] = [
  ['http://169.254.169.254/latest/meta-data/', '169.254.169.254 (metadata)'],
  ['http://0xa9fea9fe/', '169.254.169.254 (metadata)'],
  ['http://2852039166/', '169.254.169.254 (metadata)'],
  ['http://[::ffff:169.254.169.254]/', '::ffff:a9fe:a9fe (metadata)'],
  ['http://169.254.1.1/', '169.254.1.1 (linkLocal)'],
  ['http://0.0.0.0:1/', '0.0.0.0 (unspecified)'],
  ['http://[ff02::1]/', 'ff02::1 (multicast)'],
]
for (const [location, refused] of targets) {
  test(`a configured registry on loopback may not send us to ${location}`, async (t) => {
    const registry = await redirecting(t, location)
    await assert.rejects(upstreamOf(t, registry).getManifest(REPOSITORY, TAG), (error: { kind?: string; message: string }) => {
      assert.equal(error.kind, 'refusedAddress')
      assert.ok(error.message.includes(refused), error.message)
      return true
    })
  })
}

test('a configured registry may send us to addresses of its own kind, by literal and by name', async (t) => {
  const target = await startFakeRegistry(t)
  target.addImage('team/app', 'v1')
  for (const host of ['127.0.0.1', 'cdn.test', '127.1']) {
    const registry = await redirecting(t, `http://${host}:${target.port}/v2/team/app/manifests/v1`)
    await upstreamOf(t, registry, {}, { resolve: resolveTo('127.0.0.1') }).getManifest(REPOSITORY, TAG)
  }
  assert.equal(target.count(), 3)
})

test('a redirect to a name is checked by every address it has', async (t) => {
  const registry = await redirecting(t, 'http://cdn.test/')
  const upstream = upstreamOf(t, registry, {}, { resolve: resolveTo('169.254.1.1', 'fe80::1') })
  await assert.rejects(upstream.getManifest(REPOSITORY, TAG), { kind: 'refusedAddress' })
})

async function unconfiguredPair(t: TestContext) {
  const authority = await makeAuthority(await temporaryDirectory(t))
  const leaf = await authority.issue('127.0.0.1')
  const registry = await startFakeRegistry(t, { tls: leaf })
  const inner = await startFakeRegistry(t, { tls: leaf })
  inner.addImage('team/app', 'v1')
  return { registry, inner, ...unconfiguredOnLoopback(t, registry, { SSL_CERT_FILE: authority.certPath }) }
}

test('an unconfigured registry cannot send us to loopback, by redirect or by realm, whatever its own address', async (t) => {
  const { registry, inner, upstream } = await unconfiguredPair(t)
  const digest = registry.addBlob('fine')
  assert.equal(String(await bytesOfBody((await upstream.openBlob(REPOSITORY, digest, 0)).body)), 'fine')
  const actions = [
    redirect(`${inner.origin}/v2/team/app/manifests/v1`),
    status(401, { 'www-authenticate': `Bearer realm="https://localhost:${inner.port}/token"` }),
  ]
  for (const action of actions) {
    const fault = registry.fault({ match: { kind: 'manifest' }, do: [action] })
    await assert.rejects(upstream.getManifest(REPOSITORY, TAG), { kind: 'refusedAddress', message: /\(loopback\)/ })
    fault.remove()
  }
  assert.equal(inner.count(), 0)
})

test('a realm is held to the same rule as a redirect', async (t) => {
  const registry = await startFakeRegistry(t, { auth: { scheme: 'bearer', realm: 'http://169.254.169.254/latest/api/token' } })
  await assert.rejects(upstreamOf(t, registry).getManifest(REPOSITORY, TAG), {
    kind: 'refusedAddress',
    message: /169\.254\.169\.254 \(metadata\)/,
  })
})

test('two entries: the loopback of one is not the exemption of the other', async (t) => {
  const inner = await startFakeRegistry(t)
  const outer = await startFakeRegistry(t, { host: '[::1]' })
  outer.fault({ match: {}, do: [redirect('http://169.254.1.1/')] })
  const { upstreams } = makeUpstreams(t, { registries: [entryOf(inner), entryOf(outer)] })
  await assert.rejects(upstreams.of(outer.name).getManifest(REPOSITORY, TAG), { kind: 'refusedAddress' })
  await assert.rejects(upstreams.of(parseRegistry(`localhost:${inner.port}`)).getManifest(REPOSITORY, TAG), { kind: 'refusedAddress' })
  assert.equal(inner.count(), 0)
})
