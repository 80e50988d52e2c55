/** Whatever keeps an upstream from confirming what is cached: a tag is served and marked, and a private registry's manifest is not. */
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { parseRegistry } from '../../src/oci/name.ts'
import { makeAuthority } from '../support/certificates.ts'
import { FakeRegistry, startFakeRegistry } from '../support/fake-registry.ts'
import { FakeAuth } from '../support/fake-registry-auth.ts'
import { type Action, hang, refuse, status } from '../support/fake-registry-faults.ts'
import { temporaryDirectory } from '../support/files.ts'
import { entry, startServer } from '../support/server.ts'

const TAG = '/v2/library/alpine/manifests/latest'

/** A registry with TLS and tokens for a user, known as docker.io, by a name that has to be looked up. */
async function registryWithAll(t: TestContext) {
  const authority = await makeAuthority(await temporaryDirectory(t))
  const tls = await authority.issue('hub.test')
  const auth = new FakeAuth({ scheme: 'bearer', users: { ann: 'pw' } })
  const hub = await startFakeRegistry(t, { tls, auth })
  auth.options = { ...auth.options, realm: `https://hub.test:${hub.port}/token` }
  const names = { broken: false }
  const resolve = async () => {
    if (names.broken) throw Object.assign(new Error('getaddrinfo ENOTFOUND hub.test'), { code: 'ENOTFOUND' })
    return [{ address: '127.0.0.1', family: 4 }]
  }
  const registry = {
    ...entry(hub, 'docker.io'),
    address: `hub.test:${hub.port}`,
    auth: { user: 'ann', password: { from: 'config', password: 'pw' } },
    tls: { ca: authority.certPath, insecureSkipVerify: false },
  } as const
  return { hub, auth, names, registry, resolve }
}

type Bench = Awaited<ReturnType<typeof registryWithAll>> & { readonly t: TestContext }

/** From now on every request meets this fault; what was negotiated before is forgotten. */
function fault(kind: 'manifest' | 'token', action: Action): (bench: Bench) => void {
  return ({ hub, auth }) => {
    auth.revokeTokens()
    hub.fault({ match: { kind }, do: [action] })
  }
}

/** Another registry in its place, whose certificate nobody knows. */
async function replaceByUnknown({ hub, t }: Bench): Promise<void> {
  const { port } = hub
  await hub.stop()
  const stranger = await makeAuthority(await temporaryDirectory(t), 'Stranger')
  const other = new FakeRegistry({ tls: await stranger.issue('hub.test'), content: hub.content, port })
  t.after(() => other.stop())
  await other.start()
}

const troubles: [what: string, cause: string, privately: number[], happens: (bench: Bench) => void | Promise<void>][] = [
  ['does not have the tag any more', 'not-found', [404], ({ hub }) => hub.content.removeTag('library/alpine', 'latest')],
  ['refuses connections', 'unreachable', [502], ({ hub }) => hub.stop()],
  ['resets connections', 'unreachable', [502], fault('manifest', refuse())],
  ['hangs', 'timeout', [504], fault('manifest', hang())],
  ['answers 429', 'limited', [503], fault('manifest', status(429))],
  ['answers 500', 'failed', [502], fault('manifest', status(500))],
  ['answers 403', 'denied', [403], fault('manifest', status(403))],
  [
    'has a name that cannot be looked up',
    'dns',
    [502],
    ({ hub, names }) => {
      names.broken = true
      hub.dropConnections()
    },
  ],
  ['has a certificate that nobody knows', 'tls', [502], replaceByUnknown],
  ['has a token endpoint that answers 500', 'failed', [502], fault('token', status(500))],
  ['has a token endpoint that hangs', 'timeout', [504], fault('token', hang())],
  [
    'no longer takes our credentials',
    'denied',
    [403],
    ({ auth }) => {
      auth.users = {}
      auth.revokeTokens()
    },
  ],
]

for (const [what, cause, , happens] of troubles) {
  test(`a cached tag is served and marked when its registry ${what}`, async (t) => {
    const bench = { ...(await registryWithAll(t)), t }
    const { hub, registry, resolve } = bench
    const server = await startServer(t, { registries: [registry], resolve, alwaysPullLatest: true, budgets: { checkMs: 500 } })
    const { bytes } = hub.addImage('library/alpine', 'latest')
    assert.equal((await server.get(TAG)).status, 200)
    await happens(bench)
    for (const method of ['GET', 'HEAD'] as const) {
      const response = await server.ask({ method, target: TAG })
      assert.deepEqual([response.status, response.header('cache-status')], [200, `ociregistry; hit; detail=stale-${cause}`])
      assert.match(response.header('warning') ?? '', /^299 - "/)
      if (method === 'GET') assert(response.body.equals(bytes))
    }
  })
}

for (const [what, , statuses, happens] of troubles) {
  test(`a cached manifest of a private registry is not served when that ${what}, by GET, HEAD or a condition`, async (t) => {
    const bench = { ...(await registryWithAll(t)), t }
    const { hub, registry, resolve } = bench
    const server = await startServer(t, {
      registries: [registry],
      resolve,
      privateRegistries: [parseRegistry('docker.io')],
      budgets: { firstByteMs: 500 },
    })
    const { bytes, digest } = hub.addImage('library/alpine', 'latest')
    assert.equal((await server.get(TAG)).status, 200)
    const consented = await server.get(TAG)
    assert.deepEqual([consented.status, consented.header('cache-status')], [200, 'ociregistry; hit'])
    assert(consented.body.equals(bytes))
    assert.equal((await server.get(TAG, { 'if-none-match': `"${digest}"` })).status, 304)
    await happens(bench)
    for (const method of ['GET', 'HEAD'] as const) {
      for (const headers of [{}, { 'if-none-match': `"${digest}"` }]) {
        const response = await server.ask({ method, target: TAG, headers })
        assert.ok([...statuses, 503].includes(response.status), `${method}: ${response.status}`) // 503 once it is not asked any more
        assert.equal(response.header('docker-content-digest'), undefined)
        assert.equal(response.header('www-authenticate'), undefined)
      }
    }
  })
}

test('a manifest that is not there is told so once more without asking, and says so in Cache-Status', async (t) => {
  const hub = await startFakeRegistry(t)
  const server = await startServer(t, { registries: [entry(hub, 'docker.io')] })
  const missing = [TAG, `/v2/library/alpine/manifests/sha256-${'a'.repeat(64)}`, `/v2/library/alpine/blobs/sha256:${'a'.repeat(64)}`]
  for (const target of missing) {
    const first = await server.get(target)
    assert.deepEqual([first.status, first.header('cache-status')], [404, 'ociregistry; fwd=miss; detail=not-found'], target)
    const asked = hub.count()
    for (const response of [await server.get(target), await server.head(target)]) {
      assert.deepEqual([response.status, response.header('cache-status')], [404, 'ociregistry; hit; detail=not-found'], target)
    }
    assert.equal(hub.count(), asked)
  }
})
