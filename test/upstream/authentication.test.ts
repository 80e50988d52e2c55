/** Challenges and credentials: every form that real registries send, and where a credential must never go. */
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import type { RegistryConfig } from '../../src/config/config.ts'
import { parseRegistry, parseRepository } from '../../src/oci/name.ts'
import type { RegistryClient } from '../../src/upstream/registry-client.ts'
import { ManualClock } from '../support/clock.ts'
import { type FakeRegistry, startFakeRegistry } from '../support/fake-registry.ts'
import { type AuthOptions, FakeAuth } from '../support/fake-registry-auth.ts'
import { body, cutAt, hang, header, redirect, redirectToCdn, status } from '../support/fake-registry-faults.ts'
import { Gate } from '../support/fake-registry-reply.ts'
import { temporaryDirectory } from '../support/files.ts'
import { bytesOfBody, entryOf, makeUpstreams, password, REPOSITORY, TAG, upstreamOf } from './support.ts'

const ANN = password('ann', 'pw:1')
const USERS = { ann: 'pw:1' }
const BASIC = `Basic ${Buffer.from('ann:pw:1').toString('base64')}`

type Setup = { registry: FakeRegistry; upstream: RegistryClient; get: () => Promise<unknown> }

async function setUp(t: TestContext, auth: AuthOptions, credentials?: RegistryConfig['auth']): Promise<Setup> {
  const registry = await startFakeRegistry(t, { auth })
  registry.addImage('team/app', 'v1')
  const upstream = upstreamOf(t, registry, credentials === undefined ? {} : { auth: credentials })
  return { registry, upstream, get: () => upstream.getManifest(REPOSITORY, TAG) }
}

/** What the realm was asked for: query and authorization. */
function asked(realm: FakeRegistry): [query: string, authorization: string | undefined][] {
  return realm.requests({ kind: 'token' }).map(({ query, headers }) => [decodeURIComponent(String(query)), headers.authorization])
}

const OWN_SCOPE = 'repository:team/app:pull'

// A registry each. `query`: what the realm must be asked
const rows: [registry: string, auth: AuthOptions, credentials: RegistryConfig['auth'] | undefined, query: string | undefined][] = [
  ['Docker Hub, anonymous', { scheme: 'bearer', service: 'registry.docker.io', expiresInSeconds: 300 }, undefined, `service=registry.docker.io&scope=${OWN_SCOPE}`],
  ['Docker Hub, with a user', { scheme: 'bearer', service: 'registry.docker.io', users: USERS, anonymous: true }, ANN, `service=registry.docker.io&scope=${OWN_SCOPE}`],
  ['GHCR', { scheme: 'bearer', service: 'ghcr.io' }, undefined, `service=ghcr.io&scope=${OWN_SCOPE}`],
  ['Quay, with a robot', { scheme: 'bearer', service: 'quay.io', users: USERS }, ANN, `service=quay.io&scope=${OWN_SCOPE}`],
  ['GCR: the challenge is only at /v2/, without scope', { scheme: 'bearer', service: 'gcr.io', challengeAt: 'ping', needsScope: true }, undefined, `service=gcr.io&scope=${OWN_SCOPE}`],
  ['ECR private: basic, no tokens', { scheme: 'basic', users: USERS }, ANN, undefined],
  ['ECR Public: a scope of its own, verbatim', { scheme: 'bearer', service: 'public.ecr.aws', scope: { verbatim: 'aws' } }, undefined, 'service=public.ecr.aws&scope=aws'],
  ['ACR: only access_token', { scheme: 'bearer', service: 'x.azurecr.io', tokenField: 'access_token', users: USERS }, ANN, `service=x.azurecr.io&scope=${OWN_SCOPE}`],
  ['NVCR: realm only, no service', { scheme: 'bearer', scope: 'none', needsScope: true }, undefined, `scope=${OWN_SCOPE}`],
  ['GitLab: no scope in the challenge, 403 without', { scheme: 'bearer', service: 'container_registry', scope: 'none', needsScope: true, users: USERS }, ANN, `service=container_registry&scope=${OWN_SCOPE}`],
  ['Harbor', { scheme: 'bearer', service: 'harbor-registry', expiresInSeconds: 1800, users: USERS }, ANN, `service=harbor-registry&scope=${OWN_SCOPE}`],
  ['Nexus: basic and bearer in two lines', { scheme: 'both', service: 'n', users: USERS }, ANN, `service=n&scope=${OWN_SCOPE}`],
  ['JFrog: basic and bearer joined in one', { scheme: 'both', service: 'j', users: USERS, joined: true }, ANN, `service=j&scope=${OWN_SCOPE}`],
] // biome-ignore format: a table
for (const [name, auth, credentials, query] of rows) {
  test(`${name}: a pull goes through`, async (t) => {
    const { registry, get } = await setUp(t, auth, credentials)
    await get()
    await get()
    assert.deepEqual(asked(registry), query === undefined ? [] : [[query, credentials === undefined ? undefined : BASIC]])
    const manifests = registry.authorizations({ kind: 'manifest' })
    assert.equal(manifests.length, 3, 'the second pull is not challenged')
    assert.equal(manifests[0], undefined, 'nothing is sent before it is asked for')
    assert.match(manifests[1] ?? '', query === undefined ? /^Basic / : /^Bearer token-/)
    assert.equal(manifests[2], manifests[1])
  })
}

test('registry.k8s.io: a challenge behind a redirect is answered with its own scope, without credentials, and remembered there', async (t) => {
  const target = await startFakeRegistry(t, { auth: { scheme: 'bearer', service: 'pkg.dev', users: USERS, anonymous: true } })
  const front = await startFakeRegistry(t)
  target.addImage('team/app', 'v1')
  front.fault({ match: {}, do: [redirect(({ path }) => `${target.origin}${path}`)] })
  const upstream = upstreamOf(t, front, { auth: ANN })
  await upstream.getManifest(REPOSITORY, TAG)
  await upstream.headManifest(REPOSITORY, TAG)
  assert.deepEqual(asked(target), [[`service=pkg.dev&scope=${OWN_SCOPE}`, undefined]])
  assert.deepEqual(front.authorizations(), [undefined, undefined])
  assert.deepEqual(
    target.authorizations({ kind: 'manifest' }).map((sent) => sent?.slice(0, 13)),
    [undefined, 'Bearer token-', 'Bearer token-'],
  )
})

test('GitLab and Elastic: a realm on another host gets the credentials, the registry gets the token', async (t) => {
  const auth = new FakeAuth({ scheme: 'bearer', service: 'container_registry', users: USERS })
  const realm = await startFakeRegistry(t, { realmOf: auth, tokenPath: '/jwt/auth' })
  auth.options = { ...auth.options, realm: `${realm.origin}/jwt/auth?offline=1` }
  const registry = await startFakeRegistry(t, { auth })
  registry.addImage('team/app', 'v1')
  await upstreamOf(t, registry, { auth: ANN }).getManifest(REPOSITORY, TAG)
  assert.deepEqual(asked(realm), [[`offline=1&service=container_registry&scope=${OWN_SCOPE}`, BASIC]])
  assert.equal(registry.authorizations().includes(BASIC), false)
})

test('every repository has a token of its own, and tokens are not mixed up', async (t) => {
  const { registry, upstream } = await setUp(t, { scheme: 'bearer' })
  registry.addImage('other/app', 'v1')
  await upstream.getManifest(REPOSITORY, TAG)
  await upstream.getManifest(parseRepository('other/app'), TAG)
  await upstream.getManifest(REPOSITORY, TAG)
  assert.deepEqual(
    asked(registry).map(([query]) => query),
    [`scope=${OWN_SCOPE}`, 'scope=repository:other/app:pull'],
  )
})

test('one token serves all that a pull needs, asked for once however many want it', async (t) => {
  const { registry, upstream } = await setUp(t, { scheme: 'bearer' })
  const gate = new Gate()
  registry.fault({ match: { kind: 'token' }, do: [hang(gate)] })
  const digests = ['a', 'b', 'c', 'd', 'e', 'f'].map((content) => registry.addBlob(content))
  const blobs = Promise.all(digests.map((digest) => upstream.openBlob(REPOSITORY, digest, 0)))
  await registry.arrived({ kind: 'blob' }, 6)
  await registry.arrived({ kind: 'token' })
  gate.open()
  for (const { body } of await blobs) await bytesOfBody(body)
  assert.equal(registry.count({ kind: 'token' }), 1)
})

test('a client that leaves while a token is on its way does not spoil it for the others', async (t) => {
  const { registry, upstream } = await setUp(t, { scheme: 'bearer' })
  const gate = new Gate()
  registry.fault({ match: { kind: 'token' }, do: [hang(gate)] })
  const leaving = new AbortController()
  const first = upstream.getManifest(REPOSITORY, TAG, leaving.signal)
  await registry.arrived({ kind: 'token' })
  const second = upstream.getManifest(REPOSITORY, TAG)
  await registry.arrived({ kind: 'manifest' }, 2)
  const reason = new Error('client left')
  leaving.abort(reason)
  await assert.rejects(first, (error) => error === reason)
  gate.open()
  await second
  assert.equal(registry.count({ kind: 'token' }), 1)
})

test('a token that expires is renewed before it is refused', async (t) => {
  const clock = new ManualClock()
  const registry = await startFakeRegistry(t, { auth: { scheme: 'bearer', expiresInSeconds: 300 } })
  registry.addImage('team/app', 'v1')
  const upstream = upstreamOf(t, registry, {}, { clock })
  await upstream.getManifest(REPOSITORY, TAG)
  await clock.advance(289_000)
  await upstream.getManifest(REPOSITORY, TAG)
  assert.equal(registry.count({ kind: 'token' }), 1)
  await clock.advance(1_000)
  await upstream.getManifest(REPOSITORY, TAG)
  assert.equal(registry.count({ kind: 'token' }), 2)
  assert.equal(registry.requests().filter((request) => request.status === 401).length, 1)
})

test('a token that is refused is renewed, once', async (t) => {
  const { registry, get } = await setUp(t, { scheme: 'bearer' })
  await get()
  registry.auth?.revokeTokens()
  await get()
  assert.equal(registry.count({ kind: 'token' }), 2)

  registry.ledger.clear()
  registry.fault({ match: { kind: 'manifest' }, do: [status(401, { 'www-authenticate': `Bearer realm="${registry.origin}/token"` })] })
  await assert.rejects(get(), { kind: 'denied' })
  assert.ok(registry.count({ kind: 'manifest' }) <= 3 && registry.count({ kind: 'token' }) <= 2, 'it does not go on for ever')
})

test('a cached token of another repository that shares the scope may be refused: a fresh one is tried', async (t) => {
  const { registry, upstream } = await setUp(t, { scheme: 'bearer', scope: { verbatim: 'aws' } })
  registry.addImage('other/app', 'v1')
  await upstream.getManifest(REPOSITORY, TAG)
  registry.auth?.revokeTokens()
  await upstream.getManifest(parseRepository('other/app'), TAG)
  assert.equal(registry.count({ kind: 'token' }), 2)
  assert.equal(registry.count({ kind: 'manifest', repository: 'other/app' }), 3)
})

test('a registry that changes its mind about tokens is followed', async (t) => {
  const { registry, get } = await setUp(t, { scheme: 'basic', users: USERS }, ANN)
  await get()
  if (registry.auth !== undefined) registry.auth.options = { ...registry.auth.options, scheme: 'bearer' }
  await get()
  assert.match(registry.authorizations({ kind: 'manifest' }).at(-1) ?? '', /^Bearer /)
})

test('a changed password file counts with the next request, for basic and for tokens', async (t) => {
  for (const scheme of ['basic', 'bearer'] as const) {
    const path = join(await temporaryDirectory(t), 'password')
    await writeFile(path, 'pw:1\n')
    const { registry, get } = await setUp(t, { scheme, users: USERS }, { user: 'ann', password: { from: 'file', path } })
    await get()
    if (registry.auth !== undefined) registry.auth.users = { ann: 'another one' }
    registry.auth?.revokeTokens()
    await assert.rejects(get(), { kind: 'denied' })
    await writeFile(path, 'another one\n')
    await get()
  }
})

type Denial = [title: string, auth: AuthOptions, credentials: RegistryConfig['auth'] | undefined, message: RegExp, schemes: string[]]
const denials: Denial[] = [
  ['basic, nothing configured', { scheme: 'basic', users: USERS }, undefined, /answered 401 and asks for basic; no credentials were sent: to pull with some, add auth: \{user: \.\.\., passwordFile: \.\.\.\} to its entry/, ['basic']],
  ['basic, wrong password', { scheme: 'basic', users: { ann: 'x' } }, ANN, /answered 401 .*the credentials of user 'ann' were sent: check user and password/, ['basic']],
  ['a realm that wants credentials', { scheme: 'bearer', users: USERS }, undefined, /its token realm http:\S+ answered 401 \(no anonymous tokens\); it was asked without credentials/, ['bearer']],
  ['a realm that refuses them', { scheme: 'bearer', users: { ann: 'x' } }, ANN, /its token realm http:\S+ answered 401 \(incorrect username or password\); it was asked for user 'ann'/, ['bearer']],
  ['a scheme nobody can answer', { scheme: 'basic', users: USERS, challenges: () => ['Negotiate'] }, ANN, /asks for negotiate; this server can answer Basic and Bearer/, ['negotiate']],
  ['a realm that is no address', { scheme: 'bearer', challenges: () => ['Bearer realm="file:///etc/passwd"'] }, undefined, /asks for bearer/, ['bearer']],
  ['no challenge anywhere', { scheme: 'bearer', challenges: () => [] }, undefined, /answered 401 without a challenge/, []],
] // biome-ignore format: a table
for (const [title, auth, credentials, message, schemes] of denials) {
  test(`denied: ${title}`, async (t) => {
    const { get } = await setUp(t, auth, credentials)
    await assert.rejects(get(), (error: { kind?: string; message: string; challenges?: { scheme: string }[] }) => {
      assert.equal(error.kind, 'denied')
      assert.match(error.message, message)
      assert.match(error.message, /^cannot get manifest team\/app:v1 from 127\.0\.0\.1:\d+: /)
      assert.deepEqual(
        error.challenges?.map(({ scheme }) => scheme),
        schemes,
      )
      assert.doesNotMatch(error.message, /pw:1/)
      return true
    })
  })
}

test('denied: a 403 of the registry says what was sent', async (t) => {
  const { registry, get } = await setUp(t, { scheme: 'basic', users: USERS }, ANN)
  registry.fault({ match: { kind: 'manifest', nth: 2 }, do: [status(403, {}, 'not for you')] })
  await assert.rejects(get(), { kind: 'denied', message: /answered 403 \(not for you\); the credentials of user 'ann' were sent/ })
})

const realmTroubles: [title: string, kind: string, actions: Parameters<FakeRegistry['fault']>[0]['do'], details: object][] = [
  ['fails', 'failed', [status(500)], {}],
  ['cuts its answer', 'unreachable', [cutAt(5)], {}],
  ['sends a page', 'failed', [header('content-length', undefined), body('<html>')], {}],
  ['sends a token without end', 'corrupt', [header('content-length', undefined), body('x'.repeat(1024 * 1024 + 1))], {}],
]
for (const [title, kind, actions, details] of realmTroubles) {
  test(`a realm that ${title} is '${kind}', and asked again the next time`, async (t) => {
    const { registry, get } = await setUp(t, { scheme: 'bearer' })
    const fault = registry.fault({ match: { kind: 'token' }, do: actions })
    await assert.rejects(get(), { kind, ...details })
    fault.remove()
    await get()
  })
}

test("a realm that is limited is 'limited', and says for how long", async (t) => {
  const { registry, get } = await setUp(t, { scheme: 'bearer' })
  registry.fault({ match: { kind: 'token' }, do: [status(429, { 'retry-after': '5' })] })
  await assert.rejects(get(), { kind: 'limited', retryAfterMs: 5_000 })
})

test('a realm that hangs is given up in time', async (t) => {
  const registry = await startFakeRegistry(t, { auth: { scheme: 'bearer' } })
  const clock = new ManualClock()
  const upstream = upstreamOf(t, registry, {}, { clock, pullTimeoutMs: 1_000 })
  registry.fault({ match: { kind: 'token' }, do: [hang()] })
  const late = assert.rejects(upstream.getManifest(REPOSITORY, TAG), { kind: 'timeout' })
  await registry.arrived({ kind: 'token' })
  await clock.advance(1_000)
  await late
})

test('a redirect of the realm is followed; credentials stay at its origin', async (t) => {
  const auth = new FakeAuth({ scheme: 'bearer', users: USERS, anonymous: true })
  const elsewhere = await startFakeRegistry(t, { realmOf: auth })
  const registry = await startFakeRegistry(t, { auth })
  registry.addImage('team/app', 'v1')
  registry.fault({ match: { kind: 'token' }, do: [redirect(({ query }) => `${elsewhere.origin}/token?${query}`)] })
  await upstreamOf(t, registry, { auth: ANN }).getManifest(REPOSITORY, TAG)
  assert.deepEqual(registry.authorizations({ kind: 'token' }), [BASIC])
  assert.deepEqual(elsewhere.authorizations(), [undefined])
})

test('credentials and tokens never follow a redirect off the registry, even to one that asks for them', async (t) => {
  for (const scheme of ['basic', 'bearer'] as const) {
    const thief = await startFakeRegistry(t, { auth: { scheme: 'basic', users: USERS } })
    const { registry, upstream, get } = await setUp(t, { scheme, users: USERS }, ANN)
    await get()
    registry.fault({ match: { kind: 'blob' }, do: [redirect(({ path }) => `${thief.origin}${path}`)] })
    const digest = thief.addBlob('layer')
    registry.addBlob('layer')
    await assert.rejects(upstream.openBlob(REPOSITORY, digest, 0), { kind: 'denied', message: /those of 127\S+ are for http:\S+ only/ })
    assert.deepEqual(new Set(thief.authorizations()), new Set([undefined]))
  }
})

test('a layer behind a signed link is fetched without the token that its registry wanted', async (t) => {
  const { registry, upstream } = await setUp(t, { scheme: 'bearer' })
  const cdn = await startFakeRegistry(t, { content: registry.content })
  const digest = registry.addBlob('layer')
  registry.fault({ match: { kind: 'blob' }, do: [redirectToCdn(cdn.origin)] })
  // a redirect replaces whatever answer there would have been: let the challenge through first
  await upstream.getManifest(REPOSITORY, TAG)
  assert.equal(String(await bytesOfBody((await upstream.openBlob(REPOSITORY, digest, 0)).body)), 'layer')
  assert.match(registry.authorizations({ kind: 'blob' })[0] ?? '', /^Bearer /)
  assert.deepEqual(cdn.authorizations(), [undefined])
})

test('two registries at one address keep their credentials and tokens apart', async (t) => {
  const registry = await startFakeRegistry(t, { auth: { scheme: 'bearer', users: { ann: 'a', bob: 'b' } } })
  registry.addImage('team/app', 'v1')
  const entries = [
    entryOf(registry, { name: parseRegistry('one.example'), auth: password('ann', 'a') }),
    entryOf(registry, { name: parseRegistry('two.example'), auth: password('bob', 'b') }),
  ]
  const { upstreams } = makeUpstreams(t, { registries: entries })
  for (const { name } of entries) await upstreams.of(name).getManifest(REPOSITORY, TAG)
  const users = registry.authorizations({ kind: 'token' }).map((sent) => Buffer.from(sent?.slice(6) ?? '', 'base64').toString())
  assert.deepEqual(users, ['ann:a', 'bob:b'])
})

test('no credential and no token is ever logged', async (t) => {
  const registry = await startFakeRegistry(t, { auth: { scheme: 'bearer', users: USERS } })
  registry.addImage('team/app', 'v1')
  const cdn = await startFakeRegistry(t, { content: registry.content })
  const entry = entryOf(registry, { auth: ANN })
  const { upstreams, log } = makeUpstreams(t, { registries: [entry] })
  await upstreams.of(entry.name).getManifest(REPOSITORY, TAG)
  registry.fault({ match: { kind: 'blob' }, do: [redirectToCdn(cdn.origin)] })
  await bytesOfBody((await upstreams.of(entry.name).openBlob(REPOSITORY, registry.addBlob('x'), 0)).body)
  const text = JSON.stringify(log.lines)
  assert.match(text, /upstream answered/)
  for (const secret of ['pw:1', BASIC.slice(6), 'token-', 'secret']) assert.equal(text.includes(secret), false, secret)
})
