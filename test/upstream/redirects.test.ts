/** Redirects: followed by hand, for every method, and to nowhere that has less protection. */
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type { RegistryClient } from '../../src/upstream/registry-client.ts'
import { makeAuthority } from '../support/certificates.ts'
import { type FakeRegistry, startFakeRegistry } from '../support/fake-registry.ts'
import { redirect, redirectLoop, redirectToCdn } from '../support/fake-registry-faults.ts'
import { temporaryDirectory } from '../support/files.ts'
import { until } from '../support/until.ts'
import { bytesOfBody, entryOf, makeUpstreams, REPOSITORY, TAG, upstreamOf } from './support.ts'

async function setUp(t: TestContext): Promise<{ registry: FakeRegistry; cdn: FakeRegistry; upstream: RegistryClient }> {
  const registry = await startFakeRegistry(t)
  const cdn = await startFakeRegistry(t, { content: registry.content })
  return { registry, cdn, upstream: upstreamOf(t, registry) }
}

for (const code of [301, 302, 303, 307, 308]) {
  test(`a ${code} of a blob is followed, its Range kept, and asked for anew each time`, async (t) => {
    const { registry, cdn, upstream } = await setUp(t)
    const digest = registry.addBlob('0123456789')
    registry.fault({ match: { kind: 'blob' }, do: [redirectToCdn(cdn.origin, code)] })
    for (let round = 0; round < 2; round++) {
      const { start, sizeBytes, body } = await upstream.openBlob(REPOSITORY, digest, 4)
      assert.deepEqual([start, sizeBytes, String(await bytesOfBody(body))], [4, 10, '456789'])
    }
    assert.deepEqual(
      cdn.requests().map(({ headers, query }) => [headers.range, headers['accept-encoding'], query.get('signature')]),
      [
        ['bytes=4-', 'identity', 'secret'],
        ['bytes=4-', 'identity', 'secret'],
      ],
    )
    assert.equal(registry.count({ kind: 'blob' }), 2)
    assert.equal(await upstream.blobSize(REPOSITORY, digest), 10)
  })
}

test('manifests, their HEAD and lists are redirected too', async (t) => {
  const { registry, cdn, upstream } = await setUp(t)
  const { digest } = registry.addImage('team/app', 'v1')
  registry.fault({ match: {}, do: [redirect(({ path, query }) => `${cdn.origin}${path}?${query}`, 302)] })
  assert.equal((await upstream.getManifest(REPOSITORY, TAG)).digest, digest)
  assert.equal(await upstream.headManifest(REPOSITORY, TAG), digest)
  assert.deepEqual(await upstream.listTags(REPOSITORY), ['v1'])
  assert.deepEqual(await upstream.listReferrers(REPOSITORY, digest), [])
  assert.deepEqual(
    cdn.requests().map(({ method }) => method),
    ['GET', 'HEAD', 'GET', 'GET'],
  )
})

test('pages of a redirected list are asked of the registry, which redirects again', async (t) => {
  const registry = await startFakeRegistry(t, { pageSize: 1 })
  const cdn = await startFakeRegistry(t, { content: registry.content, pageSize: 1 })
  for (const tag of ['a', 'b']) registry.addImage('team/app', tag)
  registry.fault({ match: {}, do: [redirect(({ path, query }) => `${cdn.origin}${path}?${query}`)] })
  assert.deepEqual(await upstreamOf(t, registry).listTags(REPOSITORY), ['a', 'b'])
  assert.deepEqual([registry.count(), cdn.count()], [2, 2])
})

test('relative Locations are resolved where they stand', async (t) => {
  const { registry, cdn, upstream } = await setUp(t)
  const digest = registry.addBlob('layer')
  registry.fault({ match: { kind: 'blob' }, do: [redirect(`${cdn.origin}/one/two`)] })
  cdn.fault({ match: { path: /^\/one\/two$/ }, do: [redirect('three')] })
  cdn.fault({ match: { path: /^\/one\/three$/ }, do: [redirect(`../cdn/blobs/team/app/${digest}`)] })
  assert.equal(String(await bytesOfBody((await upstream.openBlob(REPOSITORY, digest, 0)).body)), 'layer')
})

test('ten redirects are followed, eleven are too many', async (t) => {
  const { registry, upstream } = await setUp(t)
  registry.addImage('team/app', 'v1')
  const fault = registry.fault({ match: { kind: 'manifest', times: 10 }, do: [redirectLoop()] })
  await upstream.getManifest(REPOSITORY, TAG)
  assert.equal(registry.count(), 11)
  fault.remove()
  registry.fault({ match: { kind: 'manifest' }, do: [redirectLoop()] })
  registry.ledger.clear()
  await assert.rejects(upstream.getManifest(REPOSITORY, TAG), { kind: 'failed', message: /redirects more than 10 times/ })
  assert.equal(registry.count(), 11)
})

const refused: [title: string, location: string, kind: string][] = [
  ['another scheme', 'file:///etc/passwd', 'failed'],
  ['no address', 'http://[', 'failed'],
  ['a port where nobody listens', 'http://127.0.0.1:1/', 'unreachable'],
]
for (const [title, location, kind] of refused) {
  test(`a redirect to ${title} is '${kind}'`, async (t) => {
    const { registry, upstream } = await setUp(t)
    registry.fault({ match: { kind: 'manifest' }, do: [redirect(location)] })
    await assert.rejects(upstream.getManifest(REPOSITORY, TAG), { kind })
  })
}

test('a redirect without Location is an answer nobody expects', async (t) => {
  const { registry, upstream } = await setUp(t)
  registry.fault({ match: { kind: 'manifest' }, do: [redirect('x'), (answer) => delete answer.headers.location] })
  await assert.rejects(upstream.getManifest(REPOSITORY, TAG), { kind: 'failed', message: /answered 307/ })
})

test('a user name in a Location is not sent', async (t) => {
  const { registry, cdn, upstream } = await setUp(t)
  const digest = registry.addBlob('layer')
  registry.fault({ match: { kind: 'blob' }, do: [redirect(`http://user:pw@${cdn.host}/cdn/blobs/team/app/${digest}`)] })
  await bytesOfBody((await upstream.openBlob(REPOSITORY, digest, 0)).body)
  registry.addImage('team/app', 'v1')
  registry.fault({ match: { kind: 'manifest' }, do: [redirect(`http://user:pw@${cdn.host}/cdn/manifests/team/app/v1`)] })
  await upstream.getManifest(REPOSITORY, TAG)
  assert.deepEqual(cdn.authorizations(), [undefined, undefined])
})

test('a signature in a link is in no error and in no log', async (t) => {
  const registry = await startFakeRegistry(t)
  const cdn = await startFakeRegistry(t)
  const entry = entryOf(registry)
  const { upstreams, log } = makeUpstreams(t, { registries: [entry] })
  registry.fault({ match: { kind: 'blob' }, do: [redirectToCdn(cdn.origin)] })
  const open = () => upstreams.of(entry.name).openBlob(REPOSITORY, registry.addBlob('x'), 0)
  await assert.rejects(open(), (error: Error) => {
    assert.match(error.message, new RegExp(`${cdn.origin} answered 404`))
    assert.doesNotMatch(error.message, /secret/)
    return true
  })
  await cdn.stop()
  await assert.rejects(open(), (error: Error) => !error.message.includes('secret'))
  assert.equal(JSON.stringify(log.lines).includes('secret'), false)
})

test('an https registry may not send us to http, nor may a realm behind it; an http registry may', async (t) => {
  const authority = await makeAuthority(await temporaryDirectory(t))
  const leaf = await authority.issue('127.0.0.1')
  const plain = await startFakeRegistry(t)
  const digest = plain.addBlob('layer')
  const secure = await startFakeRegistry(t, { tls: leaf })
  secure.fault({ match: { kind: 'blob' }, do: [redirectToCdn(plain.origin)] })
  const tls = { ca: authority.certPath }
  await assert.rejects(upstreamOf(t, secure, { tls }).openBlob(REPOSITORY, digest, 0), {
    kind: 'failed',
    message: new RegExp(`it redirects to ${plain.origin}, which is not https`),
  })
  assert.equal(plain.count(), 0)

  const http = await startFakeRegistry(t)
  const https = await startFakeRegistry(t, { tls: leaf, content: plain.content })
  http.fault({ match: { kind: 'blob', times: 1 }, do: [redirectToCdn(https.origin)] })
  const { body } = await upstreamOf(t, http, { tls }).openBlob(REPOSITORY, digest, 0)
  assert.equal(String(await bytesOfBody(body)), 'layer')
})

test('bodies of redirects are let go of, however long', async (t) => {
  const { registry, cdn, upstream } = await setUp(t)
  const digest = registry.addBlob('layer')
  const big = registry.content.blob(undefined, registry.addGeneratedBlob('page', 64 * 1024 * 1024))
  registry.fault({ match: { kind: 'blob' }, do: [redirectToCdn(cdn.origin), (answer) => Object.assign(answer, { body: big })] })
  await bytesOfBody((await upstream.openBlob(REPOSITORY, digest, 0)).body)
  await until(() => registry.connections === 0)
  assert.ok(registry.bytesSent(digest) < 16 * 1024 * 1024)
})
