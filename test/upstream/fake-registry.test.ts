/** The fake registry does what tests believe it does: else they would prove nothing. */
import assert from 'node:assert/strict'
import { Agent, request as httpRequest, type IncomingHttpHeaders, type IncomingMessage } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { type TestContext, test } from 'node:test'
import { gunzipSync } from 'node:zlib'
import { digestOf } from '../../src/oci/digest.ts'
import { makeAuthority } from '../support/certificates.ts'
import { type FakeRegistry, type FakeRegistryOptions, startFakeRegistry } from '../support/fake-registry.ts'
import {
  type Action,
  body,
  chunked,
  cutAt,
  flipBit,
  gzip,
  hang,
  hangAt,
  header,
  redirect,
  redirectLoop,
  redirectToCdn,
  refuse,
  status,
  throttle,
  wrongLength,
} from '../support/fake-registry-faults.ts'
import { Gate } from '../support/fake-registry-reply.ts'
import { temporaryDirectory } from '../support/files.ts'
import { until } from '../support/until.ts'

type Got = { status: number; headers: IncomingHttpHeaders; body: Buffer; error?: string }

/** Never rejects once headers came: what was read, and how it ended. */
function get(url: string, options: { method?: string; headers?: Record<string, string>; ca?: string } = {}): Promise<Got> {
  const send = url.startsWith('https') ? httpsRequest : httpRequest
  return new Promise((resolve, reject) => {
    const { ca, ...rest } = options
    const agent = url.startsWith('https') ? {} : { agent: new Agent({ keepAlive: false }) }
    let answered: ((error?: string) => void) | undefined
    const req = send(url, { ...rest, ...agent, ...(ca === undefined ? {} : { ca }) }, (res) => {
      const chunks: Buffer[] = []
      const done = (error?: string): void =>
        resolve({
          status: res.statusCode ?? 0,
          headers: res.headers,
          body: Buffer.concat(chunks),
          ...(error === undefined ? {} : { error }),
        })
      answered = done
      res.on('data', (chunk: Buffer) => chunks.push(chunk))
      res.on('error', (error: NodeJS.ErrnoException) => done(error.code))
      res.on('end', () => done())
    })
    req.on('error', (error: NodeJS.ErrnoException) => (answered === undefined ? reject(error) : answered(error.code)))
    req.end()
  })
}

async function withBlob(t: TestContext, ...actions: Action[]): Promise<{ registry: FakeRegistry; url: string; content: Buffer }> {
  const registry = await startFakeRegistry(t)
  const content = Buffer.from('0123456789'.repeat(10))
  const digest = registry.addBlob(content)
  registry.fault({ match: { kind: 'blob' }, do: actions })
  return { registry, url: `${registry.origin}/v2/a/b/blobs/${digest}`, content }
}

test('the fake registry serves an image, its index, tags and referrers', async (t) => {
  const registry = await startFakeRegistry(t, { pageSize: 1 })
  const image = registry.addImage('team/app', 'v1', { layers: [Buffer.from('one')] })
  const index = registry.addIndex('team/app', 'latest', [{ digest: image.digest, platform: { os: 'linux', architecture: 'amd64' } }])
  registry.addImage('team/app', undefined, { fields: { subject: { digest: index, size: 1, mediaType: 'x' }, artifactType: 'sbom' } })
  const at = (path: string) => get(`${registry.origin}/v2/team/app/${path}`)

  const manifest = await at('manifests/v1')
  assert.equal(manifest.headers['docker-content-digest'], digestOf(manifest.body))
  assert.deepEqual(JSON.parse(String((await at('manifests/latest')).body)).manifests[0].digest, image.digest)
  assert.equal(String((await at(`blobs/${image.layers[0]}`)).body), 'one')
  const tags = await at('tags/list')
  assert.deepEqual(JSON.parse(String(tags.body)).tags, ['latest'])
  assert.equal(tags.headers.link, '</v2/team/app/tags/list?n=1&last=latest>; rel="next"')
  assert.equal(JSON.parse(String((await at(`referrers/${index}`)).body)).manifests[0].artifactType, 'sbom')
  assert.equal((await at('manifests/v2')).status, 404)
  assert.equal(registry.count({ kind: 'manifest', repository: 'team/app' }), 3)
})

test('the fake registry counts bytes and requests per digest, serves ranges and HEAD, and waits for arrivals', async (t) => {
  const { registry, url, content } = await withBlob(t)
  const arrived = registry.arrived({ kind: 'blob' }, 3)
  assert.deepEqual((await get(url, { headers: { range: 'bytes=10-19' } })).body, content.subarray(10, 20))
  assert.equal((await get(url, { headers: { range: 'bytes=100-' } })).headers['content-range'], 'bytes */100')
  assert.equal((await get(url, { method: 'HEAD' })).headers['content-length'], '100')
  await arrived
  assert.equal(registry.bytesSent(digestOf(content)), 10)
  assert.equal(registry.count({ digest: digestOf(content), ranged: true }), 2)
})

test('a generated blob is the same at any offset, and its digest is right', async (t) => {
  const registry = await startFakeRegistry(t)
  const digest = registry.addGeneratedBlob('seed', 700_001)
  const url = `${registry.origin}/v2/a/blobs/${digest}`
  const whole = (await get(url)).body
  assert.equal(digestOf(whole), digest)
  const part = (await get(url, { headers: { range: 'bytes=262139-262160' } })).body
  assert.deepEqual(part, whole.subarray(262139, 262161))
})

const faults: [string, Action[], (got: Got, content: Buffer) => void][] = [
  ['cutAt by FIN', [cutAt(40)], (got, content) => assert.deepEqual([got.error, got.body], ['ECONNRESET', content.subarray(0, 40)])],
  ['cutAt by RST', [cutAt(40, 'rst')], (got) => assert.equal(got.error, 'ECONNRESET')],
  ['flipBit', [flipBit(7)], (got) => assert.equal(String(got.body.subarray(6, 9)), '668')],
  ['throttle', [throttle(100_000)], (got, content) => assert.deepEqual(got.body, content)],
  ['wrongLength, too long', [wrongLength(200)], (got) => assert.deepEqual([got.error, got.body.length], ['ECONNRESET', 100])],
  ['wrongLength, too short', [wrongLength(50)], (got) => assert.equal(got.error, 'HPE_CLOSED_CONNECTION')],
  ['chunked', [chunked()], (got) => assert.deepEqual([got.headers['content-length'], got.body.length], [undefined, 100])],
  [
    'header',
    [header('docker-content-digest', 'x'), header('content-type', undefined)],
    (got) => assert.equal(got.headers['docker-content-digest'], 'x'),
  ],
  ['gzip', [gzip()], (got, content) => assert.deepEqual(gunzipSync(got.body), content)],
  ['status', [status(429, { 'retry-after': '7' })], (got) => assert.deepEqual([got.status, got.headers['retry-after']], [429, '7'])],
  ['body', [body('x')], (got) => assert.equal(String(got.body), 'x')],
  ['redirect', [redirect('/elsewhere', 302)], (got) => assert.deepEqual([got.status, got.headers.location], [302, '/elsewhere'])],
  ['redirectLoop', [redirectLoop()], (got) => assert.match(got.headers.location ?? '', /^\/v2\/a\/b\/blobs\/sha256:/)],
  ['two at once', [status(500), chunked()], (got) => assert.deepEqual([got.status, got.headers['content-length']], [500, undefined])],
]
for (const [name, actions, check] of faults) {
  test(`fault ${name}`, async (t) => {
    const { url, content } = await withBlob(t, ...actions)
    check(await get(url), content)
  })
}

test('fault refuse resets the connection; a stopped registry refuses, and comes back on its port', async (t) => {
  const { registry, url } = await withBlob(t, refuse())
  await assert.rejects(get(url), { code: 'ECONNRESET' })
  await registry.stop()
  await assert.rejects(get(url), { code: 'ECONNREFUSED' })
  await registry.start()
  assert.equal((await get(`${registry.origin}/v2/`)).status, 200)
})

test('faults hang and hangAt wait for their gates', async (t) => {
  const [before, middle] = [new Gate(), new Gate()]
  const { registry, url, content } = await withBlob(t, hang(before), hangAt(30, middle))
  const got = get(url)
  await registry.arrived({ kind: 'blob' })
  assert.equal(registry.requests()[0]?.status, undefined)
  before.open()
  await until(() => registry.bytesSent(digestOf(content)) >= 30)
  assert.equal(registry.bytesSent(digestOf(content)), 30)
  middle.open()
  assert.deepEqual((await got).body, content)
})

test('a fault hits only the requests it names: nth, times, match', async (t) => {
  const registry = await startFakeRegistry(t)
  const digest = registry.addBlob('x')
  const fault = registry.fault({ match: { kind: 'blob', nth: 2 }, do: [status(500)] })
  registry.fault({ match: { kind: 'ping', times: 1 }, do: [status(503)] })
  const statuses = async (path: string) => [(await get(registry.origin + path)).status, (await get(registry.origin + path)).status]
  assert.deepEqual(await statuses(`/v2/a/blobs/${digest}`), [200, 500])
  assert.deepEqual(await statuses('/v2/'), [503, 200])
  assert.equal(fault.hits, 1)
})

test('a CDN serves the same content to those who come without credentials', async (t) => {
  const registry = await startFakeRegistry(t)
  const cdn = await startFakeRegistry(t, { content: registry.content })
  const digest = registry.addBlob('layer')
  registry.fault({ match: { kind: 'blob' }, do: [redirectToCdn(cdn.origin)] })
  const { location = '' } = (await get(`${registry.origin}/v2/a/b/blobs/${digest}`)).headers
  assert.equal(String((await get(location)).body), 'layer')
  assert.equal((await get(location, { headers: { authorization: 'Bearer x' } })).status, 400)
  assert.deepEqual(cdn.authorizations({ digest }), [undefined, 'Bearer x'])
})

const basic = (text: string) => ({ authorization: `Basic ${Buffer.from(text).toString('base64')}` })

test('basic authentication lets the right password in', async (t) => {
  const registry = await startFakeRegistry(t, { auth: { scheme: 'basic', users: { ann: 'pw:x' } } })
  const refused = await get(`${registry.origin}/v2/`)
  assert.deepEqual([refused.status, refused.headers['www-authenticate']], [401, 'Basic realm="fake registry"'])
  assert.equal((await get(`${registry.origin}/v2/`, { headers: basic('ann:wrong') })).status, 401)
  assert.equal((await get(`${registry.origin}/v2/`, { headers: basic('ann:pw:x') })).status, 200)
})

test('bearer authentication wants a token of the right scope, until it is revoked', async (t) => {
  const registry = await startFakeRegistry(t, { auth: { scheme: 'bearer', service: 's', tokenField: 'access_token' } })
  registry.addImage('a/b', 'v1')
  const ask = async (authorization = '') => (await get(`${registry.origin}/v2/a/b/manifests/v1`, { headers: { authorization } })).status
  const tokenFor = async (scope: string) =>
    `Bearer ${JSON.parse(String((await get(`${registry.origin}/token?scope=${scope}`)).body)).access_token}`
  const challenge = (await get(`${registry.origin}/v2/a/b/manifests/v1`)).headers['www-authenticate']
  assert.equal(challenge, `Bearer realm="${registry.origin}/token",service="s",scope="repository:a/b:pull"`)
  const token = await tokenFor('repository:a/b:pull')
  assert.deepEqual([await ask(), await ask(token), await ask(await tokenFor('other'))], [401, 200, 401])
  registry.auth?.revokeTokens()
  assert.equal(await ask(token), 401)
})

test('over TLS: the certificate is checked, and a reset still resets', async (t) => {
  const authority = await makeAuthority(await temporaryDirectory(t))
  const registry = await startFakeRegistry(t, { tls: await authority.issue('127.0.0.1', 'localhost') } satisfies FakeRegistryOptions)
  const digest = registry.addBlob('x'.repeat(100))
  const url = `${registry.origin}/v2/a/blobs/${digest}`
  assert.equal((await get(url, { ca: authority.cert })).body.length, 100)
  await assert.rejects(get(url), { code: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE' })
  registry.fault({ match: { kind: 'blob' }, do: [cutAt(40, 'rst')] })
  assert.equal((await get(url, { ca: authority.cert })).error, 'ECONNRESET')
})

test('200 MB pass in seconds, and no faster than they are read', async (t) => {
  const registry = await startFakeRegistry(t)
  const size = 200 * 1024 * 1024
  const digest = registry.addGeneratedBlob('big', size)
  const res = await new Promise<IncomingMessage>((resolve) => {
    httpRequest(`${registry.origin}/v2/a/blobs/${digest}`, { agent: false }, resolve).end()
  })
  for (let last = -1; registry.bytesSent(digest) !== last; ) {
    last = registry.bytesSent(digest)
    await new Promise((resolve) => setTimeout(resolve, 30))
  }
  assert.ok(registry.bytesSent(digest) < size / 4)
  let received = 0
  for await (const chunk of res) received += (chunk as Buffer).length
  assert.equal(received, size)
})
