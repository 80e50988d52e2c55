/** What clients see of an upstream's trouble: a status that lets them go elsewhere, or a body that looks cut. */
import assert from 'node:assert/strict'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import type { Digest } from '../../src/oci/digest.ts'
import { OCI_MANIFEST } from '../../src/oci/media-type.ts'
import { type FakeRegistry, type FakeRegistryOptions, startFakeRegistry } from '../support/fake-registry.ts'
import { generatedBytes } from '../support/fake-registry-bytes.ts'
import type { AddedImage } from '../support/fake-registry-content.ts'
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
  redirectLoop,
  refuse,
  status,
  wrongLength,
} from '../support/fake-registry-faults.ts'
import { entry, type ServerOptions, startServer, type TestServer } from '../support/server.ts'
import { until } from '../support/until.ts'
import { assertBlob, assertError, assertManifest, headersOf, MISS } from './answers.ts'

const KIB = 1024
const SIZE = 400 * KIB
const NAME = '/v2/library/alpine'

type Bench = { readonly hub: FakeRegistry; readonly server: TestServer }

async function start(t: TestContext, server: ServerOptions = {}, registry: FakeRegistryOptions = {}): Promise<Bench> {
  const hub = await startFakeRegistry(t, registry)
  return { hub, server: await startServer(t, { registries: [entry(hub, 'docker.io')], ...server }) }
}

function addBlob(hub: FakeRegistry, seed: string, size: number): { digest: Digest; bytes: Buffer } {
  return { digest: hub.addGeneratedBlob(seed, size), bytes: Buffer.concat([...generatedBytes(seed, size).read(0, size)]) }
}

/** A blob that cannot be had whole: an error, or a body that is short of its length and ended by FIN. Never one that looks complete, never a reset. */
async function assertShort(server: TestServer, digest: Digest, bytes: Buffer, range?: string): Promise<void> {
  const connection = await server.connect()
  const start = range === undefined ? 0 : Number(/bytes=(\d+)-/.exec(range)?.[1])
  connection.send({ target: `${NAME}/blobs/${digest}`, ...(range === undefined ? {} : { headers: { range } }) })
  const response = await connection.response()
  if (response.status >= 500) {
    assert([502, 504].includes(response.status))
    assert.equal((response.json() as { errors: { code: string }[] }).errors[0]?.code, 'UNAVAILABLE')
    return
  }
  assert.equal(response.status, range === undefined ? 200 : 206)
  assert.equal(response.complete, false)
  assert.equal(response.header('content-length'), String(bytes.length - start))
  assert(response.body.equals(bytes.subarray(start, start + response.body.length)), 'what came is right')
  assert.equal(await connection.ending(), 'fin')
}

const cuts = [0, 1, 1000, 64 * KIB, SIZE / 2, SIZE - 64 * KIB, SIZE - 64 * KIB + 1, SIZE - 1]

/** The same, sooner. */
const AT_ONCE = { budgets: { retryWaitsMs: [1, 2, 4, 8, 16] } }

for (const how of ['fin', 'rst'] as const) {
  test(`an upstream that cuts a layer (${how}) at any byte: the client gets the whole, and no byte is downloaded twice`, async (t) => {
    const { hub, server } = await start(t, AT_ONCE)
    for (const at of cuts) {
      const { digest, bytes } = addBlob(hub, `cut ${at}`, SIZE)
      hub.fault({ match: { reference: digest, times: 1 }, do: [cutAt(at, how)] })
      assertBlob(await server.get(`${NAME}/blobs/${digest}`), { digest, bytes }, { cache: MISS })
      assert.equal(hub.count({ reference: digest }), 2)
      if (how === 'fin') assert.equal(hub.bytesSent(digest), SIZE)
    }
  })
}

test('an upstream that cuts a small layer: the rest is fetched, too', async (t) => {
  const { hub, server } = await start(t, AT_ONCE)
  for (const size of [1, 1000, 64 * KIB]) {
    const { digest, bytes } = addBlob(hub, `small ${size}`, size)
    hub.fault({ match: { reference: digest, times: 1 }, do: [cutAt(size - 1)] })
    assertBlob(await server.get(`${NAME}/blobs/${digest}`), { digest, bytes }, { cache: MISS })
  }
})

test('an upstream that cuts a layer again and again at one byte: short and FIN; a range that ends before it is whole', async (t) => {
  const { hub, server } = await start(t, AT_ONCE)
  const { digest, bytes } = addBlob(hub, 'range', SIZE)
  hub.fault({ match: { reference: digest, ranged: false }, do: [cutAt(SIZE / 2)] })
  hub.fault({ match: { reference: digest, ranged: true }, do: [cutAt(0)] })
  await assertShort(server, digest, bytes, 'bytes=1000-')
  const early = await server.get(`${NAME}/blobs/${digest}`, { range: 'bytes=1000-1999' })
  assertBlob(early, { digest, bytes, part: [1000, 1999] }, { cache: early.header('cache-status')?.slice(13) ?? '' })
})

const wrong: [what: string, ...faults: Action[]][] = [
  ['the first bit is wrong', flipBit(0)],
  ['the last bit is wrong', flipBit(SIZE - 1)],
  ['a bit in the middle is wrong', flipBit(SIZE / 2)],
  ['it is longer than it says', wrongLength(SIZE - 1)],
  ['it is shorter than it says', wrongLength(SIZE + 1)],
  ['it is chunked and wrong', chunked(), flipBit(7)],
  ['it is compressed', gzip()],
  ['it is a page of HTML', body('<html>Please log in</html>'), header('content-type', 'text/html')],
  ['it is empty', body('')],
]

for (const [what, ...faults] of wrong) {
  test(`a layer from upstream of which ${what} is never complete, and never stored`, async (t) => {
    const { hub, server } = await start(t, { budgets: { retryWaitsMs: [] } })
    const { digest, bytes } = addBlob(hub, what, SIZE)
    hub.fault({ match: { reference: digest, times: 1 }, do: faults })
    const connection = await server.connect()
    connection.send({ target: `${NAME}/blobs/${digest}` })
    const response = await connection.response()
    if (response.status === 200) {
      assert.equal(response.complete, false)
      assert(response.body.length <= Number(response.header('content-length')) - 64 * KIB, 'the last 64 KiB wait for the digest')
      assert.equal(await connection.ending(), 'fin')
    } else assertError(response, 502, 'UNAVAILABLE')
    await until(() => server.openFiles().length === 0, 'the download is over')
    assert.deepEqual(await readdir(join(server.imagePath, 'blobs')), [])
    assertBlob(await server.get(`${NAME}/blobs/${digest}`), { digest, bytes }, { cache: MISS })
  })
}

test('a layer whose size a cached manifest knows better is a 502 before the first byte', async (t) => {
  const { hub, server } = await start(t)
  const { bytes } = addBlob(hub, 'sized', SIZE)
  const { layers } = hub.addImage('library/alpine', '3', { layers: [bytes] })
  const [digest] = layers
  assert(digest !== undefined)
  assert.equal((await server.get(`${NAME}/manifests/3`)).status, 200)
  hub.fault({ match: { reference: digest, ranged: true }, do: [header('content-range', `bytes 0-0/${SIZE + 1}`)] })
  hub.fault({ match: { reference: digest, ranged: false, times: 1 }, do: [body(Buffer.alloc(SIZE + 1))] })
  assertError(await server.head(`${NAME}/blobs/${digest}`), 502, 'UNAVAILABLE', { method: 'HEAD' })
  assertError(await server.get(`${NAME}/blobs/${digest}`), 502, 'UNAVAILABLE')
  assertBlob(await server.get(`${NAME}/blobs/${digest}`), { digest, bytes }, { cache: MISS })
})

// By what fails and where. A manifest and a blob that nobody has cached:
const troubles: [what: string, fault: Action, status: number, code: string | { manifest: string; blob: string }, retryAfter?: string][] = [
  ['404', status(404), 404, { manifest: 'MANIFEST_UNKNOWN', blob: 'BLOB_UNKNOWN' }],
  ['401', status(401), 403, 'DENIED'],
  ['403', status(403), 403, 'DENIED'],
  ['429', status(429), 503, 'TOOMANYREQUESTS', '30'],
  ['429 with Retry-After', status(429, { 'retry-after': '17' }), 503, 'TOOMANYREQUESTS', '17'],
  ['500', status(500), 502, 'UNAVAILABLE'],
  ['502', status(502), 502, 'UNAVAILABLE'],
  ['503', status(503, { 'retry-after': '17' }), 502, 'UNAVAILABLE'],
  ['504', status(504), 502, 'UNAVAILABLE'],
  ['418', status(418), 502, 'UNAVAILABLE'],
  ['a reset', refuse(), 502, 'UNAVAILABLE'],
  ['a loop of redirects', redirectLoop(), 502, 'UNAVAILABLE'],
  ['silence', hang(), 504, 'UNAVAILABLE'],
]

/** Little where nothing will come; elsewhere as ever, so that a busy machine is not taken for a silent upstream. */
function patienceWith(what: string): ServerOptions {
  return what === 'silence' ? { pullTimeoutMs: 300, budgets: { firstByteMs: 300, checkMs: 300 } } : {}
}

for (const [what, fault, wanted, codes, retryAfter] of troubles) {
  test(`upstream answers with ${what}: ${wanted} for manifest and blob by GET and HEAD, 404 for referrers and signatures`, async (t) => {
    /** Each asked of a server that has heard of no trouble yet: after the third it would not ask any more. */
    const ask = async (method: 'GET' | 'HEAD', pathOf: (image: AddedImage) => string) => {
      const { hub, server } = await start(t, patienceWith(what))
      const path = pathOf(hub.addImage('library/alpine', '3'))
      hub.fault({ match: {}, do: [fault] })
      return method === 'GET' ? server.get(`${NAME}/${path}`) : server.head(`${NAME}/${path}`)
    }
    const more = retryAfter === undefined ? {} : { 'retry-after': retryAfter }
    const asked: [pathOf: (image: AddedImage) => string, code: string][] = [
      [() => 'manifests/3', typeof codes === 'string' ? codes : codes.manifest],
      [({ digest }) => `manifests/${digest}`, typeof codes === 'string' ? codes : codes.manifest],
      [({ layers }) => `blobs/${layers[0]}`, typeof codes === 'string' ? codes : codes.blob],
    ]
    const machinery: ((image: AddedImage) => string)[] = [
      ({ digest }) => `referrers/${digest}`,
      ({ digest }) => `manifests/${digest.replace(':', '-')}`,
      ({ digest }) => `manifests/${digest.replace(':', '-')}.sig`,
    ]
    await Promise.all([
      ...asked.flatMap(([pathOf, code]) => [
        ask('GET', pathOf).then((response) => assertError(response, wanted, code, { more })),
        ask('HEAD', pathOf).then((response) => assertError(response, wanted, code, { more, method: 'HEAD' })),
      ]),
      ...machinery.map(async (pathOf, index) => {
        const response = await ask('GET', pathOf)
        if (what === '404' && index === 0)
          assert.equal(response.status, 200) // proven absent: an empty list
        else assertError(response, 404, 'MANIFEST_UNKNOWN')
      }),
    ])
  })
}

for (const [what, fault, wanted, code, retryAfter] of troubles) {
  if (what.includes('redirect') || typeof code !== 'string') continue
  test(`the token realm answers with ${what}: ${wanted} for manifest and blob, no 401, no challenge`, async (t) => {
    const more = retryAfter === undefined ? {} : { 'retry-after': retryAfter }
    for (const kind of ['manifest', 'blob']) {
      const { hub, server } = await start(t, patienceWith(what), { auth: { scheme: 'bearer' } })
      const { layers } = hub.addImage('library/alpine', '3')
      hub.fault({ match: { kind: 'token' }, do: [fault] })
      const path = kind === 'manifest' ? 'manifests/3' : `blobs/${layers[0]}`
      assertError(await server.get(`${NAME}/${path}`), wanted, code, { more })
    }
  })
}

for (const [what, fault, , ,] of troubles) {
  test(`a cached tag is served when a check is answered with ${what}, and the answer says so`, async (t) => {
    const { hub, server } = await start(t, { alwaysPullLatest: true, budgets: { checkMs: 300 } })
    const { digest, bytes } = hub.addImage('library/alpine', 'latest')
    const manifest = { digest, mediaType: OCI_MANIFEST, bytes }
    assertManifest(await server.get(`${NAME}/manifests/latest`), manifest, { cache: MISS })
    assertManifest(await server.get(`${NAME}/manifests/latest`), manifest)
    hub.fault({ match: {}, do: [fault] })
    for (const method of ['GET', 'HEAD'] as const) {
      const response = await server.ask({ method, target: `${NAME}/manifests/latest` })
      const cache = headersOf(response)['cache-status']?.replace('ociregistry; ', '') ?? ''
      assert.match(cache, /^hit; detail=stale-[a-z-]+$/)
      assertManifest(response, manifest, { cache, method, warning: /^299 - "/ })
    }
    // by digest nothing is to be confirmed
    assertManifest(await server.get(`${NAME}/manifests/${digest}`), manifest)
  })
}

test('an upstream that sends headers of a layer and then nothing: 504 for a small one, a short body and FIN for a big one', async (t) => {
  const { hub, server } = await start(t, { upstreamBudgets: { bodyIdleMs: 100 }, budgets: { firstByteMs: 5_000, retryWaitsMs: [1, 2] } })
  const small = addBlob(hub, 'small', 1000)
  const big = addBlob(hub, 'big', SIZE)
  hub.fault({ match: { kind: 'blob', ranged: false }, do: [hangAt(500)] })
  hub.fault({ match: { kind: 'blob', ranged: true }, do: [hangAt(0)] })
  assertError(await server.get(`${NAME}/blobs/${small.digest}`), 504, 'UNAVAILABLE')
  await assertShort(server, big.digest, big.bytes)
})

test('an upstream that is gone: 502 at once, and 503 with the time of the next try when it was found gone three times', async (t) => {
  const { hub, server } = await start(t, { budgets: { circuitMs: 1 } })
  const { digest, layers } = hub.addImage('library/alpine', '3')
  await hub.stop()
  for (const path of ['manifests/3', `manifests/${digest}`, `blobs/${layers[0]}`]) {
    assertError(await server.get(`${NAME}/${path}`), 502, 'UNAVAILABLE')
  }
  for (const path of ['manifests/3', `manifests/${digest}`, `blobs/${layers[0]}`, 'tags/list']) {
    for (const method of ['GET', 'HEAD'] as const) {
      const response = await (method === 'GET' ? server.get(`${NAME}/${path}`) : server.head(`${NAME}/${path}`))
      const more = { 'retry-after': response.header('retry-after') ?? 'missing' }
      assertError(response, 503, 'UNAVAILABLE', { method, more })
      assert.match(more['retry-after'], /^\d+$/)
    }
  }
})

test('HEAD of a layer waits no longer for a silent upstream than GET does, however patient pullTimeout is', async (t) => {
  const { hub, server } = await start(t, { pullTimeoutMs: 3_000, budgets: { firstByteMs: 100 } })
  hub.fault({ match: {}, do: [hang()] })
  for (const method of ['GET', 'HEAD'] as const) {
    await server.ask({ method, target: `${NAME}/blobs/${hub.addBlob(method)}` })
    const line = server.log.lines.find(({ message }) => message.startsWith(method))
    assert(Number(line?.fields.ms) < 2_000, `${method} took ${line?.fields.ms} ms`)
  }
})
