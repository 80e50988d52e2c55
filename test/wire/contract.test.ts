/** What every client relies on, whichever it is: lengths, ranges, conditions, errors, and what must never be in an answer. */
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { type Digest, digestOf } from '../../src/oci/digest.ts'
import { OCI_MANIFEST } from '../../src/oci/media-type.ts'
import { type FakeRegistry, type FakeRegistryOptions, startFakeRegistry } from '../support/fake-registry.ts'
import { header } from '../support/fake-registry-faults.ts'
import { entry, startServer, type TestServer } from '../support/server.ts'
import { assertBlob, assertError, assertManifest, HIT, MISS, type WantedManifest } from './answers.ts'

const NAME = '/v2/library/alpine'
const HEX = '0'.repeat(64)
const MIB = 1024 * 1024

async function start(t: TestContext, options: FakeRegistryOptions = {}): Promise<{ hub: FakeRegistry; server: TestServer }> {
  const hub = await startFakeRegistry(t, options)
  return { hub, server: await startServer(t, { registries: [entry(hub, 'docker.io')] }) }
}

/** A blob that is asked for twice: while it is fetched, and when it is stored. */
async function missThenHit(server: TestServer, check: (cache: string) => Promise<void>): Promise<void> {
  for (const cache of [MISS, HIT]) {
    await check(cache)
    await server.settled()
  }
}

const ofNoUse = [
  { range: 'bytes=0-' },
  { range: 'bytes=5-10' },
  { range: 'bytes=-1' },
  { range: 'bytes=99999999-' },
  { range: 'bytes=10-5' },
  { range: 'bytes=0-1,5-6' },
  { range: 'bytes=0-1', 'if-range': '"something else"' },
  { 'if-modified-since': 'Fri, 31 Dec 2100 23:59:59 GMT' },
  { 'if-match': '"something else"' },
  { 'if-unmodified-since': 'Thu, 01 Jan 1970 00:00:00 GMT' },
  { accept: 'text/html' },
  { 'accept-encoding': 'zstd;q=1.0, gzip;q=0.8, deflate;q=0.5' },
  { te: 'trailers, deflate' },
]

for (const headers of ofNoUse) {
  test(`a manifest is 200, whole and as it is, whatever a client says with ${JSON.stringify(headers)}`, async (t) => {
    const { hub, server } = await start(t)
    const { digest, bytes } = hub.addImage('library/alpine', '3')
    const manifest = { digest, bytes, mediaType: OCI_MANIFEST }
    for (const reference of ['3', digest]) {
      const target = `${NAME}/manifests/${reference}`
      assertManifest(await server.head(target, headers), manifest, { method: 'HEAD', cache: reference === '3' ? MISS : HIT })
      assertManifest(await server.get(target, headers), manifest)
    }
  })
}

for (const encoding of ['gzip', 'zstd;q=1.0, gzip;q=0.8, deflate;q=0.5', 'identity;q=0, *', '']) {
  test(`a blob is never encoded, also for a client that asks for '${encoding}', whole or in part`, async (t) => {
    const { hub, server } = await start(t)
    const bytes = Buffer.alloc(200_000, 'this would compress well ')
    const digest = hub.addBlob(bytes)
    await missThenHit(server, async (cache) => {
      const ask = (headers: Record<string, string>) => server.get(`${NAME}/blobs/${digest}`, { 'accept-encoding': encoding, ...headers })
      assertBlob(await ask({}), { digest, bytes }, { cache })
      await server.settled()
      assertBlob(await ask({ range: 'bytes=10-19' }), { digest, bytes, part: [10, 19] })
    })
  })
}

test('HEAD of a blob is about the whole, also with Range', async (t) => {
  const { hub, server } = await start(t)
  const bytes = Buffer.alloc(100_000, 'head')
  const digest = hub.addBlob(bytes)
  const target = `${NAME}/blobs/${digest}`
  for (const cache of [MISS, HIT]) {
    for (const range of ['bytes=0-1', 'bytes=99-', 'bytes=100000-', 'bytes=0-1,4-5']) {
      assertBlob(await server.head(target, { range }), { digest, bytes }, { method: 'HEAD', cache })
    }
    assert.equal((await server.get(target)).status, 200)
    await server.settled()
  }
})

const outside = ['bytes=1000-', 'bytes=1000-1000', 'bytes=2000-3000', 'bytes=500-0', 'bytes=-0', `bytes=${'9'.repeat(30)}-`]

for (const range of outside) {
  test(`${range} of 1000 bytes is 416 with the size, and the connection goes on`, async (t) => {
    const { hub, server } = await start(t)
    const bytes = Buffer.alloc(1000, 'outside')
    const digest = hub.addBlob(bytes)
    const connection = await server.connect()
    await missThenHit(server, async (cache) => {
      const refused = await connection.ask({ target: `${NAME}/blobs/${digest}`, headers: { range } })
      assertError(refused, 416, 'SIZE_INVALID', { cache, more: { 'content-range': 'bytes */1000' } })
    })
    const last = await connection.ask({ target: `${NAME}/blobs/${digest}`, headers: { range: 'bytes=999-' } })
    assertBlob(last, { digest, bytes, part: [999, 999] })
  })
}

test('a blob of no bytes is 200 for every range that begins with it, and 416 for one that begins behind', async (t) => {
  const { hub, server } = await start(t)
  const digest = hub.addBlob('')
  const target = `${NAME}/blobs/${digest}`
  await missThenHit(server, async (cache) => {
    assertBlob(await server.get(target, { range: 'bytes=0-' }), { digest, bytes: Buffer.alloc(0) }, { cache })
  })
  for (const range of ['bytes=0-0', 'bytes=0-99', 'bytes=-1']) {
    assertBlob(await server.get(target, { range }), { digest, bytes: Buffer.alloc(0) })
  }
  for (const range of ['bytes=1-', 'bytes=5-9']) {
    assertError(await server.get(target, { range }), 416, 'SIZE_INVALID', { cache: HIT, more: { 'content-range': 'bytes */0' } })
  }
})

for (const range of ['bytes=', 'bytes=a-b', 'bytes=1', 'items=0-1', 'bytes=0-1,', '0-1', 'bytes = 0-1 x']) {
  test(`a Range that makes no sense ('${range}') is as if it were not there`, async (t) => {
    const { hub, server } = await start(t)
    const bytes = Buffer.alloc(1000, 'nonsense')
    const digest = hub.addBlob(bytes)
    await missThenHit(server, async (cache) => {
      assertBlob(await server.get(`${NAME}/blobs/${digest}`, { range }), { digest, bytes }, { cache })
    })
  })
}

test('a manifest that the upstream has as a blob too is no blob here, once it is known to be a manifest', async (t) => {
  const { hub, server } = await start(t)
  const { digest, bytes } = hub.addImage('library/alpine', '3')
  assert.equal(hub.addBlob(bytes), digest)
  assert.equal((await server.get(`${NAME}/manifests/3`)).status, 200)
  for (const range of [{}, { range: 'bytes=0-' }]) {
    assertError(await server.get(`${NAME}/blobs/${digest}`, range), 404, 'BLOB_UNKNOWN')
    assertError(await server.head(`${NAME}/blobs/${digest}`, range), 404, 'BLOB_UNKNOWN', { method: 'HEAD' })
  }
  assert.equal(hub.count({ kind: 'blob' }), 0)
})

test('a manifest of 4 MiB is served, one of a byte more is not', async (t) => {
  const { hub, server } = await start(t)
  const least = sizedManifest(0).length
  const add = (tag: string, sizeBytes: number): WantedManifest => {
    const bytes = sizedManifest(sizeBytes - least)
    assert.equal(bytes.length, sizeBytes)
    return { digest: hub.addManifest('library/alpine', tag, bytes), bytes, mediaType: OCI_MANIFEST }
  }
  const largest = add('largest', 4 * MIB)
  assertManifest(await server.get(`${NAME}/manifests/largest`), largest, { cache: MISS })
  assertManifest(await server.head(`${NAME}/manifests/${largest.digest}`), largest, { method: 'HEAD' })
  add('larger', 4 * MIB + 1)
  assertError(await server.get(`${NAME}/manifests/larger`), 502, 'UNAVAILABLE')
})

test('what an upstream says beside its content stays there: limits, cookies, challenges, dates, languages', async (t) => {
  const { hub, server } = await start(t)
  const { digest, bytes, config } = hub.addImage('library/alpine', '3')
  const blob = Buffer.concat([...(hub.content.blob(undefined, config)?.read(0, 10_000) ?? [])])
  const said = {
    'ratelimit-limit': '100;w=21600',
    'ratelimit-remaining': '76;w=21600',
    'docker-ratelimit-source': '192.0.2.1',
    'set-cookie': 'session=secret',
    'www-authenticate': 'Bearer realm="https://auth.example/token"',
    'x-registry-supports-signatures': '1',
    'last-modified': 'Thu, 01 Jan 2026 00:00:00 GMT',
    'cache-control': 'no-store, private',
    'content-language': 'en',
    'content-disposition': 'attachment',
    'content-location': '/elsewhere',
    'strict-transport-security': 'max-age=31536000',
    warning: '299 - "said upstream"',
    etag: '"of the upstream"',
    vary: 'Cookie',
  }
  hub.fault({ match: {}, do: Object.entries(said).map(([name, value]) => header(name, value)) })
  const manifest = { digest, bytes, mediaType: OCI_MANIFEST }
  await missThenHit(server, async (cache) => {
    assertManifest(await server.get(`${NAME}/manifests/3`), manifest, { cache })
    assertBlob(await server.get(`${NAME}/blobs/${config}`), { digest: config, bytes: blob }, { cache })
  })
  for (const path of ['manifests/nowhere', `blobs/sha256:${HEX}`]) {
    assertError(await server.get(`${NAME}/${path}`), 404, path.startsWith('blobs') ? 'BLOB_UNKNOWN' : 'MANIFEST_UNKNOWN')
  }
  const lists = [await server.get(`${NAME}/tags/list`), await server.get(`${NAME}/referrers/${digest}`)]
  for (const { status, headerLines } of lists) {
    assert.equal(status, 200)
    assert.deepEqual(
      headerLines.filter(([name]) => Object.hasOwn(said, name)),
      [],
    )
  }
})

type Refusal = readonly [status: number, code: string, path: string, more?: Record<string, string>, headers?: Record<string, string>]

const refusals: Refusal[] = [
  [400, 'NAME_INVALID', '/v2/Upper/manifests/3'],
  [400, 'MANIFEST_INVALID', `${NAME}/manifests/.3`],
  [400, 'DIGEST_INVALID', `${NAME}/manifests/sha256:totallywrong`],
  [400, 'DIGEST_INVALID', `${NAME}/blobs/sha256:ABC`],
  [400, 'UNSUPPORTED', '/v2/library/nothing/tags/list?n=many'],
  [403, 'DENIED', '/v2/a/b/manifests/1?ns=169.254.169.254'],
  [403, 'DENIED', `${NAME}/manifests/3`, {}, { via: '1.1 ociregistry-under-test' }],
  [404, 'UNSUPPORTED', '/v2/_catalog'],
  [404, 'UNSUPPORTED', '/v1/_ping'],
  [404, 'NAME_UNKNOWN', '/mirror/v2/a/manifests/3'],
  [404, 'NAME_UNKNOWN', '/v2/library/nothing/tags/list'],
  [404, 'MANIFEST_UNKNOWN', `/mirror/v2/a/referrers/sha256:${HEX}`], // oras takes NAME_UNKNOWN here for a failure
  [404, 'MANIFEST_UNKNOWN', `${NAME}/manifests/nowhere`],
  [404, 'BLOB_UNKNOWN', `${NAME}/blobs/sha256:${HEX}`],
  [504, 'MANIFEST_UNKNOWN', `${NAME}/manifests/4`, {}, { 'cache-control': 'only-if-cached' }],
]

for (const [status, code, target, more = {}, headers = {}] of refusals) {
  test(`${target} is ${status}: JSON with a length by GET, no body by HEAD, no challenge, and the connection goes on`, async (t) => {
    const { hub, server } = await start(t, { auth: { scheme: 'bearer' } })
    hub.addImage('library/alpine', '3')
    const ns = new URL(target, 'http://server').searchParams.get('ns')
    const wanted = { more, ...(ns === null ? {} : { ns }) }
    const connection = await server.connect()
    for (const method of ['GET', 'HEAD', 'GET'] as const) {
      assertError(await connection.ask({ method, target, headers }), status, code, { ...wanted, method })
    }
  })
}

test('a write is 405 with JSON, a length and Allow, and no challenge', async (t) => {
  const { server } = await start(t, { auth: { scheme: 'basic' } })
  const connection = await server.connect()
  for (const method of ['POST', 'PUT', 'PATCH', 'DELETE']) {
    const refused = await connection.ask({ method, target: `${NAME}/blobs/uploads/`, body: 'something' })
    assertError(refused, 405, 'UNSUPPORTED', { more: { allow: 'GET, HEAD' } })
  }
})

function sizedManifest(paddingBytes: number): Buffer {
  const empty = { mediaType: 'application/vnd.oci.empty.v1+json', digest: emptyConfig, size: 2 }
  const annotations = { padding: 'x'.repeat(paddingBytes) }
  return Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: OCI_MANIFEST, config: empty, layers: [], annotations }))
}

const emptyConfig: Digest = digestOf(Buffer.from('{}'))
