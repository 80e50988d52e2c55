/** Connections and waiting: what is tried again, what is given up, and what is left behind (nothing). */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { type TestContext, test } from 'node:test'
import { promisify } from 'node:util'
import { digestOf } from '../../src/oci/digest.ts'
import { isBlockedPort } from '../../src/upstream/blocked-ports.ts'
import type { RegistryClient } from '../../src/upstream/registry-client.ts'
import type { UpstreamsOptions } from '../../src/upstream/upstreams.ts'
import { ManualClock } from '../support/clock.ts'
import { type FakeRegistry, startFakeRegistry } from '../support/fake-registry.ts'
import { type Action, cutAt, flipBit, hang, hangAt, refuse, throttle, wrongLength } from '../support/fake-registry-faults.ts'
import { Gate } from '../support/fake-registry-reply.ts'
import { until } from '../support/until.ts'
import { bytesOfBody, passing, REPOSITORY, TAG, unconfigured, upstreamOf } from './support.ts'

async function setUp(
  t: TestContext,
  options: Partial<UpstreamsOptions> = {},
): Promise<{ registry: FakeRegistry; upstream: RegistryClient }> {
  const registry = await startFakeRegistry(t)
  registry.addImage('team/app', 'v1')
  return { registry, upstream: upstreamOf(t, registry, {}, options) }
}

test('a request whose kept-alive connection is closed under it is sent again, once', async (t) => {
  const { registry, upstream } = await setUp(t)
  await upstream.getManifest(REPOSITORY, TAG)
  const reset = registry.fault({ match: { times: 1 }, do: [refuse()] })
  await upstream.getManifest(REPOSITORY, TAG)
  await bytesOfBody((await upstream.openBlob(REPOSITORY, registry.addBlob('x'), 0)).body)
  assert.deepEqual([reset.hits, registry.count({ kind: 'manifest' })], [1, 3])

  reset.remove()
  registry.fault({ match: {}, do: [refuse()] })
  registry.ledger.clear()
  await assert.rejects(upstream.getManifest(REPOSITORY, TAG), { kind: 'unreachable' })
  assert.equal(registry.count(), 2)
})

test('a registry that was restarted is reached again at once', async (t) => {
  const { registry, upstream } = await setUp(t)
  for (let round = 0; round < 3; round++) {
    await upstream.getManifest(REPOSITORY, TAG)
    await registry.stop()
    await assert.rejects(upstream.getManifest(REPOSITORY, TAG), { kind: 'unreachable', message: /ECONNREFUSED/ })
    await registry.start()
  }
  await upstream.getManifest(REPOSITORY, TAG)
})

test('connections are kept, after HEAD as well, and ended with the upstream', async (t) => {
  const { registry, upstream } = await setUp(t)
  for (let round = 0; round < 3; round++) {
    for (const call of [() => upstream.headManifest(REPOSITORY, TAG), () => upstream.getManifest(REPOSITORY, TAG)]) {
      await call()
      await new Promise((resolve) => setTimeout(resolve, 5)) // undici frees a connection a turn of the loop after its answer
    }
  }
  assert.deepEqual([registry.accepted, registry.connections], [1, 1])
  await upstream.close()
  await until(() => registry.connections === 0)
})

test('no answer within pullTimeout is a timeout, for every kind of request, and the connection is ended', async (t) => {
  const digest = digestOf(Buffer.from('x'))
  const calls: ((upstream: RegistryClient) => Promise<unknown>)[] = [
    (upstream) => upstream.getManifest(REPOSITORY, TAG),
    (upstream) => upstream.headManifest(REPOSITORY, TAG),
    (upstream) => upstream.openBlob(REPOSITORY, digest, 0),
    (upstream) => upstream.blobSize(REPOSITORY, digest),
    (upstream) => upstream.listTags(REPOSITORY),
    (upstream) => upstream.listReferrers(REPOSITORY, digest),
  ]
  for (const call of calls) {
    const clock = new ManualClock()
    const { registry, upstream } = await setUp(t, { clock, pullTimeoutMs: 1_000 })
    registry.fault({ match: {}, do: [hang()] })
    const late = assert.rejects(call(upstream), { kind: 'timeout', message: /did not answer within 1000 ms/ })
    await registry.arrived()
    await clock.advance(1_000)
    await late
    await until(() => registry.connections === 0)
    assert.equal(clock.sleeping, 0)
  }
})

test('redirects, challenges and tokens together have one pullTimeout', async (t) => {
  const clock = new ManualClock()
  const registry = await startFakeRegistry(t, { auth: { scheme: 'bearer' } })
  registry.addImage('team/app', 'v1')
  const upstream = upstreamOf(t, registry, {}, { clock, pullTimeoutMs: 1_000 })
  const gate = new Gate()
  registry.fault({ match: { kind: 'token' }, do: [hang(gate)] })
  registry.fault({ match: { kind: 'manifest', nth: 2 }, do: [hang()] })
  const late = assert.rejects(upstream.getManifest(REPOSITORY, TAG), { kind: 'timeout' })
  await registry.arrived({ kind: 'token' })
  await clock.advance(600)
  gate.open()
  await registry.arrived({ kind: 'manifest' }, 2)
  await clock.advance(400)
  await late
})

test("a caller's signal ends the wait with its own reason, and the request", async (t) => {
  const { registry, upstream } = await setUp(t)
  registry.fault({ match: {}, do: [hang()] })
  for (const call of [
    (signal: AbortSignal) => upstream.getManifest(REPOSITORY, TAG, signal),
    (signal: AbortSignal) => upstream.openBlob(REPOSITORY, digestOf(Buffer.from('x')), 0, signal),
  ]) {
    registry.ledger.clear()
    const caller = new AbortController()
    const waiting = call(caller.signal)
    await registry.arrived()
    const reason = new Error('nobody waits any more')
    caller.abort(reason)
    await assert.rejects(waiting, (error) => error === reason)
    await until(() => registry.connections === 0)
    await assert.rejects(call(caller.signal), (error) => error === reason)
  }
})

test("a caller's signal ends the reading of a manifest, but not the body of a blob that it has", async (t) => {
  const { registry, upstream } = await setUp(t)
  const digest = registry.addBlob('0123456789')
  const gate = new Gate()
  registry.fault({ match: {}, do: [hangAt(4, gate)] })
  const caller = new AbortController()
  const manifest = upstream.getManifest(REPOSITORY, TAG, caller.signal)
  const blob = await upstream.openBlob(REPOSITORY, digest, 0, caller.signal)
  await until(() => registry.requests({ kind: 'manifest' })[0]?.bytesSent === 4)
  const reason = new Error('left')
  caller.abort(reason)
  await assert.rejects(manifest, (error) => error === reason)
  gate.open()
  assert.equal(String(await bytesOfBody(blob.body)), '0123456789')
})

test('a body that stops for too long is a timeout: blobs and manifests', async (t) => {
  const clock = new ManualClock()
  const { registry, upstream } = await setUp(t, { clock, pullTimeoutMs: 1_000_000_000, budgets: { bodyIdleMs: 100 } })
  const digest = registry.addBlob('0123456789')
  registry.fault({ match: {}, do: [hangAt(4)] })
  const { body } = await upstream.openBlob(REPOSITORY, digest, 0)
  const message = /^cannot get blob team\/app@sha256:\w+ from \S+: no byte for 100 ms/
  await passing(clock, assert.rejects(bytesOfBody(body), { kind: 'timeout', message }))
  assert.equal(registry.bytesSent(digest), 4)
  await passing(
    clock,
    assert.rejects(upstream.getManifest(REPOSITORY, TAG), { kind: 'timeout', message: /no byte of the answer for 100 ms/ }),
  )
  assert.equal(clock.sleeping, 0)
  await until(() => registry.connections === 0)
})

test('a slow body that advances has all the time it needs', async (t) => {
  const { registry, upstream } = await setUp(t, { budgets: { bodyIdleMs: 300 }, pullTimeoutMs: 300 })
  const content = Buffer.alloc(200, 'x')
  const digest = registry.addBlob(content)
  registry.fault({ match: { kind: 'blob' }, do: [throttle(300)] })
  const started = performance.now()
  assert.deepEqual(await bytesOfBody((await upstream.openBlob(REPOSITORY, digest, 0)).body), content)
  assert.ok(performance.now() - started > 300, 'it took longer than any one wait may take')
})

test('a reader that takes its time is not taken for a sender that stopped', async (t) => {
  const clock = new ManualClock()
  const { registry, upstream } = await setUp(t, { clock, budgets: { bodyIdleMs: 100 } })
  const digest = registry.addGeneratedBlob('slow reader', 16 * 1024 * 1024)
  const { body } = await upstream.openBlob(REPOSITORY, digest, 0)
  const chunks: Buffer[] = []
  for await (const chunk of body) {
    if (chunks.push(chunk) > 1) continue
    await until(() => body.readableLength >= body.readableHighWaterMark)
    await clock.advance(500)
  }
  assert.equal(digestOf(Buffer.concat(chunks)), digest)
})

const cuts: [title: string, actions: Action[]][] = [
  ['ended by FIN', [cutAt(50)]],
  ['ended by RST', [cutAt(50, 'rst')]],
  ['shorter than declared', [wrongLength(100_000)]],
]
for (const [title, actions] of cuts) {
  test(`a body ${title} fails, and says of what`, async (t) => {
    const { registry, upstream } = await setUp(t)
    const digest = registry.addBlob('x'.repeat(100))
    registry.fault({ match: {}, do: actions })
    const { body } = await upstream.openBlob(REPOSITORY, digest, 0)
    const message = new RegExp(`^cannot get blob team/app@${digest} from ${registry.name}: ${registry.origin}: `)
    await assert.rejects(bytesOfBody(body), { name: 'UpstreamError', kind: 'unreachable', message })
    registry.fault({ match: {}, do: actions })
    await assert.rejects(upstream.getManifest(REPOSITORY, TAG), { kind: 'unreachable', message: /^cannot get manifest team\/app:v1 from / })
  })
}

test('wrong bytes pass: the cache judges them', async (t) => {
  const { registry, upstream } = await setUp(t)
  const digest = registry.addBlob('0123456789')
  registry.fault({ match: {}, do: [flipBit(3)] })
  assert.equal(String(await bytesOfBody((await upstream.openBlob(REPOSITORY, digest, 0)).body)), '0122456789')
})

test('a body that fails before anybody reads it fails when it is read, and crashes nothing', async (t) => {
  const { registry, upstream } = await setUp(t)
  const digest = registry.addBlob('x'.repeat(100))
  registry.fault({ match: {}, do: [cutAt(50, 'rst')] })
  const { body } = await upstream.openBlob(REPOSITORY, digest, 0)
  await until(() => registry.connections === 0)
  await new Promise((resolve) => setTimeout(resolve, 5))
  assert.equal(body.destroyed, false)
  await assert.rejects(bytesOfBody(body), { kind: 'unreachable' })
})

test('a destroyed body ends its connection, without an error', async (t) => {
  const { registry, upstream } = await setUp(t)
  const digest = registry.addGeneratedBlob('destroyed', 64 * 1024 * 1024)
  const { body } = await upstream.openBlob(REPOSITORY, digest, 0)
  body.on('error', (error) => assert.fail(error))
  body.destroy()
  await once(body, 'close')
  await until(() => registry.connections === 0)
  assert.ok(registry.bytesSent(digest) < 32 * 1024 * 1024)
})

test('closing ends what is under way', async (t) => {
  const { registry, upstream } = await setUp(t)
  const digest = registry.addBlob('0123456789')
  registry.fault({ match: { kind: 'blob' }, do: [hangAt(4)] })
  registry.fault({ match: { kind: 'manifest' }, do: [hang()] })
  const { body } = await upstream.openBlob(REPOSITORY, digest, 0)
  const reading = assert.rejects(bytesOfBody(body), { kind: 'unreachable' })
  const waiting = assert.rejects(upstream.getManifest(REPOSITORY, TAG), { kind: 'unreachable' })
  await registry.arrived({ kind: 'manifest' })
  await upstream.close()
  await Promise.all([reading, waiting])
  await until(() => registry.connections === 0)
})

test('a name without address is dns trouble; a resolver that hangs is given up', async (t) => {
  const missing = async () => {
    throw Object.assign(new Error('getaddrinfo ENOTFOUND reg.example'), { code: 'ENOTFOUND' })
  }
  const get = (options: Partial<UpstreamsOptions>) => unconfigured(t, 'reg.example', options).getManifest(REPOSITORY, TAG)
  await assert.rejects(get({ resolve: missing }), { kind: 'dns', message: /the look-up of reg\.example failed: ENOTFOUND/ })
  const clock = new ManualClock()
  const hanging = get({ resolve: () => new Promise(() => {}), clock, pullTimeoutMs: 1_000_000_000 })
  await passing(clock, assert.rejects(hanging, { kind: 'timeout', message: /the look-up of reg\.example took longer than 3000 ms/ }))
})

test('a port that fetch blocks is reached all the same', async (t) => {
  for (const port of [6667, 6668, 6669, 10080, 5061]) {
    assert.equal(isBlockedPort(new URL(`http://127.0.0.1:${port}/`)), true)
    const registry = await startOn(t, port)
    if (registry === undefined) continue
    registry.addImage('team/app', 'v1')
    const upstream = upstreamOf(t, registry)
    assert.equal((await upstream.getManifest(REPOSITORY, TAG)).contentType, 'application/vnd.oci.image.manifest.v1+json')
    assert.deepEqual(await upstream.listTags(REPOSITORY), ['v1'])
    await assert.rejects(fetch(registry.origin), { message: 'fetch failed' })
    return
  }
  assert.fail('all these ports are taken')
})

async function startOn(t: TestContext, port: number): Promise<FakeRegistry | undefined> {
  try {
    return await startFakeRegistry(t, { port })
  } catch {
    return undefined
  }
}

test('undici is loaded by the first request, not before', async () => {
  const script = `
    import { createRequire } from 'node:module'
    import { Upstreams } from './src/upstream/upstreams.ts'
    import { systemClock } from './src/observe/clock.ts'
    const loaded = () => Object.keys(createRequire(import.meta.url).cache).some((path) => path.includes('/undici/'))
    const log = { debug() {}, info() {}, warn() {}, error() {}, isOn: () => false }
    const options = { registries: [], allowUnconfigured: true, pullTimeoutMs: 1000, via: 'x', userAgent: 'x', clock: systemClock, log }
    const upstream = new Upstreams(options).of('127.0.0.1:1')
    const before = loaded()
    await upstream.getManifest('a', 'b').catch((error) => console.log(error.kind, before, loaded()))`
  const args = ['--import', 'tsx', '--input-type=module', '--eval', script]
  const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: new URL('../..', import.meta.url).pathname })
  assert.equal(stdout, 'refusedAddress false true\n')
})
