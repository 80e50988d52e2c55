/** Credentials out of files that are for many registries: who gets which, and what happens when the files change. */
import assert from 'node:assert/strict'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import type { RegistryConfig } from '../../src/config/config.ts'
import { parseCredsFile } from '../../src/config/creds-file.ts'
import { parseRegistry, parseRepository, type Repository } from '../../src/oci/name.ts'
import type { UpstreamsOptions } from '../../src/upstream/upstreams.ts'
import { ManualClock } from '../support/clock.ts'
import { helperPrograms } from '../support/credential-helper.ts'
import { type FakeRegistry, startFakeRegistry } from '../support/fake-registry.ts'
import type { AuthOptions } from '../support/fake-registry-auth.ts'
import { redirect, status } from '../support/fake-registry-faults.ts'
import { temporaryDirectory } from '../support/files.ts'
import type { MemoryLog } from '../support/log.ts'
import { until } from '../support/until.ts'
import { entryOf, makeUpstreams, password, REPOSITORY, TAG } from './support.ts'

const USERS = { ann: 'pw-a', bob: 'pw-b', cy: 'pw-c' }
const LIBRARY = parseRepository('library/alpine')
const pair = (user: keyof typeof USERS) => `${user}:${USERS[user]}`
const base64 = (text: string) => Buffer.from(text).toString('base64')

type Files = { readonly creds?: string; readonly docker?: (host: string) => object | string; readonly entry?: Partial<RegistryConfig> }
type Setup = {
  registry: FakeRegistry
  get: (repository?: Repository) => Promise<unknown>
  put: (name: 'creds' | 'docker', content: string) => Promise<void>
  remove: (name: 'creds' | 'docker') => Promise<void>
  log: MemoryLog
  directory: string
}

/** A registry with two images, and files that know its host as HOST. */
async function setUp(t: TestContext, auth: AuthOptions, files: Files, options: Partial<UpstreamsOptions> = {}): Promise<Setup> {
  const directory = await temporaryDirectory(t)
  const registry = await startFakeRegistry(t, { auth })
  for (const repository of ['team/app', 'library/alpine']) registry.addImage(repository, 'v1')
  const path = (name: string) => join(directory, name)
  const put = (name: string, content: string) => writeFile(path(name), content.replaceAll('HOST', registry.host))
  if (files.creds !== undefined) await put('creds', files.creds)
  const docker = files.docker?.(registry.host)
  if (docker !== undefined) await put('docker', typeof docker === 'string' ? docker : JSON.stringify(docker))
  const entry = entryOf(registry, files.entry)
  const credentials = {
    credsFile: files.creds === undefined ? undefined : { path: path('creds'), parse: parseCredsFile },
    dockerConfig: docker === undefined ? undefined : path('docker'),
  }
  const { upstreams, log } = makeUpstreams(t, { registries: [entry], credentials, ...options })
  const get = (repository = REPOSITORY) => upstreams.of(entry.name).getManifest(repository, TAG)
  return { registry, get, put, remove: (name) => rm(path(name)), log, directory }
}

/** Who asked a registry or its realm, in order; undefined for nobody. */
function askers(registry: FakeRegistry, kind: 'manifest' | 'token'): (string | undefined)[] {
  return registry
    .authorizations({ kind })
    .map((sent) => (sent?.startsWith('Basic ') ? Buffer.from(sent.slice(6), 'base64').toString() : sent?.slice(0, 6)))
}

for (const scheme of ['basic', 'bearer'] as const) {
  const kind = scheme === 'basic' ? 'manifest' : 'token'
  const asked = (registry: FakeRegistry) => askers(registry, kind).filter((who) => who !== undefined)

  test(`${scheme}: the credentials of the longest prefix are used, and those of one repository for no other`, async (t) => {
    const creds = 'HOST: {username: ann, password: pw-a}\nHOST/library: {username: bob, password: pw-b}'
    const { registry, get } = await setUp(t, { scheme, users: USERS, scope: { verbatim: 'shared' } }, { creds })
    for (const repository of [REPOSITORY, LIBRARY]) await get(repository)
    assert.deepEqual(asked(registry), [pair('ann'), pair('bob')])
    registry.ledger.clear()
    for (const repository of [LIBRARY, REPOSITORY]) await get(repository)
    assert.deepEqual(asked(registry), scheme === 'basic' ? [pair('bob'), pair('ann')] : [])
    assert.equal(new Set(registry.authorizations({ kind: 'manifest' })).size, 2, 'each repository has its own')
  })

  test(`${scheme}: a change of the file counts with the next request`, async (t) => {
    const { registry, get, put } = await setUp(t, { scheme, users: USERS }, { creds: 'HOST: {username: ann, password: pw-a}' })
    await get()
    await put('creds', 'HOST: {username: bob, password: pw-b}')
    const before = registry.count({ kind: 'manifest' })
    await get()
    assert.deepEqual(asked(registry), [pair('ann'), pair('bob')])
    assert.equal(registry.authorizations({ kind: 'manifest' })[before], undefined, 'what was learnt with others is learnt anew')
    await put('creds', 'other.example: {username: bob, password: pw-b}')
    registry.ledger.clear()
    await assert.rejects(get(), { kind: 'denied', message: /without credentials|no credentials were sent/ })
    assert.deepEqual(asked(registry), [])
    assert.doesNotMatch(JSON.stringify(registry.authorizations({ kind: 'manifest' })), /Basic|Bearer/, 'no token of the old credentials')
  })
}

test("Credentials for Docker Hub count under each of its names, also for a prefix, and go to Docker Hub's host alone", async (t) => {
  const hub = { scheme: 'basic', users: USERS } as const
  for (const name of ['docker.io', 'index.docker.io', 'registry-1.docker.io', 'registry.hub.docker.com']) {
    const creds = await parseCredsFile(
      'x',
      Buffer.from(`${name}: {username: ann, password: pw-a}\n${name}/library: {username: bob, password: pw-b}`),
    )
    assert.deepEqual(
      creds.credentials.map(({ prefix }) => prefix),
      [
        { registry: 'docker.io', path: '' },
        { registry: 'docker.io', path: 'library' },
      ],
    )
  }
  // an entry that has Docker Hub come from elsewhere: what the file has for Docker Hub is not for that host
  const { registry, get } = await setUp(t, hub, {
    creds: 'docker.io: {username: ann, password: pw-a}',
    entry: { name: parseRegistry('docker.io') },
  })
  await assert.rejects(get(LIBRARY), { kind: 'denied' })
  assert.deepEqual(askers(registry, 'manifest'), [undefined])
})

test('The host that is asked decides, whatever clients call it', async (t) => {
  const files = { creds: 'HOST: {username: ann, password: pw-a}', entry: { name: parseRegistry('quay.io') } }
  const { registry, get } = await setUp(t, { scheme: 'basic', users: USERS }, files)
  await get()
  assert.deepEqual(askers(registry, 'manifest'), [undefined, pair('ann')])
})

const orders: [sentence: string, files: Files, user: keyof typeof USERS][] = [
  [
    'The credentials of an entry win over the files',
    {
      creds: 'HOST/team/app: {username: bob, password: pw-b}',
      docker: (host) => ({ auths: { [host]: { auth: base64(pair('cy')) } } }),
      entry: { auth: password('ann', 'pw-a') },
    },
    'ann',
  ],
  [
    "credsFile wins over Docker's configuration",
    { creds: 'HOST: {username: bob, password: pw-b}', docker: (host) => ({ auths: { [`${host}/team`]: { auth: base64(pair('cy')) } } }) },
    'bob',
  ],
  [
    "What credsFile does not have may be in Docker's configuration",
    { creds: 'other.example: {username: bob, password: pw-b}', docker: (host) => ({ auths: { [host]: { auth: base64(pair('cy')) } } }) },
    'cy',
  ],
  [
    "podman's paths count, the longest first",
    { docker: (host) => ({ auths: { [host]: { auth: base64('x:y') }, [`${host}/team`]: { auth: base64(pair('cy')) } } }) },
    'cy',
  ],
  ['Keys with a scheme count', { docker: (host) => ({ auths: { [`https://${host}/v2/`]: { auth: base64(pair('cy')) } } }) }, 'cy'],
]
for (const [sentence, files, user] of orders) {
  test(sentence, async (t) => {
    const { registry, get } = await setUp(t, { scheme: 'bearer', users: USERS }, files)
    await get()
    assert.deepEqual(askers(registry, 'token'), [pair(user)])
  })
}

test("An entry may name a configuration of Docker's for itself, which alone counts then", async (t) => {
  const directory = await temporaryDirectory(t)
  const dockerConfig = join(directory, 'auth.json')
  await writeFile(dockerConfig, '{}')
  const files = { creds: 'HOST: {username: bob, password: pw-b}', entry: { auth: { dockerConfig } } }
  const { registry, get } = await setUp(t, { scheme: 'basic', users: USERS }, files)
  await assert.rejects(get(), { kind: 'denied', message: /no credentials were sent/ })
  await writeFile(dockerConfig, JSON.stringify({ auths: { [registry.host]: { auth: base64(pair('ann')) } } }))
  await get()
  assert.deepEqual(askers(registry, 'manifest'), [undefined, undefined, pair('ann')])
})

test('A file that became bad or is gone counts as it last was good, and one line says so; another says that it is good again', async (t) => {
  const good = 'HOST: {username: ann, password: pw-a}'
  const { registry, get, put, remove, log, directory } = await setUp(t, { scheme: 'basic', users: USERS }, { creds: good })
  await get()
  await put('creds', '# half\nHOST: {username: ann, pasword: pw-z}')
  for (let i = 0; i < 3; i++) await get()
  await remove('creds')
  for (let i = 0; i < 2; i++) await get()
  await put('creds', `# back\n${good}`)
  for (let i = 0; i < 2; i++) await get()
  assert.deepEqual(askers(registry, 'manifest'), [undefined, ...Array(8).fill(pair('ann'))])
  const lines = log.lines.filter(({ level }) => level !== 'debug')
  const path = join(directory, 'creds')
  assert.deepEqual(
    lines.map(({ level, fields }) => [level, fields.path]),
    [
      ['error', path],
      ['error', path],
      ['info', path],
    ],
  )
  assert.match(
    String(lines[0]?.fields.error),
    /creds:2: "127\.0\.0\.1:\d+\.pasword"|creds:2: "127\.0\.0\.1:\d+"\.pasword: found an unknown key/,
  )
  assert.match(String(lines[1]?.fields.error), /ENOENT/)
  assert.doesNotMatch(JSON.stringify(log.lines), /pw-/)
})

test('A file that was never good denies what needs credentials, and nothing else', async (t) => {
  const { registry, get, put } = await setUp(t, { scheme: 'basic', users: USERS }, { creds: 'HOST: secret' })
  await assert.rejects(get(), { kind: 'denied', message: /credentials cannot be had: \S*creds:1: / })
  await put('creds', 'HOST: {username: ann, password: pw-a}')
  await get()
  if (registry.auth !== undefined) registry.auth.guard = () => undefined
  await put('creds', 'HOST: secret!')
  await get()
})

test('A wrong password says in which file it stands', async (t) => {
  for (const scheme of ['basic', 'bearer'] as const) {
    const { get, directory } = await setUp(t, { scheme, users: USERS }, { creds: 'HOST: {username: ann, password: wrong}' })
    const message = new RegExp(`check user and password in ${join(directory, 'creds')}`)
    await assert.rejects(get(), { kind: 'denied', message })
  }
})

const TOKENS: AuthOptions = { scheme: 'bearer', service: 'x.azurecr.io', users: USERS, identityTokens: { 'id-1': 'ann', 'id-2': 'ann' } }
const withIdentity = (token: string) => (host: string) => ({ auths: { [host]: { auth: base64('0:'), identitytoken: token } } })

test('An identity token is exchanged by POST for a token, which is kept as others are', async (t) => {
  const { registry, get, log } = await setUp(t, { ...TOKENS, tokenField: 'access_token' }, { docker: withIdentity('id-1') })
  await get()
  await get()
  const [request, ...others] = registry.requests({ kind: 'token' })
  assert.deepEqual(others, [])
  assert.deepEqual(
    [request?.method, request?.path, String(request?.query), request?.headers.authorization],
    ['POST', '/token', '', undefined],
  )
  assert.deepEqual(Object.fromEntries(request?.form ?? []), {
    grant_type: 'refresh_token',
    service: 'x.azurecr.io',
    client_id: 'ociregistry',
    scope: 'repository:team/app:pull',
    refresh_token: 'id-1',
  })
  assert.doesNotMatch(JSON.stringify(log.lines), /id-1|token-/)
})

test('An identity token that is refused says where it stands, and a new one counts at once', async (t) => {
  const { get, put, registry, directory } = await setUp(t, TOKENS, { docker: withIdentity('expired') })
  const message = new RegExp(`it was asked with an identity token: check the identity token in ${join(directory, 'docker')}`)
  await assert.rejects(get(), { kind: 'denied', message })
  await put('docker', JSON.stringify(withIdentity('id-2')(registry.host)))
  await get()
})

test('An identity token follows no redirect', async (t) => {
  const thief = await startFakeRegistry(t, { auth: TOKENS })
  const { registry, get } = await setUp(t, TOKENS, { docker: withIdentity('id-1') })
  for (const code of [302, 307, 308] as const) {
    const fault = registry.fault({ match: { kind: 'token' }, do: [redirect(() => `${thief.origin}/token`), status(code)] })
    await assert.rejects(get(), { kind: 'failed' })
    fault.remove()
  }
  assert.equal(thief.count(), 0)
})

test('An identity token is no password', async (t) => {
  const { registry, get } = await setUp(t, { scheme: 'basic', users: USERS }, { docker: withIdentity('id-1') })
  await assert.rejects(get(), { kind: 'denied', message: /asks for basic; an identity token can only answer Bearer/ })
  assert.deepEqual(askers(registry, 'manifest'), [undefined])
})

for (const [what, of] of [
  [
    'A helper of its own',
    (host: string) => ({ credHelpers: { [host]: 'x' }, credsStore: 'nobody', auths: { [host]: { auth: base64('no:no') } } }),
  ],
  ['The store for all', (host: string) => ({ credsStore: 'x', auths: { [host]: {} } })],
] as const) {
  test(`${what} is asked for the registry, once, and only when it wants credentials`, async (t) => {
    const programs = await helperPrograms(t)
    await programs.answering('x', 'ann', 'pw-a')
    const { registry, get } = await setUp(t, { scheme: 'bearer', users: USERS }, { docker: of }, { env: programs.env })
    for (const repository of [REPOSITORY, LIBRARY, REPOSITORY]) await get(repository)
    assert.deepEqual(askers(registry, 'token'), [pair('ann'), pair('ann')])
    assert.deepEqual(await programs.asked('x'), [`get ${registry.host}`])
  })
}

test('A store is not asked for what stands in the file', async (t) => {
  const programs = await helperPrograms(t)
  const docker = (host: string) => ({ credsStore: 'nobody', auths: { [host]: { auth: base64(pair('ann')) } } })
  const { get } = await setUp(t, { scheme: 'basic', users: USERS }, { docker }, { env: programs.env })
  await get()
})

test('A helper that knows nothing of the registry makes the pull anonymous', async (t) => {
  const programs = await helperPrograms(t)
  await programs.add('x', 'echo "credentials not found in native keychain"; exit 1')
  const { registry, get } = await setUp(t, { scheme: 'bearer' }, { docker: () => ({ credsStore: 'x' }) }, { env: programs.env })
  await get()
  assert.deepEqual(askers(registry, 'token'), [undefined])
})

const refusals: [how: string, auth: AuthOptions, refuse: (registry: FakeRegistry) => void][] = [
  ['a password with 401', { scheme: 'basic' }, () => {}],
  [
    'an expired password with 403, as ECR does',
    { scheme: 'basic' },
    (registry) => registry.fault({ match: { kind: 'manifest', nth: 1 }, do: [status(403)] }),
  ],
  ['a password at its realm', { scheme: 'bearer', expiresInSeconds: 60 }, (registry) => registry.auth?.revokeTokens()],
]
for (const [how, auth, refuse] of refusals) {
  test(`A registry that refuses ${how} has the helper asked once more, in the same pull`, async (t) => {
    const programs = await helperPrograms(t)
    await programs.answering('x', 'ann', 'pw-a')
    const { registry, get } = await setUp(t, { ...auth, users: USERS }, { docker: () => ({ credsStore: 'x' }) }, { env: programs.env })
    await get()
    await programs.answering('x', 'bob', 'pw-b')
    if (registry.auth !== undefined) registry.auth.users = { bob: 'pw-b' }
    registry.ledger.clear()
    refuse(registry)
    await get()
    assert.equal((await programs.asked('x')).length, 2)
    assert.equal(askers(registry, auth.scheme === 'basic' ? 'manifest' : 'token').at(-1), pair('bob'))
    registry.ledger.clear()
    await get()
    assert.equal(registry.requests().filter(({ status: code }) => code !== 200).length, 0, 'what helped is kept')
  })
}

test('A realm that refuses to renew a token has the helper asked once more, in the same pull', async (t) => {
  const programs = await helperPrograms(t)
  await programs.answering('x', 'ann', 'pw-a')
  const clock = new ManualClock()
  const auth = { scheme: 'bearer', expiresInSeconds: 60, users: USERS } as const
  const { registry, get } = await setUp(t, auth, { docker: () => ({ credsStore: 'x' }) }, { env: programs.env, clock })
  await get()
  await programs.answering('x', 'bob', 'pw-b')
  if (registry.auth !== undefined) registry.auth.users = { bob: 'pw-b' }
  await clock.advance(60_000)
  await get()
  assert.deepEqual([(await programs.asked('x')).length, askers(registry, 'token').at(-1)], [2, pair('bob')])
})

test('A helper whose answer stays wrong is asked once more, and the pull is denied', async (t) => {
  const programs = await helperPrograms(t)
  await programs.answering('x', 'ann', 'wrong')
  for (const scheme of ['basic', 'bearer'] as const) {
    const before = (await programs.asked('x')).length
    const { get, registry } = await setUp(t, { scheme, users: USERS }, { docker: () => ({ credsStore: 'x' }) }, { env: programs.env })
    const message = /check user and password in what docker-credential-x has for 127\.0\.0\.1:\d+/
    for (let i = 0; i < 3; i++) await assert.rejects(get(), { kind: 'denied', message })
    assert.equal((await programs.asked('x')).length - before, 2)
    assert.ok(registry.count() < 15)
  }
})

test('A helper that hangs fails the pull with a timeout, and its failure is in the log once', async (t) => {
  const programs = await helperPrograms(t)
  await programs.add('x', 'touch "$HELPERS/started"; exec sleep 1000')
  const clock = new ManualClock()
  const options = { env: programs.env, clock, pullTimeoutMs: 60_000 }
  const { get, log } = await setUp(t, { scheme: 'basic', users: USERS }, { docker: () => ({ credsStore: 'x' }) }, options)
  const late = assert.rejects(get(), {
    kind: 'timeout',
    message: /docker-credential-x gave no credentials for \S+: it did not answer within 10000 ms/,
  })
  await until(async () => (await programs.asked('x')).length === 1, 'the helper has started')
  await clock.advance(10_000)
  await late
  assert.deepEqual(
    log.lines.filter(({ level }) => level !== 'debug').map(({ message, fields }) => [message, fields.helper]),
    [['a credential helper gave no answer', 'docker-credential-x']],
  )
})
