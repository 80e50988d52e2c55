/** What a registry answers, and what the cache is told: manifests, blobs, sizes, lists, statuses. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { type TestContext, test } from 'node:test'
import { type Digest, digestFromHash, digestOf } from '../../src/oci/digest.ts'
import { MAX_MANIFEST_BYTES } from '../../src/oci/manifest.ts'
import { DOCKER_MANIFEST, MANIFEST_ACCEPT, OCI_MANIFEST } from '../../src/oci/media-type.ts'
import type { RegistryClient } from '../../src/upstream/registry-client.ts'
import { type FakeRegistry, type FakeRegistryOptions, startFakeRegistry } from '../support/fake-registry.ts'
import { type Action, body, chunked, cutAt, gzip, header, status, throttle } from '../support/fake-registry-faults.ts'
import type { RequestMatch } from '../support/fake-registry-ledger.ts'
import { until } from '../support/until.ts'
import { bytesOfBody, REPOSITORY, TAG, upstreamOf } from './support.ts'

const NOWHERE = digestOf(Buffer.from('nowhere'))

async function setUp(t: TestContext, options: FakeRegistryOptions = {}): Promise<{ registry: FakeRegistry; upstream: RegistryClient }> {
  const registry = await startFakeRegistry(t, options)
  return { registry, upstream: upstreamOf(t, registry) }
}

test('a manifest comes as it is, with its type and digest', async (t) => {
  const { registry, upstream } = await setUp(t)
  const bytes = Buffer.from('{ "schemaVersion": 2,\n "layers": [] }\n')
  const digest = registry.addManifest('team/app', 'v1', bytes, DOCKER_MANIFEST)
  const wanted = { bytes, contentType: DOCKER_MANIFEST, digest }
  assert.deepEqual(await upstream.getManifest(REPOSITORY, TAG), wanted)
  assert.deepEqual(await upstream.getManifest(REPOSITORY, digest), wanted)
  assert.deepEqual(
    registry.requests().map(({ path }) => path),
    ['/v2/team/app/manifests/v1', `/v2/team/app/manifests/${digest}`],
  )
})

test('every request says the same, whatever a client said', async (t) => {
  const { registry, upstream } = await setUp(t)
  const { digest, config } = registry.addImage('team/app', 'v1')
  await upstream.getManifest(REPOSITORY, TAG)
  await upstream.headManifest(REPOSITORY, TAG)
  await bytesOfBody((await upstream.openBlob(REPOSITORY, config, 0)).body)
  await upstream.listTags(REPOSITORY)
  await upstream.listReferrers(REPOSITORY, digest)
  const requests = registry.requests()
  assert.equal(requests.length, 5)
  for (const { headers } of requests) {
    assert.deepEqual(
      [headers['accept-encoding'], headers.via, headers['user-agent'], headers.authorization, headers.cookie],
      ['identity', '1.1 ociregistry-test', 'ociregistry/test', undefined, undefined],
    )
  }
  assert.deepEqual(
    requests.slice(0, 2).map(({ headers }) => headers.accept),
    [MANIFEST_ACCEPT, MANIFEST_ACCEPT],
  )
})

const manifestHeaders: [title: string, actions: Action[], contentType: string | undefined, digest: string | undefined][] = [
  ['no type', [header('content-type', undefined)], undefined, 'kept'],
  ['a type with parameters', [header('content-type', `${OCI_MANIFEST}; charset=utf-8`)], `${OCI_MANIFEST}; charset=utf-8`, 'kept'],
  ['no digest', [header('docker-content-digest', undefined)], OCI_MANIFEST, undefined],
  ['a digest that is none', [header('docker-content-digest', 'sha256:XYZ')], OCI_MANIFEST, undefined],
  ['no length', [chunked()], OCI_MANIFEST, 'kept'],
]
for (const [title, actions, contentType, digest] of manifestHeaders) {
  test(`a manifest with ${title} is passed on for the cache to judge`, async (t) => {
    const { registry, upstream } = await setUp(t)
    const image = registry.addImage('team/app', 'v1')
    registry.fault({ match: { kind: 'manifest' }, do: actions })
    const wanted = digest === 'kept' ? image.digest : digest
    assert.deepEqual(await upstream.getManifest(REPOSITORY, TAG), { bytes: image.bytes, contentType, digest: wanted })
  })
}

for (const framing of [[], [chunked()]]) {
  test(`a manifest of exactly 4 MiB is read, one byte more is not (${framing.length === 0 ? 'with' : 'without'} length)`, async (t) => {
    const { registry, upstream } = await setUp(t)
    registry.fault({ match: { kind: 'manifest' }, do: framing })
    const digest = registry.addManifest('team/app', 'v1', Buffer.alloc(MAX_MANIFEST_BYTES, ' '))
    assert.equal((await upstream.getManifest(REPOSITORY, digest)).bytes.length, MAX_MANIFEST_BYTES)
    const tooBig = registry.addManifest('team/app', 'v2', Buffer.alloc(MAX_MANIFEST_BYTES + 1, ' '))
    await assert.rejects(upstream.getManifest(REPOSITORY, tooBig), { kind: 'corrupt', message: /longer than 4194304 bytes/ })
  })
}

test('a manifest without end is not read to its end', async (t) => {
  const { registry, upstream } = await setUp(t)
  const sizeBytes = 1024 * 1024 * 1024
  registry.addImage('team/app', 'v1')
  const endless = { sizeBytes, *read(): Iterable<Buffer> { for (;;) yield Buffer.alloc(65_536) } } // biome-ignore format: one line
  registry.fault({ match: { kind: 'manifest' }, do: [(answer) => Object.assign(answer, { body: endless }), chunked()] })
  await assert.rejects(upstream.getManifest(REPOSITORY, TAG), { kind: 'corrupt' })
  const [request] = registry.requests({ kind: 'manifest' })
  await until(() => registry.connections === 0)
  assert.ok((request?.bytesSent ?? sizeBytes) < 64 * 1024 * 1024)
})

test('headManifest asks by HEAD and gives the digest that the answer names, or none', async (t) => {
  const { registry, upstream } = await setUp(t)
  const { digest } = registry.addImage('team/app', 'v1')
  assert.equal(await upstream.headManifest(REPOSITORY, TAG), digest)
  registry.fault({ match: { kind: 'manifest', times: 1 }, do: [header('docker-content-digest', undefined)] })
  assert.equal(await upstream.headManifest(REPOSITORY, TAG), undefined)
  registry.fault({ match: { kind: 'manifest', times: 1 }, do: [status(405)] })
  assert.equal(await upstream.headManifest(REPOSITORY, TAG), undefined)
  registry.content.removeTag('team/app', 'v1')
  await assert.rejects(upstream.headManifest(REPOSITORY, TAG), { kind: 'notFound' })
  assert.deepEqual(new Set(registry.requests().map(({ method }) => method)), new Set(['HEAD']))
})

test('openBlob gives the whole blob, its size, and no Range', async (t) => {
  const { registry, upstream } = await setUp(t)
  const content = Buffer.from('0123456789')
  const digest = registry.addBlob(content)
  const { sizeBytes, start, body } = await upstream.openBlob(REPOSITORY, digest, 0)
  assert.deepEqual([sizeBytes, start, await bytesOfBody(body)], [10, 0, content])
  assert.equal(registry.count({ ranged: true }), 0)
})

test('openBlob continues at an offset, or says that the upstream began anew', async (t) => {
  const { registry, upstream } = await setUp(t)
  const digest = registry.addBlob('0123456789')
  const part = await upstream.openBlob(REPOSITORY, digest, 4)
  assert.deepEqual([part.sizeBytes, part.start, String(await bytesOfBody(part.body))], [10, 4, '456789'])
  registry.fault({ match: { kind: 'blob' }, do: [status(200), header('content-length', undefined), body('0123456789')] })
  const whole = await upstream.openBlob(REPOSITORY, digest, 4)
  assert.deepEqual([whole.sizeBytes, whole.start, String(await bytesOfBody(whole.body))], [10, 0, '0123456789'])
})

test('openBlob of a blob whose length nobody says', async (t) => {
  const { registry, upstream } = await setUp(t)
  const digest = registry.addBlob('0123456789')
  registry.fault({ match: { kind: 'blob' }, do: [chunked()] })
  const { sizeBytes, body } = await upstream.openBlob(REPOSITORY, digest, 0)
  assert.deepEqual([sizeBytes, String(await bytesOfBody(body))], [undefined, '0123456789'])
})

const wrongRanges: (string | undefined)[] = ['bytes 3-9/10', 'bytes 5-9/10', 'bytes 4-10/10', 'bytes 4-', undefined]
for (const contentRange of wrongRanges) {
  test(`openBlob refuses a 206 that says '${contentRange}' for the bytes from 4 on`, async (t) => {
    const { registry, upstream } = await setUp(t)
    const digest = registry.addBlob('0123456789')
    registry.fault({ match: { kind: 'blob' }, do: [header('content-range', contentRange)] })
    await assert.rejects(upstream.openBlob(REPOSITORY, digest, 4), { kind: 'corrupt' })
  })
}

test('a blob that is whole already has nothing more to come', async (t) => {
  const { registry, upstream } = await setUp(t)
  const digest = registry.addBlob('0123456789')
  const { sizeBytes, start, body } = await upstream.openBlob(REPOSITORY, digest, 10)
  assert.deepEqual([sizeBytes, start, (await bytesOfBody(body)).byteLength], [10, 10, 0])
})

const unsatisfied: [title: string, actions: Action[]][] = [
  ['has fewer bytes', []],
  ['does not say how many bytes it has', [header('content-range', undefined)]],
]
for (const [title, actions] of unsatisfied) {
  test(`a blob that ${title} than were received is another one`, async (t) => {
    const { registry, upstream } = await setUp(t)
    const digest = registry.addBlob('0123456789')
    registry.fault({ match: {}, do: actions })
    await assert.rejects(upstream.openBlob(REPOSITORY, digest, 11), {
      kind: 'corrupt',
      message: /answered 416 with '.*' for the bytes from 11 on/,
    })
  })
}

test('a blob passes whole, however big, and is never held', async (t) => {
  const { registry, upstream } = await setUp(t)
  const size = 64 * 1024 * 1024
  const digest = registry.addGeneratedBlob('big', size)
  const { sizeBytes, body } = await upstream.openBlob(REPOSITORY, digest, 0)
  const hash = createHash('sha256')
  let peak = 0
  for await (const chunk of body) {
    hash.update(chunk)
    peak = Math.max(peak, body.readableLength)
  }
  assert.deepEqual([sizeBytes, digestFromHash('sha256', hash.digest('hex'))], [size, digest])
  assert.ok(peak <= 256 * 1024, `held ${peak}`)
})

test('a reader that pauses holds the sender back', async (t) => {
  const { registry, upstream } = await setUp(t)
  const size = 64 * 1024 * 1024
  const digest = registry.addGeneratedBlob('paused', size)
  const { body } = await upstream.openBlob(REPOSITORY, digest, 0)
  let last = -1
  while (registry.bytesSent(digest) !== last) {
    last = registry.bytesSent(digest)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  assert.ok(last < size / 2, `sent ${last} to nobody`)
  assert.equal(digestOf(await bytesOfBody(body)), digest)
})

const sizes: [title: string, actions: Action[], size: number][] = [
  ['the range', [], 10],
  ['the length of a 200', [status(200), header('content-length', undefined), body('0123456789')], 10],
  ['a 416 for an empty blob', [status(416, { 'content-range': 'bytes */0' })], 0],
]
for (const [title, actions, size] of sizes) {
  test(`blobSize takes the size from ${title}`, async (t) => {
    const { registry, upstream } = await setUp(t)
    const digest = registry.addBlob('0123456789')
    registry.fault({ match: { kind: 'blob' }, do: actions })
    assert.equal(await upstream.blobSize(REPOSITORY, digest), size)
    assert.deepEqual(
      registry.requests().map(({ method, headers }) => [method, headers.range]),
      [['GET', 'bytes=0-0']],
    )
  })
}

test('blobSize of the empty blob is 0', async (t) => {
  const { registry, upstream } = await setUp(t)
  assert.equal(await upstream.blobSize(REPOSITORY, registry.addBlob('')), 0)
})

const noSizes: [title: string, actions: Action[]][] = [
  ['a 206 without total', [header('content-range', 'bytes 0-0/*')]],
  ['a 200 without length', [status(200), chunked()]],
  ['a 416 without total', [status(416)]],
]
for (const [title, actions] of noSizes) {
  test(`blobSize fails on ${title}`, async (t) => {
    const { registry, upstream } = await setUp(t)
    registry.fault({ match: { kind: 'blob' }, do: actions })
    await assert.rejects(upstream.blobSize(REPOSITORY, registry.addBlob('0123456789')), { kind: 'corrupt' })
  })
}

test('blobSize does not download a blob whose registry ignores ranges', async (t) => {
  const { registry, upstream } = await setUp(t)
  const size = 256 * 1024 * 1024
  const digest = registry.addGeneratedBlob('size', size)
  registry.fault({
    match: { kind: 'blob' },
    do: [(answer) => Object.assign(answer, { status: 200, headers: {}, body: registry.content.blob(undefined, digest) })],
  })
  assert.equal(await upstream.blobSize(REPOSITORY, digest), size)
  await until(() => registry.connections === 0)
  assert.ok(registry.bytesSent(digest) < size / 2)
})

test('tags are listed over all pages, in the order of the upstream', async (t) => {
  const { registry, upstream } = await setUp(t, { pageSize: 2 })
  const tags = ['a', 'b', 'c', 'd', 'e']
  for (const tag of tags) registry.addImage('team/app', tag)
  assert.deepEqual(await upstream.listTags(REPOSITORY), tags)
  assert.equal(registry.count({ kind: 'tags' }), 3)
})

const tagBodies: [body: string, tags: string[]][] = [
  ['{"name":"x","tags":null}', []],
  ['{"name":"x","tags":[]}', []],
  ['{"name":"x","tags":["a",7,null,"b"]}', ['a', 'b']],
]
for (const [text, tags] of tagBodies) {
  test(`tags of ${text}`, async (t) => {
    const { registry, upstream } = await setUp(t)
    registry.addImage('team/app', 'v1')
    registry.fault({ match: { kind: 'tags' }, do: [header('content-length', undefined), body(text)] })
    assert.deepEqual(await upstream.listTags(REPOSITORY), tags)
  })
}

const links: [title: string, link: string, kind: 'failed' | undefined][] = [
  ['another repository', '</v2/other/app/tags/list?last=v1>; rel="next"', 'failed'],
  ['another kind of thing', '</v2/team/app/manifests/v1>; rel="next"', 'failed'],
  ['an address of the registry that only itself knows', '<http://internal:5000/v2/team/app/tags/list?last=v1>; rel="next"', undefined],
]
for (const [title, link, kind] of links) {
  test(`a next page at ${title} is ${kind === undefined ? 'asked of the registry itself' : 'refused'}`, async (t) => {
    const { registry, upstream } = await setUp(t)
    registry.addImage('team/app', 'v1')
    registry.fault({ match: { kind: 'tags', nth: 1 }, do: [header('link', link)] })
    if (kind === undefined) assert.deepEqual(await upstream.listTags(REPOSITORY), ['v1'])
    else await assert.rejects(upstream.listTags(REPOSITORY), { kind })
    assert.equal(registry.count(), kind === undefined ? 2 : 1)
    assert.equal(registry.requests()[1]?.query.get('last') ?? 'v1', 'v1')
  })
}

test('a list without end has one', async (t) => {
  const registry = await startFakeRegistry(t)
  const upstream = upstreamOf(t, registry, {}, { budgets: { listPages: 5 } })
  registry.addImage('team/app', 'v1')
  registry.fault({ match: { kind: 'tags' }, do: [header('link', '</v2/team/app/tags/list?last=a>; rel="next"')] })
  await assert.rejects(upstream.listTags(REPOSITORY), { kind: 'failed', message: /more than 5 pages/ })
  assert.equal(registry.count(), 5)
})

test('a list may have so many bytes, all pages together', async (t) => {
  const registry = await startFakeRegistry(t, { pageSize: 1 })
  for (const tag of ['a', 'b', 'c']) registry.addImage('team/app', tag)
  const page = '{"name":"team/app","tags":["a"]}'.length
  const within = upstreamOf(t, registry, {}, { budgets: { listBytes: 3 * page } })
  assert.deepEqual(await within.listTags(REPOSITORY), ['a', 'b', 'c'])
  const beyond = upstreamOf(t, registry, {}, { budgets: { listBytes: 3 * page - 1 } })
  await assert.rejects(beyond.listTags(REPOSITORY), { kind: 'corrupt' })
})

test('a list may have so many entries, all pages together', async (t) => {
  const registry = await startFakeRegistry(t, { pageSize: 2 })
  for (const tag of ['a', 'b', 'c']) registry.addImage('team/app', tag)
  const within = upstreamOf(t, registry, {}, { budgets: { listEntries: 3 } })
  assert.deepEqual(await within.listTags(REPOSITORY), ['a', 'b', 'c'])
  const beyond = upstreamOf(t, registry, {}, { budgets: { listEntries: 2 } })
  await assert.rejects(beyond.listTags(REPOSITORY), { kind: 'failed', message: /more than 2 entries/ })
})

const receivedBodies: [
  title: string,
  kind: 'manifest' | 'list' | 'nothing',
  ask: (upstream: RegistryClient, digest: Digest) => Promise<unknown>,
  fault?: Action,
][] = [
  ['a manifest', 'manifest', (upstream) => upstream.getManifest(REPOSITORY, TAG)],
  ['what came of a manifest that was cut', 'manifest', (upstream) => upstream.getManifest(REPOSITORY, TAG).catch(() => {}), cutAt(10)],
  ['each page of a list of tags', 'list', (upstream) => upstream.listTags(REPOSITORY)],
  ['referrers', 'list', (upstream, digest) => upstream.listReferrers(REPOSITORY, digest)],
  ['a HEAD', 'nothing', (upstream) => upstream.headManifest(REPOSITORY, TAG)],
  ['the message of an error', 'nothing', (upstream) => upstream.getManifest(REPOSITORY, TAG).catch(() => {}), status(404)],
]
for (const [title, kind, ask, fault] of receivedBodies) {
  test(`${title} counts as ${kind} received`, async (t) => {
    const registry = await startFakeRegistry(t, { pageSize: 1 })
    const counts = { manifest: 0, list: 0, blob: 0 }
    const received = (of: keyof typeof counts, bytes: number) => {
      counts[of] += bytes
    }
    const upstream = upstreamOf(t, registry, {}, { metrics: { received } })
    const { digest } = registry.addImage('team/app', 'v1')
    registry.addImage('team/app', 'v2')
    if (fault !== undefined) registry.fault({ match: {}, do: [fault] })
    await ask(upstream, digest)
    const sent = registry.requests().reduce((sum, { bytesSent }) => sum + bytesSent, 0)
    assert.deepEqual(counts, { manifest: 0, list: 0, blob: 0, ...(kind === 'nothing' ? {} : { [kind]: sent }) })
    assert.ok(kind === 'nothing' || sent > 0)
  })
}

test('big lists that come at the same time are read one after the other', async (t) => {
  const { registry, upstream } = await setUp(t)
  registry.addImage('team/app', 'v1')
  const tags = Array.from({ length: 60_000 }, (_, i) => `tag${i}`)
  registry.fault({ match: { kind: 'tags' }, do: [header('content-length', undefined), body(JSON.stringify({ name: 'team/app', tags }))] })
  const immediates: number[] = []
  let over = false
  let turn = 0
  const count = () => {
    turn++
    if (!over) setImmediate(count)
  }
  count()
  const listed = await Promise.all(
    Array.from({ length: 4 }, async () => {
      const found = await upstream.listTags(REPOSITORY)
      immediates.push(turn)
      return found
    }),
  )
  over = true
  for (const found of listed) assert.deepEqual(found, tags)
  assert.equal(new Set(immediates).size, 4, 'others have their turn in between')
})

test('a list that is nested without end is refused before it is read', async (t) => {
  const registry = await startFakeRegistry(t)
  const upstream = upstreamOf(t, registry)
  registry.addImage('team/app', 'v1')
  const nested = Buffer.from(`{"tags":[${'['.repeat(100_000)}${']'.repeat(100_000)}]}`)
  registry.fault({ match: { kind: 'tags' }, do: [body(nested)] })
  await assert.rejects(upstream.listTags(REPOSITORY), { kind: 'corrupt' })
})

test('referrers are listed over all pages; a registry without the API has none to ask', async (t) => {
  const { registry, upstream } = await setUp(t, { pageSize: 1 })
  const { digest } = registry.addImage('team/app', 'v1')
  const subject = { mediaType: OCI_MANIFEST, digest, size: 1 }
  const added = ['one', 'two'].map((artifactType) => registry.addImage('team/app', undefined, { fields: { subject, artifactType } }).digest)
  const found = (await upstream.listReferrers(REPOSITORY, digest)) as { digest: Digest; artifactType: string }[]
  assert.deepEqual(
    found.map((descriptor) => [descriptor.digest, descriptor.artifactType]),
    [
      [added[0], 'one'],
      [added[1], 'two'],
    ],
  )
  assert.deepEqual(await upstream.listReferrers(REPOSITORY, NOWHERE), [])

  const old = await setUp(t, { referrers: false })
  assert.equal(await old.upstream.listReferrers(REPOSITORY, digest), undefined)
})

for (const text of ['<html>', '{"manifests":{}}', '"text"', 'null']) {
  test(`referrers that are ${text} are none`, async (t) => {
    const { registry, upstream } = await setUp(t)
    registry.fault({ match: { kind: 'referrers' }, do: [header('content-length', undefined), body(text)] })
    await assert.rejects(upstream.listReferrers(REPOSITORY, NOWHERE), { kind: 'corrupt' })
  })
}

type Call = (upstream: RegistryClient) => Promise<unknown>
const calls: [name: string, match: RequestMatch, call: Call][] = [
  ['getManifest', { kind: 'manifest' }, (upstream) => upstream.getManifest(REPOSITORY, TAG)],
  ['headManifest', { kind: 'manifest' }, (upstream) => upstream.headManifest(REPOSITORY, TAG)],
  ['openBlob', { kind: 'blob' }, (upstream) => upstream.openBlob(REPOSITORY, NOWHERE, 0)],
  ['blobSize', { kind: 'blob' }, (upstream) => upstream.blobSize(REPOSITORY, NOWHERE)],
  ['listTags', { kind: 'tags' }, (upstream) => upstream.listTags(REPOSITORY)],
  ['listReferrers', { kind: 'referrers' }, (upstream) => upstream.listReferrers(REPOSITORY, NOWHERE)],
]
const statuses: [code: number, kind: string][] = [
  [401, 'denied'],
  [403, 'denied'],
  [404, 'notFound'],
  [500, 'failed'],
  [503, 'failed'],
  [204, 'failed'],
  [304, 'failed'],
  [418, 'failed'],
  [429, 'limited'], // the last: nobody asks after it
]
for (const [name, match, call] of calls) {
  test(`${name}: every status has its kind, and the connection survives`, async (t) => {
    const { registry, upstream } = await setUp(t)
    for (const [code, kind] of statuses) {
      if (code === 404 && name === 'listReferrers') continue
      const fault = registry.fault({ match, do: [status(code)] })
      await assert.rejects(call(upstream), (error: { kind?: string }) => {
        assert.equal(error.kind, kind, `${code}`)
        return true
      })
      fault.remove()
    }
    assert.ok(registry.connections <= 2, `${registry.connections} connections`)
  })

  test(`${name}: an encoded answer is corrupt`, async (t) => {
    const { registry, upstream } = await setUp(t)
    registry.fault({ match, do: [status(200), body('{}'), header('content-length', undefined), gzip()] })
    await assert.rejects(call(upstream), { kind: 'corrupt', message: /sent the answer as gzip/ })
  })
}

test('an error says what was wanted, of whom, and what came back in its own words', async (t) => {
  const { registry, upstream } = await setUp(t)
  const get = () => upstream.getManifest(REPOSITORY, TAG)
  const wanted = `cannot get manifest team/app:v1 from ${registry.name}: ${registry.origin} answered 404 (manifest unknown)`
  await assert.rejects(get(), { name: 'UpstreamError', message: wanted })
  registry.fault({ match: {}, do: [status(503), header('content-length', undefined), body('<html>upstream connect error</html>')] })
  await assert.rejects(get(), { message: /answered 503$/ })
})

test('a rate limit says when to come again', async (t) => {
  const { registry, upstream } = await setUp(t)
  registry.fault({ match: {}, do: [status(429, { 'retry-after': '30' })] })
  await assert.rejects(upstream.getManifest(REPOSITORY, TAG), { kind: 'limited', retryAfterMs: 30_000 })
})

test('an error with a body without end is let go of', async (t) => {
  const { registry, upstream } = await setUp(t)
  const digest = registry.addGeneratedBlob('error', 64 * 1024 * 1024)
  registry.fault({ match: {}, do: [(answer) => Object.assign(answer, { status: 500 }), throttle(16 * 1024 * 1024)] })
  await assert.rejects(upstream.openBlob(REPOSITORY, digest, 0), { kind: 'failed' })
  await until(() => registry.connections === 0)
  assert.ok(registry.bytesSent(digest) < 16 * 1024 * 1024)
})
