/** Registries and token realms that are down, limit, hang and come back: what is asked of them meanwhile, and what the cache is told. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type TestContext, test } from 'node:test'
import { parseRepository } from '../../src/oci/name.ts'
import { UpstreamError } from '../../src/upstream/error.ts'
import type { RegistryClient } from '../../src/upstream/registry-client.ts'
import type { UpstreamsOptions } from '../../src/upstream/upstreams.ts'
import { ManualClock } from '../support/clock.ts'
import { type FakeRegistry, type FakeRegistryOptions, startFakeRegistry } from '../support/fake-registry.ts'
import { FakeAuth } from '../support/fake-registry-auth.ts'
import { type Action, cutAt, hang, hangAt, redirect, redirectToCdn, refuse, status } from '../support/fake-registry-faults.ts'
import { deadOrigin, FakeNames } from '../support/fake-registry-names.ts'
import { Gate } from '../support/fake-registry-reply.ts'
import { until } from '../support/until.ts'
import { bytesOfBody, entryOf, makeUpstreams, REPOSITORY, TAG, upstreamOf } from './support.ts'

const OTHER = parseRepository('team/other')

type Setup = {
  readonly registry: FakeRegistry
  readonly upstream: RegistryClient
  readonly clock: ManualClock
  readonly get: () => Promise<unknown>
}

async function setUp(t: TestContext, options: FakeRegistryOptions = {}, more: Partial<UpstreamsOptions> = {}): Promise<Setup> {
  const registry = await startFakeRegistry(t, options)
  registry.addImage('team/app', 'v1')
  registry.addImage('team/other', 'v1')
  const clock = new ManualClock()
  const upstream = upstreamOf(t, registry, {}, { clock, random: () => 0.5, pullTimeoutMs: 1_000, ...more })
  return { registry, upstream, clock, get: () => upstream.getManifest(REPOSITORY, TAG) }
}

async function failThrice(get: () => Promise<unknown>, kind: string): Promise<void> {
  for (let n = 0; n < 3; n++) await assert.rejects(get(), { kind })
}

const troubles: [title: string, kind: string, actions: Action[]][] = [
  ['resets connections', 'unreachable', [refuse()]],
  ['answers 500', 'failed', [status(500)]],
  ['answers 503', 'failed', [status(503)]],
]
for (const [title, kind, actions] of troubles) {
  test(`a registry that ${title} is not asked after the third time, and again as soon as a probe is answered`, async (t) => {
    const { registry, upstream, clock, get } = await setUp(t)
    const fault = registry.fault({ match: {}, do: actions })
    await failThrice(get, kind)
    await until(() => upstream.health().state === 'down') // where it answers, a probe decides
    registry.ledger.clear()
    const message = /^cannot get manifest team\/app:v1 from \S+: http\S+ is not asked at present: it failed 3 times in a row/
    await assert.rejects(get(), { kind: 'circuitOpen', message, retryAfterMs: 1_000 })
    assert.deepEqual([registry.count(), upstream.health().state, upstream.mayBeAsked('client')], [0, 'down', false])

    fault.remove()
    const recovered = upstream.untilMayBeAsked('client')
    await clock.advance(1_000)
    await recovered
    assert.deepEqual(
      registry.requests().map(({ method, path }) => `${method} ${path}`),
      ['GET /v2/'],
    )
    await get()
    assert.deepEqual(upstream.health(), { state: 'well' })
  })
}

test('a registry that is gone is probed until it is back, one probe at a time', async (t) => {
  const { registry, upstream, clock, get } = await setUp(t)
  await registry.stop()
  await failThrice(get, 'unreachable')
  const waiting = Promise.all(Array.from({ length: 8 }, () => upstream.untilMayBeAsked('client')))
  await clock.advance(1_000)
  await until(() => upstream.health().retryInMs === 2_000)
  await registry.start()
  await clock.advance(2_000)
  await waiting
  assert.equal(registry.count(), 1)
  await get()
})

test('a registry that hangs is down after three waits, those that were given up included', async (t) => {
  const { registry, upstream, clock, get } = await setUp(t)
  const fault = registry.fault({ match: {}, do: [hang()] })
  const late = assert.rejects(get(), { kind: 'timeout' })
  await registry.arrived({}, 1)
  await clock.advance(1_000)
  await late
  for (const n of [2, 3]) {
    const patience = new AbortController()
    const check = assert.rejects(upstream.headManifest(REPOSITORY, TAG, patience.signal), { message: 'not within 3 s' })
    await registry.arrived({}, n)
    patience.abort(new UpstreamError('timeout', 'not within 3 s'))
    await check
  }
  await assert.rejects(get(), { kind: 'circuitOpen', message: /not within 3 s; it is tried again in 1 s$/ })

  await clock.advance(1_000) // the probe hangs as well
  await registry.arrived({ kind: 'ping' })
  assert.equal(registry.count(), 4)
  fault.remove()
  await clock.advance(10_000)
  await until(() => upstream.health().retryInMs === 2_000)
  const recovered = upstream.untilMayBeAsked('client')
  await clock.advance(2_000)
  await recovered
  await get()
  await until(() => registry.connections <= 1)
})

test('a registry that says nothing to three requests for 20 s is down, though they wait on, and well when one is answered', async (t) => {
  const { registry, upstream, clock, get } = await setUp(t, {}, { pullTimeoutMs: 60_000 })
  const gate = new Gate()
  registry.fault({ match: {}, do: [hang(gate)] })
  const asked = [get(), get(), get()]
  await registry.arrived({}, 3)
  await clock.advance(19_999)
  assert.equal(upstream.health().state, 'well')
  await clock.advance(1)
  assert.equal(upstream.health().state, 'down')
  assert.match(upstream.health().why ?? '', /has not answered for 20000 ms/)
  gate.open()
  await Promise.all(asked)
  assert.equal(upstream.health().state, 'well')
})

test('a request that was silent and then fails counts once', async (t) => {
  const { registry, upstream, clock, get } = await setUp(t, {}, { pullTimeoutMs: 60_000 })
  registry.fault({ match: {}, do: [hang()] })
  const asked = [get(), get()].map((request) => assert.rejects(request, { kind: 'timeout' }))
  await registry.arrived({}, 2)
  await clock.advance(60_000)
  await Promise.all(asked)
  assert.equal(upstream.health().state, 'troubled')
})

test('clients that leave open nothing', async (t) => {
  const { registry, upstream } = await setUp(t)
  registry.fault({ match: {}, do: [hang()] })
  for (const n of [1, 2, 3, 4]) {
    const client = new AbortController()
    const left = assert.rejects(upstream.getManifest(REPOSITORY, TAG, client.signal), { name: 'AbortError' })
    await registry.arrived({}, n)
    client.abort()
    await left
  }
  assert.deepEqual(upstream.health(), { state: 'well' })
})

test('a registry that says no, and one whose bodies break, is well', async (t) => {
  const { registry, upstream } = await setUp(t)
  const digest = registry.addBlob('x'.repeat(100))
  for (const code of [401, 403, 404]) {
    const fault = registry.fault({ match: {}, do: [status(code)] })
    for (let n = 0; n < 4; n++) await assert.rejects(upstream.getManifest(REPOSITORY, TAG))
    fault.remove()
  }
  registry.fault({ match: { kind: 'blob' }, do: [cutAt(50)] })
  for (let n = 0; n < 4; n++) {
    await assert.rejects(bytesOfBody((await upstream.openBlob(REPOSITORY, digest, 0)).body), { kind: 'unreachable' })
  }
  assert.deepEqual([upstream.health().state, upstream.mayBeAsked('background')], ['well', true])
})

const targets: [title: string, location: () => Promise<Action>][] = [
  ['is dead', async () => redirect(`${await deadOrigin()}/blob`)],
  ['must not be reached', async () => redirect('http://169.254.169.254/latest')],
]
for (const [title, location] of targets) {
  test(`a registry is not blamed for a storage that ${title}`, async (t) => {
    const { registry, upstream } = await setUp(t)
    const digest = registry.addBlob('content')
    registry.fault({ match: { kind: 'blob' }, do: [await location()] })
    for (let n = 0; n < 4; n++) await assert.rejects(upstream.openBlob(REPOSITORY, digest, 0))
    assert.deepEqual(upstream.health(), { state: 'well' })
    await upstream.getManifest(REPOSITORY, TAG)
  })
}

test('a registry is not blamed for a storage that fails, nor paused for one that limits', async (t) => {
  const { registry, upstream } = await setUp(t)
  const cdn = await startFakeRegistry(t, { content: registry.content })
  const digest = registry.addBlob('content')
  registry.fault({ match: { kind: 'blob' }, do: [redirectToCdn(cdn.origin)] })
  const fault = cdn.fault({ match: {}, do: [status(503)] })
  for (let n = 0; n < 4; n++) await assert.rejects(upstream.openBlob(REPOSITORY, digest, 0), { kind: 'failed' })
  fault.remove()
  cdn.fault({ match: {}, do: [status(429, { 'retry-after': '60' })] })
  await assert.rejects(upstream.openBlob(REPOSITORY, digest, 0), { kind: 'limited' })
  assert.deepEqual(upstream.health(), { state: 'well' })
})

for (const code of [429, 503]) {
  test(`while a Retry-After of ${code} runs nobody asks; then one goes first`, async (t) => {
    const { registry, upstream, clock, get } = await setUp(t)
    registry.fault({ match: { times: 1 }, do: [status(code, { 'retry-after': '30' })] })
    await assert.rejects(get(), { retryAfterMs: 30_000 })
    await clock.advance(20_000)
    await assert.rejects(get(), {
      kind: 'limited',
      retryAfterMs: 10_000,
      message: new RegExp(`is not asked for another 10 s: \\S+ answered ${code}$`),
    })
    assert.deepEqual([registry.count(), upstream.mayBeAsked('client'), upstream.mayBeAsked('background')], [1, false, false])
    assert.deepEqual([upstream.health().state, upstream.health().retryInMs], ['troubled', 10_000])

    const gate = registry.fault({ match: { times: 1 }, do: [hang()] })
    await clock.advance(10_000)
    const first = get().catch(() => {})
    await registry.arrived({}, 2)
    const others = [get(), get()]
    await new Promise((resolve) => setImmediate(resolve))
    assert.deepEqual([registry.count(), gate.hits], [2, 1])
    await clock.advance(800)
    await Promise.all(others)
    assert.equal(registry.count(), 4)
    await clock.advance(200)
    await first
  })
}

test('a 429 that does not say for how long is a pause of about a second', async (t) => {
  const { registry, clock, get } = await setUp(t)
  registry.fault({ match: { times: 1 }, do: [status(429)] })
  await assert.rejects(get(), { kind: 'limited' })
  await assert.rejects(get(), { kind: 'limited', retryAfterMs: 1_000 })
  await clock.advance(1_000)
  await get()
  assert.equal(registry.count(), 2)
})

test('a registry whose /v2/ is out of order is probed by what was last asked for, anonymously', async (t) => {
  const { registry, upstream, clock, get } = await setUp(t)
  registry.fault({ match: { kind: 'ping' }, do: [status(500)] })
  const fault = registry.fault({ match: { kind: 'manifest' }, do: [status(500)] })
  await failThrice(get, 'failed')
  await until(() => upstream.health().state === 'down')
  fault.remove()
  registry.ledger.clear()
  const recovered = upstream.untilMayBeAsked('client')
  await clock.advance(1_000)
  await recovered
  const [ping, head] = registry.requests()
  assert.deepEqual([ping?.method, ping?.path, head?.method, head?.path], ['GET', '/v2/', 'HEAD', '/v2/team/app/manifests/v1'])
  assert.deepEqual(registry.authorizations(), [undefined, undefined])
})

test('a registry that goes down lets go of its connections: the probe has a new one', async (t) => {
  const { registry, upstream, clock, get } = await setUp(t)
  await get()
  const fault = registry.fault({ match: {}, do: [status(500)] })
  await failThrice(get, 'failed')
  await until(() => registry.connections === 0)
  const before = registry.accepted
  fault.remove()
  const recovered = upstream.untilMayBeAsked('client')
  await clock.advance(1_000)
  await recovered
  assert.equal(registry.accepted, before + 1)
})

test('a download that runs is not ended by the circuit', async (t) => {
  const { registry, upstream, get } = await setUp(t)
  const digest = registry.addGeneratedBlob('running', 4 * 1024 * 1024)
  const { body } = await upstream.openBlob(REPOSITORY, digest, 0)
  await once(body, 'readable')
  registry.fault({ match: { kind: 'manifest' }, do: [status(500)] })
  await failThrice(get, 'failed')
  assert.equal((await bytesOfBody(body)).byteLength, 4 * 1024 * 1024)
})

test('an upstream that is closed while its registry is down leaves nobody waiting and no probe behind', async (t) => {
  const { registry, upstream, clock, get } = await setUp(t)
  const fault = registry.fault({ match: {}, do: [status(500)] })
  await failThrice(get, 'failed')
  await until(() => upstream.health().state === 'down')
  registry.ledger.clear()
  fault.remove()
  const waiting = assert.rejects(upstream.untilMayBeAsked('client'), { kind: 'unreachable' })
  await upstream.close()
  await waiting
  await clock.advance(60_000)
  assert.deepEqual([registry.count({ kind: 'ping' }), clock.sleeping], [0, 0])
})

test('forty hanging blobs do not keep a manifest, nor one hanging registry another', async (t) => {
  const { registry, upstream, get } = await setUp(t)
  const digest = registry.addBlob('x'.repeat(100))
  registry.fault({ match: { kind: 'blob' }, do: [hangAt(10)] })
  const blobs = await Promise.all(Array.from({ length: 40 }, () => upstream.openBlob(REPOSITORY, digest, 0)))
  await get()
  for (const { body } of blobs) body.destroy()
  registry.fault({ match: {}, do: [hang()] })
  for (let n = 0; n < 40; n++) get().catch(() => {})
  await registry.arrived({ kind: 'manifest' }, 41)
  const { get: getElsewhere } = await setUp(t)
  await getElsewhere()
})

test('a registry whose name is known is reached while four others hang in their look-ups', async (t) => {
  const registry = await startFakeRegistry(t)
  registry.addImage('team/app', 'v1')
  const names = new FakeNames()
  const entries = ['known', 'a', 'b', 'c', 'd'].map((name) => entryOf(registry, { address: `${name}.example:${registry.port}` }))
  const registries = entries.map((entry) => ({ ...entry, name: entry.address as typeof entry.name }))
  const { upstreams } = makeUpstreams(t, { registries, resolve: names.resolve, budgets: { lookupMs: 60_000 } })
  const [known, ...others] = registries.map(({ name }) => upstreams.of(name))
  await known?.getManifest(REPOSITORY, TAG)
  const hanging = ['a', 'b', 'c', 'd'].map((name) => names.hang(`${name}.example`))
  const waiting = others.map((upstream) => upstream.getManifest(REPOSITORY, TAG))
  await until(() => names.asked.length === 4)
  registry.dropConnections()
  await until(() => registry.connections === 0)
  await known?.getManifest(REPOSITORY, TAG)
  assert.deepEqual(names.asked, ['known.example', 'a.example', 'b.example', 'c.example', 'known.example'])
  for (const fault of hanging) fault.remove()
  assert.equal((await Promise.allSettled(waiting)).filter(({ status }) => status === 'rejected').length, 3, 'd was not looked up before')
})

const failAuthorized: Action = (answer, request) => {
  if (request.headers.authorization !== undefined) status(500)(answer, request)
}

/** A realm on a server of its own. */
async function setUpRealm(t: TestContext): Promise<Setup & { readonly realm: FakeRegistry; readonly getOther: () => Promise<unknown> }> {
  const auth = new FakeAuth({ scheme: 'bearer', expiresInSeconds: 3600 })
  const realm = await startFakeRegistry(t, { realmOf: auth })
  auth.options = { ...auth.options, realm: `${realm.origin}/token` }
  const setup = await setUp(t, { auth })
  return { ...setup, realm, getOther: () => setup.upstream.getManifest(OTHER, TAG) }
}

test('a token realm that is down fails requests at once, in its own name, and not those that have a token', async (t) => {
  const { registry, realm, upstream, clock, get, getOther } = await setUpRealm(t)
  await get()
  const fault = realm.fault({ match: {}, do: [status(503)] })
  await failThrice(getOther, 'failed')
  await until(() => upstream.health().retryInMs !== undefined)
  realm.ledger.clear()
  const message = new RegExp(`^cannot get manifest team/other:v1 from \\S+: its token realm ${realm.origin} is not asked at present: `)
  await assert.rejects(getOther(), { kind: 'circuitOpen', message })
  assert.equal(realm.count(), 0)
  await get()
  assert.deepEqual([upstream.mayBeAsked('client'), upstream.mayBeAsked('background')], [true, false])
  assert.deepEqual([upstream.health().state, upstream.health().why], ['troubled', `${realm.origin} answered 503`])

  fault.remove()
  registry.ledger.clear()
  const recovered = Promise.all([upstream.untilMayBeAsked('client'), upstream.untilMayBeAsked('background')])
  await clock.advance(1_000)
  await recovered
  const [probe] = realm.requests()
  assert.deepEqual([realm.count(), probe?.path, probe?.query.get('scope')], [1, '/token', 'repository:team/other:pull'])
  assert.equal(registry.count(), 0, 'the registry was well all the time')
  await getOther()
  assert.deepEqual(upstream.health(), { state: 'well' })
})

test('a token realm that hangs is down after three waits, though the question to it goes on', async (t) => {
  const { registry, realm, upstream, clock, getOther } = await setUpRealm(t)
  await getOther()
  await clock.advance(3_600_000) // the token has expired
  registry.ledger.clear()
  realm.fault({ match: {}, do: [hang()] })
  for (let n = 0; n < 3; n++) {
    const patience = new AbortController()
    const check = assert.rejects(upstream.headManifest(OTHER, TAG, patience.signal), { kind: 'timeout' })
    await realm.arrived({}, 2)
    await new Promise((resolve) => setImmediate(resolve))
    patience.abort(new UpstreamError('timeout', 'not within 3 s'))
    await check
  }
  assert.deepEqual([realm.count(), registry.count()], [2, 0])
  await assert.rejects(upstream.getManifest(REPOSITORY, TAG), { kind: 'circuitOpen', message: /its token realm/ })
  assert.equal(upstream.mayBeAsked('client'), true)
})

test('a realm that limits is not asked while it says so; the registry is', async (t) => {
  const { realm, upstream, clock, get, getOther } = await setUpRealm(t)
  await get()
  realm.fault({ match: { times: 1 }, do: [status(429, { 'retry-after': '60' })] })
  await assert.rejects(getOther(), { kind: 'limited', retryAfterMs: 60_000 })
  await assert.rejects(getOther(), { kind: 'limited', message: /its token realm \S+ is not asked for another 60 s/ })
  await get()
  assert.equal(realm.count(), 2)
  await clock.advance(60_000)
  assert.equal(upstream.mayBeAsked('background'), true)
  await getOther()
})

test('a registry that challenges and hands out tokens, but answers 500 behind that, is asked on: nobody is refused for odd names', async (t) => {
  const { registry, upstream, get, getOther } = await setUpRealm(t)
  const third = parseRepository('team/third')
  registry.fault({ match: { kind: 'manifest' }, do: [failAuthorized] })
  await assert.rejects(get(), { kind: 'failed' })
  await assert.rejects(getOther(), { kind: 'failed' })
  await assert.rejects(upstream.getManifest(third, TAG), { kind: 'failed' })
  assert.equal(registry.requests({ kind: 'manifest' }).filter(({ status: sent }) => sent === 401).length, 3)
  await registry.arrived({ kind: 'ping' })
  await until(() => upstream.health().state === 'well')
  await assert.rejects(get(), { kind: 'failed' })
})

test('names that a registry answers 500 for take nothing from others, however often they are asked for', async (t) => {
  const { registry, upstream, clock, get } = await setUp(t)
  registry.fault({ match: { repository: 'team/other' }, do: [status(500)] })
  for (let n = 0; n < 12; n++) {
    await Promise.all([1, 2, 3].map(() => assert.rejects(upstream.getManifest(OTHER, TAG), { kind: 'failed' })))
    assert.equal(upstream.mayBeAsked('client'), true)
    await clock.advance(500)
  }
  await get()
  assert.ok(registry.count({ kind: 'ping' }) > 0, 'it was probed')
})

test('lists and blobs that are given up after a short wait blame nobody', async (t) => {
  const { registry, upstream } = await setUp(t)
  const digest = registry.addBlob('content')
  registry.fault({ match: {}, do: [hang()] })
  const patience = new AbortController()
  const { signal } = patience
  const asked: Promise<unknown>[] = [
    ...[1, 2, 3].map(() => upstream.listTags(REPOSITORY, signal)),
    ...[1, 2, 3].map(() => upstream.listReferrers(REPOSITORY, digest, signal)),
    ...[1, 2, 3].map(() => upstream.openBlob(REPOSITORY, digest, 0, signal)),
    ...[1, 2, 3].map(() => upstream.getManifest(REPOSITORY, TAG, signal)),
  ]
  const refused = asked.map((request) => assert.rejects(request, { message: 'not within 3 s' }))
  await registry.arrived({}, 12)
  patience.abort(new UpstreamError('timeout', 'not within 3 s'))
  await Promise.all(refused)
  assert.deepEqual(upstream.health(), { state: 'well' })
})

test('a 503 with a Retry-After of years pauses a registry for a minute', async (t) => {
  const { registry, upstream, clock, get } = await setUp(t)
  registry.fault({ match: { repository: 'team/other' }, do: [status(503, { 'retry-after': '9'.repeat(20) })] })
  await assert.rejects(upstream.getManifest(OTHER, TAG))
  await assert.rejects(get(), { kind: 'limited', retryAfterMs: 60_000 })
  await clock.advance(60_000)
  await get()
})

test('a realm at the registry itself has a circuit of its own', async (t) => {
  const { registry, upstream, get } = await setUp(t, { auth: { scheme: 'bearer' } })
  registry.fault({ match: { kind: 'token' }, do: [status(500)] })
  await failThrice(get, 'failed')
  await until(() => upstream.health().retryInMs !== undefined)
  await assert.rejects(get(), { kind: 'circuitOpen', message: /its token realm/ })
  assert.equal(upstream.mayBeAsked('client'), true)
})

test('a circuit that opens and closes is one line each, whatever is asked meanwhile', async (t) => {
  const registry = await startFakeRegistry(t)
  registry.addImage('team/app', 'v1')
  const clock = new ManualClock()
  const entry = entryOf(registry)
  const { upstreams, log } = makeUpstreams(t, { registries: [entry], clock, random: () => 0.5 })
  const upstream = upstreams.of(entry.name)
  const fault = registry.fault({ match: {}, do: [status(500)] })
  for (let n = 0; n < 20; n++) await assert.rejects(upstream.getManifest(REPOSITORY, TAG))
  fault.remove()
  const recovered = upstream.untilMayBeAsked('client')
  await clock.advance(1_000)
  await recovered
  await upstream.getManifest(REPOSITORY, TAG)
  assert.deepEqual(
    log.lines.filter(({ level }) => level !== 'debug').map(({ level, message, fields }) => [level, message, fields.upstream]),
    [
      ['warn', 'upstream is down: it is not asked until it answers a probe', registry.origin],
      ['info', 'upstream answers again', registry.origin],
    ],
  )
})
