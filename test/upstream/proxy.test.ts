/** Upstreams through a proxy: what it sees, what it cannot do, and what is said when it does not lead anywhere. */
import assert from 'node:assert/strict'
import { createServer, type Socket } from 'node:net'
import { type TestContext, test } from 'node:test'
import type { RegistryConfig } from '../../src/config/config.ts'
import { parseRegistry } from '../../src/oci/name.ts'
import type { RegistryClient } from '../../src/upstream/registry-client.ts'
import type { UpstreamsOptions } from '../../src/upstream/upstreams.ts'
import { type Authority, makeAuthority } from '../support/certificates.ts'
import { ManualClock } from '../support/clock.ts'
import { type FakeRegistry, type FakeRegistryOptions, startFakeRegistry } from '../support/fake-registry.ts'
import { FakeAuth } from '../support/fake-registry-auth.ts'
import { redirect } from '../support/fake-registry-faults.ts'
import { temporaryDirectory } from '../support/files.ts'
import { type FakeProxy, type FakeProxyOptions, startFakeProxy, through } from '../support/proxy.ts'
import { until } from '../support/until.ts'
import { bytesOfBody, entryOf, makeUpstreams, password, REPOSITORY, TAG, type TestUpstreams } from './support.ts'

type Failure = { readonly kind?: string; readonly message: string }

/** Nobody but the proxy can look names up. */
const resolve = async (name: string) => assert.fail(`${name} was looked up`)

type Entry = Partial<Omit<RegistryConfig, 'tls'>> & { readonly tls?: Partial<RegistryConfig['tls']> }

/** The upstream of a fake registry under a name that only the proxy knows. */
function proxied(
  t: TestContext,
  registry: FakeRegistry,
  proxy: string,
  entry: Entry = {},
  options: Partial<UpstreamsOptions> = {},
): TestUpstreams & { readonly upstream: RegistryClient } {
  const config = entryOf(registry, { name: parseRegistry('registry.test'), address: `registry.test:${registry.port}`, ...entry })
  const made = makeUpstreams(t, { registries: [config], resolve, env: {}, proxies: through(proxy), ...options })
  return { ...made, upstream: made.upstreams.of(config.name) }
}

async function startHttp(t: TestContext, options: FakeRegistryOptions = {}): Promise<FakeRegistry> {
  const registry = await startFakeRegistry(t, options)
  registry.addImage('team/app', 'v1')
  return registry
}

async function startHttps(t: TestContext, ...names: string[]): Promise<{ registry: FakeRegistry; authority: Authority }> {
  const authority = await makeAuthority(await temporaryDirectory(t))
  const leaf = await authority.issue(...(names.length === 0 ? ['registry.test', '127.0.0.1'] : names))
  return { registry: await startHttp(t, { tls: leaf }), authority }
}

test('an https registry is reached by CONNECT: the proxy sees its host and port, and nothing of the requests', async (t) => {
  const { registry, authority } = await startHttps(t)
  const proxy = await startFakeProxy(t)
  const { upstream } = proxied(t, registry, proxy.origin, { tls: { ca: authority.certPath } })
  await upstream.getManifest(REPOSITORY, TAG)
  const digest = registry.addGeneratedBlob('through a tunnel', 8 * 1024 * 1024)
  const { body } = await upstream.openBlob(REPOSITORY, digest, 0)
  assert.equal((await bytesOfBody(body)).length, 8 * 1024 * 1024)
  assert.deepEqual([...new Set(proxy.targets())], [`registry.test:${registry.port}`])
  assert.deepEqual(
    [...new Set(proxy.asked.map(({ method, headers }) => `${method} ${Object.keys(headers).sort()}`))],
    ['CONNECT connection,host'],
  )
  assert.equal(proxy.asked[0]?.headers.host, `registry.test:${registry.port}`)
})

test('an http registry is asked for in absolute form, with its own Host', async (t) => {
  const registry = await startHttp(t)
  const proxy = await startFakeProxy(t)
  const { upstream } = proxied(t, registry, proxy.origin)
  await upstream.getManifest(REPOSITORY, TAG)
  assert.equal(String(await bytesOfBody((await upstream.openBlob(REPOSITORY, registry.addBlob('x'), 0)).body)), 'x')
  assert.deepEqual(await upstream.listTags(REPOSITORY), ['v1'])
  assert.equal(await upstream.headManifest(REPOSITORY, TAG), (await upstream.getManifest(REPOSITORY, TAG)).digest)
  const origin = `http://registry.test:${registry.port}/v2/team/app/`
  assert.ok(proxy.targets().every((target) => target.startsWith(origin)))
  assert.deepEqual(registry.requests()[0]?.headers.host, `registry.test:${registry.port}`)
})

for (const scheme of ['http', 'https'] as const) {
  test(`connections through a proxy to an ${scheme} registry are kept, and ended with the upstream`, async (t) => {
    const { registry, authority } = await startHttps(t)
    const target = scheme === 'https' ? registry : await startHttp(t)
    const proxy = await startFakeProxy(t)
    const { upstream, upstreams } = proxied(t, target, proxy.origin, scheme === 'https' ? { tls: { ca: authority.certPath } } : {})
    for (let round = 0; round < 3; round++) {
      await upstream.getManifest(REPOSITORY, TAG)
      await new Promise((done) => setTimeout(done, 5)) // undici frees a connection a turn of the loop after its answer
    }
    assert.equal(proxy.connections(), 1)
    await upstreams.close()
    await until(() => proxy.connections() === 0)
  })
}

test('user and password of the proxy go to the proxy, and to nobody else', async (t) => {
  const { registry, authority } = await startHttps(t)
  const plain = await startHttp(t)
  const proxy = await startFakeProxy(t, { credentials: 'ann:p@s:s' })
  const url = proxy.origin.replace('//', '//ann:p%40s%3As@')
  await proxied(t, registry, url, { tls: { ca: authority.certPath }, auth: password('bob', 'registry') }).upstream.getManifest(
    REPOSITORY,
    TAG,
  )
  await proxied(t, plain, url).upstream.getManifest(REPOSITORY, TAG)
  assert.deepEqual(
    proxy.asked.map(({ headers }) => [headers['proxy-authorization'], headers.authorization]),
    [0, 1].map(() => [`Basic ${Buffer.from('ann:p@s:s').toString('base64')}`, undefined]),
  )
  for (const { headers } of [...registry.requests(), ...plain.requests()]) assert.equal(headers['proxy-authorization'], undefined)
})

test('a proxy that is reached by https is verified by the system, whatever the entry of the registry says', async (t) => {
  const { registry, authority } = await startHttps(t)
  const system = await makeAuthority(await temporaryDirectory(t), 'system')
  const proxy = await startFakeProxy(t, { tls: await system.issue('127.0.0.1') })
  const tls = { ca: authority.certPath }
  await proxied(t, registry, proxy.origin, { tls }, { env: { SSL_CERT_FILE: system.certPath } }).upstream.getManifest(REPOSITORY, TAG)
  const plain = await startHttp(t)
  await proxied(t, plain, proxy.origin, {}, { env: { SSL_CERT_FILE: system.certPath } }).upstream.getManifest(REPOSITORY, TAG)
  const wrong: Entry[] = [{ tls }, { tls: { insecureSkipVerify: true } }]
  for (const entry of wrong) {
    await assert.rejects(
      proxied(t, registry, proxy.origin, entry, { env: { SSL_CERT_FILE: authority.certPath } }).upstream.getManifest(REPOSITORY, TAG),
      {
        kind: 'tls',
        message: /the proxy https:\/\/127\.0\.0\.1:\d+ \(HTTPS_PROXY\) does not lead there: .*SSL_CERT_FILE; correct HTTPS_PROXY/,
      },
    )
  }
  const named = proxy.origin.replace('127.0.0.1', 'localhost')
  const env = { SSL_CERT_FILE: system.certPath }
  const elsewhere = proxied(t, registry, named, { tls }, { env, resolve: async () => [{ address: '127.0.0.1', family: 4 }] })
  await assert.rejects(elsewhere.upstream.getManifest(REPOSITORY, TAG), {
    kind: 'tls',
    message: /the proxy https:\/\/localhost:\d+ .*altnames/,
  })
})

test('TLS within the tunnel keeps to the entry: CA, client certificate, name, and insecureSkipVerify of that entry only', async (t) => {
  const { registry, authority } = await startHttps(t)
  const proxy = await startFakeProxy(t)
  const get = (entry: Entry, target = registry) => proxied(t, target, proxy.origin, entry).upstream.getManifest(REPOSITORY, TAG)
  await get({ tls: { insecureSkipVerify: true } })
  await assert.rejects(get({}), { kind: 'tls', message: /https:\/\/registry\.test:\d+ \(through the proxy http:\S+ \(HTTPS_PROXY\)\): / })
  const other = { name: parseRegistry('other.test'), address: `other.test:${registry.port}`, tls: { ca: authority.certPath } }
  await assert.rejects(get(other), { kind: 'tls', message: /altnames/ })
  const leaf = await authority.issue('registry.test')
  const mutual = await startHttp(t, { tls: { ...leaf, clientCa: authority.cert } })
  const client = await authority.issue('client')
  await get({ tls: { ca: authority.certPath, cert: client.certPath, key: client.keyPath } }, mutual)
  await assert.rejects(get({ tls: { ca: authority.certPath } }, mutual))
})

test('a registry that is not believed leaves no connection to the proxy behind, be it http or https', async (t) => {
  const { registry } = await startHttps(t)
  const system = await makeAuthority(await temporaryDirectory(t), 'system')
  for (const options of [{}, { tls: await system.issue('127.0.0.1') }]) {
    const proxy = await startFakeProxy(t, options)
    const { upstream } = proxied(t, registry, proxy.origin, {}, { env: { SSL_CERT_FILE: system.certPath } })
    await assert.rejects(upstream.getManifest(REPOSITORY, TAG), {
      kind: 'tls',
      message: /https:\/\/registry\.test:\d+ \(through the proxy/,
    })
    await until(() => proxy.connections() === 0)
  }
})

test('redirects and token realms go through the proxy as well, each host by its own rule', async (t) => {
  const auth = new FakeAuth({ scheme: 'bearer', users: { ann: 'pw' } })
  const realm = await startFakeRegistry(t, { realmOf: auth })
  auth.options = { ...auth.options, realm: `http://realm.test:${realm.port}/token` }
  const registry = await startHttp(t, { auth })
  const cdn = await startFakeRegistry(t, { content: registry.content })
  const direct = await startFakeRegistry(t, { content: registry.content })
  const proxy = await startFakeProxy(t, { credentials: 'joe:pw' })
  const looked: string[] = []
  const lookUp = async (name: string) => {
    looked.push(name)
    return [{ address: '127.0.0.1', family: 4 }]
  }
  const digest = registry.addBlob('layer')
  const entry = { auth: password('ann', 'pw') }
  // the registry itself is reached directly, so that this machine's addresses are allowed to what it redirects to
  const { upstream } = proxied(t, registry, '', entry, {
    proxies: through(proxy.origin.replace('//', '//joe:pw@'), 'direct.test,registry.test'),
    resolve: lookUp,
  })
  await upstream.getManifest(REPOSITORY, TAG)
  for (const [host, target] of [
    ['cdn.test', cdn],
    ['direct.test', direct],
  ] as const) {
    const fault = registry.fault({ match: { kind: 'blob' }, do: [redirect(`http://${host}:${target.port}/v2/team/app/blobs/${digest}`)] })
    assert.equal(String(await bytesOfBody((await upstream.openBlob(REPOSITORY, digest, 0)).body)), 'layer')
    fault.remove()
  }
  assert.deepEqual(
    proxy.targets().map((target) => new URL(target).host),
    [`realm.test:${realm.port}`, `cdn.test:${cdn.port}`],
  )
  assert.deepEqual([...new Set(looked)].sort(), ['direct.test', 'registry.test'])
  for (const { headers } of cdn.requests()) assert.equal(headers.authorization, undefined)
  for (const { headers } of [...registry.requests(), ...direct.requests()]) assert.equal(headers['proxy-authorization'], undefined)
})

const literals: [location: string, refused: string][] = [
  ['http://169.254.169.254/latest/', '169.254.169.254 (metadata)'],
  ['http://169.254.169.254./latest/', '169.254.169.254 (metadata)'],
  ['http://0xa9fea9fe/', '169.254.169.254 (metadata)'],
  ['http://2852039166/', '169.254.169.254 (metadata)'],
  ['http://0251.0376.0251.0376/', '169.254.169.254 (metadata)'],
  ['http://[::ffff:169.254.169.254]/', '::ffff:a9fe:a9fe (metadata)'],
  ['http://[fd00:ec2::254]/', 'fd00:ec2::254 (metadata)'],
  ['http://127.0.0.1:1/', '127.0.0.1 (loopback)'],
  ['http://127.1:1/', '127.0.0.1 (loopback)'],
  ['http://[::1]:1/', '::1 (loopback)'],
  ['http://[::ffff:7f00:1]:1/', '::ffff:7f00:1 (loopback)'],
  ['http://0.0.0.0:1/', '0.0.0.0 (unspecified)'],
  ['http://169.254.1.1/', '169.254.1.1 (linkLocal)'],
  ['http://localhost:1/', '127.0.0.1 (loopback)'],
  ['http://localhost.:1/', '127.0.0.1 (loopback)'],
]
for (const [location, refused] of literals) {
  test(`a proxy on loopback opens no way to ${location}: it is refused before the proxy is asked`, async (t) => {
    const registry = await startHttp(t)
    const proxy = await startFakeProxy(t)
    registry.fault({ match: {}, do: [redirect(location)] })
    const { upstream } = proxied(t, registry, proxy.origin, {}, { resolve: async () => [{ address: '127.0.0.1', family: 4 }] })
    await assert.rejects(upstream.getManifest(REPOSITORY, TAG), ({ kind, message }: Failure) => {
      assert.equal(kind, 'refusedAddress')
      assert.ok(message.includes(refused), message)
      return true
    })
    assert.equal(proxy.asked.length, 1)
  })
}

test('unconfigured registries at refused literals are not asked for at the proxy either', async (t) => {
  const proxy = await startFakeProxy(t)
  for (const name of ['169.254.169.254', '[::ffff:169.254.169.254]', '2852039166', '127.0.0.1:5000', '0.0.0.0:5000']) {
    const upstream = makeUpstreams(t, { proxies: through(proxy.origin), resolve }).upstreams.of(name as ReturnType<typeof parseRegistry>)
    await assert.rejects(upstream.getManifest(REPOSITORY, TAG), { kind: 'refusedAddress' })
  }
  assert.equal(proxy.asked.length, 0)
})

/** A port that nobody listens on, as far as anybody can know. */
async function closedPort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
  const { port } = server.address() as { port: number }
  await new Promise((closed) => server.close(closed))
  return port
}

const answers: [title: string, options: FakeProxyOptions, kind: string, problem: RegExp][] = [
  [
    'refuses by 403',
    { answer: 'HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\n\r\nno!\n' },
    'unreachable',
    /it answered 403 when asked for registry\.test:\d+; it has to allow that, or NO_PROXY to list the registry$/,
  ],
  [
    'cannot reach it (502)',
    { answer: 'HTTP/1.1 502 Bad Gateway\r\n\r\n' },
    'unreachable',
    /it answered 502 when asked for registry\.test:\d+; the registry may be down, or belong into NO_PROXY$/,
  ],
  ['answers 302', { answer: 'HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\n\r\n' }, 'unreachable', /it answered 302/],
  ['answers 100', { answer: 'HTTP/1.1 100 Continue\r\n\r\n' }, 'unreachable', /it answered 100/],
  [
    'wants credentials',
    { credentials: 'ann:pw' },
    'unreachable',
    /it answered 407 when asked for \S+ and wants user and password, which the URL has not; correct user and password in HTTPS_PROXY$/,
  ],
  [
    'wants what nobody here knows',
    { credentials: 'ann:pw', challenge: 'Negotiate, NTLM' },
    'unreachable',
    /it answered 407 when asked for \S+ and wants negotiate, ntlm, of which this server knows only basic; correct user and password in HTTPS_PROXY$/,
  ],
  [
    'talks nonsense',
    { answer: 'SSH-2.0-OpenSSH_9.2\r\n' },
    'failed',
    /does not lead there: Parse Error.*; correct HTTPS_PROXY, or list the registry in NO_PROXY$/,
  ],
  ['answers without end', { answer: `HTTP/1.1 200 OK\r\n${'X-Pad: 0123456789\r\n'.repeat(2000)}` }, 'failed', /does not lead there: /],
  [
    'says more than it was asked',
    { early: 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}' },
    'failed',
    /it sent more than an answer to CONNECT/,
  ],
]
for (const [title, options, kind, problem] of answers) {
  test(`a proxy that ${title}: one line that names it, and what to do`, async (t) => {
    const { registry, authority } = await startHttps(t)
    const proxy = await startFakeProxy(t, options)
    const { upstream } = proxied(t, registry, proxy.origin, { tls: { ca: authority.certPath } })
    for (const call of [() => upstream.getManifest(REPOSITORY, TAG), () => upstream.openBlob(REPOSITORY, registry.addBlob('x'), 0)]) {
      await assert.rejects(call(), (error: Failure) => {
        assert.equal(error.kind, kind, error.message)
        assert.match(
          error.message,
          new RegExp(`^cannot get \\S+ \\S+ from registry.test: the proxy ${proxy.origin} \\(HTTPS_PROXY\\) does not lead there: `),
        )
        assert.match(error.message, problem)
        return true
      })
    }
    assert.equal(registry.count(), 0)
    await until(() => proxy.connections() === 0)
  })
}

for (const scheme of ['http', 'https'] as const) {
  test(`a proxy that is down, or refuses a password: said without the password (${scheme})`, async (t) => {
    const { registry } = await startHttps(t)
    const target = scheme === 'https' ? registry : await startHttp(t)
    const proxy = await startFakeProxy(t, { credentials: 'ann:pw' })
    for (const [port, kind, problem] of [
      [await closedPort(), 'unreachable', 'ECONNREFUSED'],
      [proxy.port, 'unreachable', 'refuses the user and password of the URL'],
    ] as const) {
      const { upstream, log } = proxied(t, target, `http://ann:s3cret@127.0.0.1:${port}`)
      for (const call of [() => upstream.getManifest(REPOSITORY, TAG), () => upstream.openBlob(REPOSITORY, target.addBlob('x'), 0)]) {
        await assert.rejects(call(), (error: Failure & { cause?: unknown }) => {
          const variable = scheme === 'http' ? 'HTTP_PROXY' : 'HTTPS_PROXY'
          assert.equal(error.kind, kind, error.message)
          assert.ok(error.message.includes(`the proxy http://127.0.0.1:${port} (${variable})`), error.message)
          assert.ok(error.message.includes(problem), error.message)
          assert.doesNotMatch(JSON.stringify([error.message, String(error.cause), log.lines]), /s3cret|YW5uOnMzY3JldA/)
          return true
        })
      }
    }
  })
}

for (const [title, tls] of [
  ['before it answers CONNECT', true],
  ['before it answers at all', false],
] as const) {
  test(`a proxy that hangs ${title} is given up`, async (t) => {
    const clock = new ManualClock()
    const { registry } = await startHttps(t)
    const proxy = await startFakeProxy(t, { answer: '' })
    const target = tls ? registry : await startHttp(t)
    const { upstream } = proxied(t, target, proxy.origin, {}, { clock, pullTimeoutMs: 5_000, budgets: { connectMs: 1_000 } })
    const expected = tls
      ? { kind: 'timeout', message: /the proxy http:\S+ \(HTTPS_PROXY\) does not lead there: no connection within 1000 ms; correct / }
      : { kind: 'timeout', message: /did not answer within 5000 ms/ }
    const late = assert.rejects(upstream.getManifest(REPOSITORY, TAG), expected)
    await until(() => proxy.asked.length > 0)
    await clock.advance(tls ? 1_000 : 5_000)
    await late
    await until(() => proxy.connections() === 0)
    assert.equal(clock.sleeping, 0)
  })
}

test('a tunnel that leads to nobody who speaks TLS is given up in the time of a connection', async (t) => {
  const clock = new ManualClock()
  const silent = createServer((socket: Socket) => socket.on('error', () => {}))
  const opened = new Promise<Socket>((accepted) => silent.once('connection', accepted))
  await new Promise<void>((listening) => silent.listen(0, '127.0.0.1', listening))
  t.after(() => silent.close())
  const { registry } = await startHttps(t)
  const proxy: FakeProxy = await startFakeProxy(t)
  const address = `registry.test:${(silent.address() as { port: number }).port}`
  const { upstream } = proxied(t, registry, proxy.origin, { address }, { clock, budgets: { connectMs: 1_000 } })
  const late = assert.rejects(upstream.getManifest(REPOSITORY, TAG), { kind: 'timeout' })
  await opened
  await until(() => clock.sleeping >= 2)
  await clock.advance(1_000)
  await late
  await until(() => proxy.connections() === 0)
})

test('what a proxy writes into the tunnel of others is not taken for the registry', async (t) => {
  const { registry, authority } = await startHttps(t)
  const early = 'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}'
  const proxy = await startFakeProxy(t, { answer: 'HTTP/1.1 200 OK\r\n\r\n', late: early })
  for (const tls of [{ ca: authority.certPath }, { insecureSkipVerify: true }]) {
    const { upstream } = proxied(t, registry, proxy.origin, { tls })
    await assert.rejects(upstream.getManifest(REPOSITORY, TAG), {
      kind: 'tls',
      message: /https:\/\/registry\.test:\d+ \(through the proxy http:\S+ \(HTTPS_PROXY\)\): it does not speak TLS; /,
    })
  }
})

test('what comes of an http registry through a proxy names the proxy, since it may be its own', async (t) => {
  const registry = await startHttp(t)
  const proxy = await startFakeProxy(t)
  const { upstream } = proxied(t, registry, proxy.origin)
  await registry.stop()
  await assert.rejects(upstream.getManifest(REPOSITORY, TAG), {
    kind: 'failed',
    message: /http:\/\/registry\.test:\d+ \(through the proxy http:\/\/127\.0\.0\.1:\d+ \(HTTP_PROXY\)\) answered 502/,
  })
})
