/** A pull-only registry: whatever would write is 405 with Allow under `/v2/`, whatever the path, and the connection stays in order. */
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { type FakeRegistry, startFakeRegistry } from '../support/fake-registry.ts'
import { entry, startServer, type TestServer } from '../support/server.ts'
import { headersOf } from '../wire/answers.ts'

async function start(t: TestContext): Promise<{ hub: FakeRegistry; server: TestServer }> {
  const hub = await startFakeRegistry(t)
  return { hub, server: await startServer(t, { registries: [entry(hub, 'docker.io')] }) }
}

const METHODS = ['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'PROPFIND', 'PURGE']

const paths = [
  '/v2/',
  '/v2',
  '/docker.io/v2/',
  '/v2/library/alpine/blobs/uploads/',
  '/v2/library/alpine/blobs/uploads/?mount=sha256:00&from=x',
  '/v2/library/alpine/blobs/uploads/0123-4567',
  '/v2/library/alpine/manifests/3',
  '/v2/docker.io/library/alpine/manifests/3?ns=docker.io',
  `/v2/library/alpine/blobs/sha256:${'0'.repeat(64)}`,
  '/quay.io/v2/a/b/manifests/1',
  '/v2/a/tags/list',
  '/v2/a/referrers/sha256:00',
  '/v2/_catalog',
  '/v2/no/such/thing',
  // not even looked at
  '/v2/../x/manifests/1',
  '/v2/%ff/manifests/%',
  '/v2/a%2fb/manifests/1',
  '/v2/UPPER/manifests/1?ns=no%20host',
  '/no-host/v2/a/manifests/1',
]

for (const method of METHODS) {
  test(`${method} is 405 with Allow on any path under /v2/`, async (t) => {
    const { hub, server } = await start(t)
    const before = await server.files()
    const connection = await server.connect()
    for (const target of paths) {
      const response = await connection.ask({ method, target })
      assert.equal(response.status, 405, target)
      const headers = headersOf(response)
      assert.equal(headers.allow, 'GET, HEAD')
      assert.equal(headers['content-type'], 'application/json')
      assert.equal(headers['docker-distribution-api-version'], 'registry/2.0')
      assert.equal(headers['cache-status'], 'ociregistry')
      assert.equal((response.json() as { errors: { code: string }[] }).errors[0]?.code, 'UNSUPPORTED')
    }
    assert.equal(hub.count(), 0)
    assert.deepEqual(await server.files(), before)
  })
}

test('a write where there is nothing at all is 404', async (t) => {
  const { server } = await start(t)
  for (const target of ['/v1/repositories', '/token', '/a/b/c', '*']) {
    assert.equal((await server.ask({ method: target === '*' ? 'OPTIONS' : 'POST', target })).status, 404)
  }
})

test('a write with a big body: the answer comes, and the connection serves the next request', async (t) => {
  const { hub, server } = await start(t)
  hub.addImage('library/alpine', '3')
  const connection = await server.connect()
  const body = Buffer.alloc(20_000_000, 'x')
  for (const method of ['PUT', 'PATCH', 'POST']) {
    connection.send({ method, target: '/v2/library/alpine/blobs/uploads/1', headers: { 'content-length': String(body.length) } })
    const refused = await connection.response()
    assert.equal(refused.status, 405) // at once: the body is still here
    await connection.writeAll(body)
    assert.equal((await connection.ask({ target: '/v2/library/alpine/manifests/3' })).status, 200)
  }
})

test('a write in chunks: the answer comes, and the connection serves the next request', async (t) => {
  const { server } = await start(t)
  const connection = await server.connect()
  connection.send({ method: 'PATCH', target: '/v2/a/blobs/uploads/1', headers: { 'transfer-encoding': 'chunked' } })
  for (let i = 0; i < 200; i++) await connection.writeAll(Buffer.from(`10000\r\n${'x'.repeat(0x10000)}\r\n`))
  connection.write('0\r\n\r\n')
  assert.equal((await connection.response()).status, 405)
  assert.equal((await connection.ask({ target: '/v2/' })).status, 200)
})

test('a client that waits for permission to send its body is refused without it', async (t) => {
  const { server } = await start(t)
  const connection = await server.connect()
  const headers = { expect: '100-continue', 'content-length': '1000000000' }
  connection.send({ method: 'PUT', target: '/v2/a/blobs/uploads/1', headers })
  const first = await connection.response()
  assert.equal(first.status, 405, 'no 100 Continue before the refusal')
  assert.equal(first.header('connection'), 'close') // where its body would have begun nobody could tell
  assert.equal(await connection.ending(), 'fin')
})

test('a client that leaves in the middle of a write harms nobody', async (t) => {
  const { server } = await start(t)
  for (const how of ['fin', 'rst'] as const) {
    const connection = await server.connect()
    connection.send({ method: 'PUT', target: '/v2/a/manifests/1', headers: { 'content-length': '1000000' } })
    await connection.writeAll(Buffer.alloc(1000))
    connection.close(how)
  }
  assert.equal((await server.get('/v2/')).status, 200)
  assert.deepEqual(
    server.log.lines.filter(({ level }) => level === 'error'),
    [],
  )
})
