/** Certificates that are replaced while the server runs: noticed without a restart, and without harm to what is under way. */
import assert from 'node:assert/strict'
import { rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import type { RegistryClient } from '../../src/upstream/registry-client.ts'
import { type Authority, type Certificate, makeAuthority } from '../support/certificates.ts'
import { ManualClock } from '../support/clock.ts'
import { type FakeRegistry, startFakeRegistry } from '../support/fake-registry.ts'
import { hangAt } from '../support/fake-registry-faults.ts'
import { Gate } from '../support/fake-registry-reply.ts'
import { temporaryDirectory } from '../support/files.ts'
import type { MemoryLog } from '../support/log.ts'
import { until } from '../support/until.ts'
import { bytesOfBody, entryOf, makeUpstreams, REPOSITORY, TAG } from './support.ts'

type Setup = {
  readonly authority: Authority
  readonly foreign: Authority
  readonly registry: FakeRegistry
  readonly upstream: RegistryClient
  readonly clock: ManualClock
  readonly log: MemoryLog
  /** Paths that the entry has. */
  readonly ca: string
  readonly cert: string
  readonly key: string
  put(path: string, text: string): Promise<void>
}

/** A registry that wants a client certificate, and an entry whose files hold the right ones. */
async function setUp(t: TestContext): Promise<Setup> {
  const directory = await temporaryDirectory(t)
  const [authority, foreign] = [await makeAuthority(directory, 'own'), await makeAuthority(directory, 'foreign')]
  const registry = await startFakeRegistry(t, { tls: { ...(await authority.issue('127.0.0.1')), clientCa: authority.cert } })
  registry.addImage('team/app', 'v1')
  const put = async (path: string, text: string): Promise<void> => {
    await writeFile(`${path}.new`, text)
    await rename(`${path}.new`, path)
  }
  const [ca, cert, key] = [join(directory, 'ca.pem'), join(directory, 'client.pem'), join(directory, 'client-key.pem')]
  const client = await authority.issue('client')
  await Promise.all([put(ca, authority.cert), put(cert, client.cert), put(key, client.key)])
  const clock = new ManualClock(Date.now())
  const config = entryOf(registry, { tls: { ca, cert, key } })
  const { upstreams, log } = makeUpstreams(t, { registries: [config], env: {}, clock })
  return { authority, foreign, registry, upstream: upstreams.of(config.name), clock, log, ca, cert, key, put }
}

async function putPair({ put, cert, key }: Setup, pair: Certificate): Promise<void> {
  await put(cert, pair.cert)
  await put(key, pair.key)
}

test('a new client certificate counts from the next request on, and the connection that showed the old one is let go', async (t) => {
  const setup = await setUp(t)
  const { authority, foreign, registry, upstream, clock } = setup
  await upstream.getManifest(REPOSITORY, TAG)
  await putPair(setup, await foreign.issue('client'))
  await clock.advance(1_000)
  await assert.rejects(upstream.getManifest(REPOSITORY, TAG), ({ kind }: { kind: string }) => kind === 'tls' || kind === 'unreachable')
  await until(() => registry.connections === 0)
  await putPair(setup, await authority.issue('client'))
  await clock.advance(1_000)
  await upstream.getManifest(REPOSITORY, TAG)
  assert.equal(registry.connections, 1)
})

test('an authority that is taken out of tls.ca is not believed any longer, not even on the connection that stands', async (t) => {
  const { registry, upstream, clock, ca, put, foreign } = await setUp(t)
  await upstream.getManifest(REPOSITORY, TAG)
  await put(ca, foreign.cert)
  await clock.advance(1_000)
  await assert.rejects(upstream.getManifest(REPOSITORY, TAG), { kind: 'tls' })
  assert.equal(registry.count({ kind: 'manifest' }), 1)
})

test('a download that is under way when certificates change goes on to its end, and its connection ends with it', async (t) => {
  const setup = await setUp(t)
  const { authority, registry, upstream, clock } = setup
  const digest = registry.addBlob('0123456789')
  const gate = new Gate()
  registry.fault({ match: { kind: 'blob' }, do: [hangAt(4, gate)] })
  const { body } = await upstream.openBlob(REPOSITORY, digest, 0)
  await putPair(setup, await authority.issue('client'))
  await clock.advance(1_000)
  await upstream.getManifest(REPOSITORY, TAG)
  assert.equal(registry.connections, 2)
  gate.open()
  assert.equal(String(await bytesOfBody(body)), '0123456789')
  await until(() => registry.connections === 1)
})

test('a pair that does not fit is not used: the registry is pulled from with the old one, and one line says so', async (t) => {
  const { foreign, registry, upstream, clock, log, cert, key, put } = await setUp(t)
  await upstream.getManifest(REPOSITORY, TAG)
  await put(cert, (await foreign.issue('client')).cert)
  for (let round = 0; round < 3; round++) {
    await clock.advance(1_000)
    await upstream.getManifest(REPOSITORY, TAG)
  }
  assert.equal(registry.accepted, 1)
  assert.deepEqual(
    log.lines.filter(({ level }) => level === 'error').map(({ message }) => message),
    [`the changed certificates cannot be used, those read before stay in use: the key ${key} does not belong to the certificate ${cert}`],
  )
})
