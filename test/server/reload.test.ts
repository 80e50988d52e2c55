/** A reload of the running service: what each key changes, for the next request, and what goes on as it was. */
import assert from 'node:assert/strict'
import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import type { Config } from '../../src/config/config.ts'
import { parsePatterns } from '../../src/config/expression.ts'
import { parseRegistry } from '../../src/oci/name.ts'
import type { Service, ServiceDeps } from '../../src/server/service.ts'
import { ManualClock } from '../support/clock.ts'
import { type FakeRegistry, startFakeRegistry } from '../support/fake-registry.ts'
import { hang, hangAt } from '../support/fake-registry-faults.ts'
import { Gate } from '../support/fake-registry-reply.ts'
import { temporaryDirectory } from '../support/files.ts'
import { NEEDS_OUTSIDE, outside } from '../support/outside.ts'
import { RawConnection } from '../support/raw-http.ts'
import { entry } from '../support/server.ts'
import { CONFIG, get, serve } from '../support/service.ts'
import { until } from '../support/until.ts'

type Ground = {
  readonly hub: FakeRegistry
  readonly directory: string
  readonly service: Service & { readonly log: { readonly lines: readonly { readonly message: string }[] } }
  /** With these keys besides those it began with. */
  reload(changes: Partial<Config>): Promise<void>
  /** The status of a GET below `/v2/`. */
  status(path: string): Promise<number>
  heads(): number
}

/** A service that pulls `app:1` and `app:latest` from `quay.io`, the only registry with an entry. */
async function ground(t: TestContext, config: Partial<Config> = {}, deps: Partial<ServiceDeps> = {}): Promise<Ground> {
  const hub = await startFakeRegistry(t)
  hub.addImage('team/app', '1')
  hub.addImage('team/app', 'latest')
  const directory = await temporaryDirectory(t)
  const began: Partial<Config> = { imagePath: join(directory, 'images'), registries: [entry(hub, 'quay.io')], ...config }
  const service = await serve(t, began, deps)
  return {
    hub,
    directory,
    service,
    reload: (changes) => service.reload({ ...CONFIG, ...began, ...changes }),
    status: async (path) => (await get(service, `/v2/${path}`)).status,
    heads: () => hub.ledger.requests({ kind: 'manifest', method: 'HEAD' }).length,
  }
}

async function statusOf(service: Service): Promise<{ readonly fills: readonly unknown[]; readonly store: { readonly path: string } }> {
  return JSON.parse(String((await get(service, '/cmd/status', { headers: { accept: 'application/json' } })).body))
}

const MANIFEST = 'quay.io/team/app/manifests/1'
const LATEST = 'quay.io/team/app/manifests/latest'
const NEVER = { maxBytes: undefined, highBytes: 0, lowBytes: 0 }

test('airGapped: no registry is asked after a reload, and again after another', async (t) => {
  const { hub, reload, status } = await ground(t)
  await reload({ airGapped: true })
  assert.deepEqual([await status(MANIFEST), hub.ledger.requests({}).length], [404, 0])
  await reload({ airGapped: false })
  assert.equal(await status(MANIFEST), 200)
})

test('registries: the next request goes to the new address', async (t) => {
  const { hub, reload, status } = await ground(t)
  const other = await startFakeRegistry(t)
  other.addImage('team/app', '1')
  await reload({ registries: [entry(other, 'quay.io')] })
  assert.equal(await status(MANIFEST), 200)
  assert.deepEqual([hub.ledger.requests({}).length, other.ledger.requests({ kind: 'manifest' }).length], [0, 1])
})

test('registries: a "not found" of the old address is forgotten', async (t) => {
  const { reload, status } = await ground(t)
  const other = await startFakeRegistry(t)
  other.addImage('team/app', 'new')
  assert.equal(await status('quay.io/team/app/manifests/new'), 404)
  await reload({ registries: [entry(other, 'quay.io')] })
  assert.equal(await status('quay.io/team/app/manifests/new'), 200)
})

test('registries: an alias counts, and one that is gone does not', async (t) => {
  const { hub, reload, status } = await ground(t, { allowUnconfigured: false })
  assert.notEqual(await status('mirror/team/app/manifests/1'), 200)
  await reload({ allowUnconfigured: false, registries: [entry(hub, 'quay.io', 'mirror')] })
  assert.equal(await status('mirror/team/app/manifests/1'), 200)
  await reload({ allowUnconfigured: false })
  assert.notEqual(await status('mirror/team/app/manifests/1'), 200)
})

test('registries: a download that is under way ends with the old address, for its client too', async (t) => {
  const { hub, reload, service } = await ground(t)
  const layer = Buffer.alloc(3_000_000, 'x')
  const { layers } = hub.addImage('team/big', '1', { layers: [layer] })
  const other = await startFakeRegistry(t)
  const [digest = ''] = layers
  const gate = new Gate()
  hub.fault({ match: { kind: 'blob', digest }, do: [hangAt(1_000_000, gate)] })
  const pull = get(service, `/v2/quay.io/team/big/blobs/${digest}`)
  await hub.ledger.arrived({ kind: 'blob' })
  await reload({ registries: [entry(other, 'quay.io')] })
  gate.open()
  assert.ok((await pull).body.equals(layer))
  assert.equal(other.ledger.requests({ kind: 'blob' }).length, 0)
})

test('allowUnconfigured: registries without an entry are closed', async (t) => {
  const { reload, service } = await ground(t)
  await reload({ allowUnconfigured: false })
  const { status, body } = await get(service, '/v2/ghcr.io/team/app/manifests/1')
  assert.equal(status, 404)
  assert.match(String(body), /ghcr\.io is not configured/)
})

test('defaultNs: requests that name no registry go to another one', async (t) => {
  const { reload, status } = await ground(t, { allowUnconfigured: false })
  assert.equal(await status('team/app/manifests/1'), 404)
  await reload({ allowUnconfigured: false, defaultNs: parseRegistry('quay.io') })
  assert.equal(await status('team/app/manifests/1'), 200)
})

const checks: [key: string, changes: () => Promise<Partial<Config>>][] = [
  ['alwaysPullLatest', async () => ({ alwaysPullLatest: true })],
  ['cacheManifests', async () => ({ cacheManifests: false })],
  ['skipTags', async () => ({ skipTags: { source: 'latest', matches: (tag) => tag === 'latest' } })],
  ['tagPolicy', async () => ({ tagPolicy: [{ match: { text: '**', parts: ['**'] }, revalidate: 'always' }] })],
  ['privateRegistries', async () => ({ privateRegistries: [parseRegistry('quay.io')] })],
]
for (const [key, changes] of checks) {
  test(`${key}: a cached tag is checked from the next request on, and not any more after another reload`, async (t) => {
    const { reload, status, heads } = await ground(t)
    await status(LATEST)
    await status(LATEST)
    assert.equal(heads(), 0)
    await reload(await changes())
    assert.deepEqual([await status(LATEST), heads()], [200, 1])
    await reload({})
    assert.deepEqual([await status(LATEST), heads()], [200, 1])
  })
}

test('negativeTtl: what a registry does not have is asked for each time', async (t) => {
  const { hub, reload, status } = await ground(t)
  const asked = () => hub.ledger.requests({ kind: 'manifest', reference: 'none' }).length
  for (let i = 0; i < 2; i++) await status('quay.io/team/app/manifests/none')
  assert.equal(asked(), 1)
  await reload({ negativeTtlMs: 0 })
  for (let i = 0; i < 2; i++) await status('quay.io/team/app/manifests/none')
  assert.equal(asked(), 3)
})

test('prefetch: images that were pulled before are completed once it is on', async (t) => {
  const { hub, reload, status, directory } = await ground(t)
  await status(MANIFEST)
  assert.equal(hub.ledger.requests({ kind: 'blob' }).length, 0)
  await reload({ prefetch: true })
  await until(async () => (await readdir(join(directory, 'images', 'blobs'))).length === 2, 'the layers are stored')
})

const credentials: [key: 'credsFile' | 'dockerConfig', content: (host: string) => string][] = [
  ['credsFile', (host) => `${host}: {username: ann, password: pw}`],
  ['dockerConfig', (host) => JSON.stringify({ auths: { [host]: { auth: Buffer.from('ann:pw').toString('base64') } } })],
]
for (const [key, content] of credentials) {
  test(`${key}: its passwords count`, async (t) => {
    const { reload, status, directory } = await ground(t)
    const locked = await startFakeRegistry(t, { auth: { scheme: 'basic', users: { ann: 'pw' } } })
    locked.addImage('team/app', '1')
    const registries = [entry(locked, 'quay.io')]
    await reload({ registries })
    assert.equal(await status(MANIFEST), 403)
    const file = join(directory, 'credentials')
    await writeFile(file, content(locked.host))
    await reload({ registries, [key]: file })
    assert.equal(await status(MANIFEST), 200)
  })
}

test('pullTimeout: a registry that hangs is waited for no longer than it says', async (t) => {
  const { hub, reload, status } = await ground(t, { pullTimeoutMs: 600_000 })
  await reload({ pullTimeoutMs: 20 })
  hub.fault({ match: { kind: 'manifest' }, do: [hang()] })
  assert.equal(await status(MANIFEST), 504)
})

test('admin.tokenFile: the new token is let in, and the old one is not', async (t) => {
  const directory = await temporaryDirectory(t)
  const [one, two] = [join(directory, 'one'), join(directory, 'two')]
  await Promise.all([writeFile(one, 'a'.repeat(20)), writeFile(two, 'b'.repeat(20))])
  const { reload, service } = await ground(t, { admin: { tokenFile: one, port: 0 } })
  const shown = async (letter: string) => {
    const headers = { 'x-forwarded-for': '192.0.2.1', authorization: `Bearer ${letter.repeat(20)}` }
    return (await get(service, '/cmd/status', { headers })).status
  }
  assert.deepEqual([await shown('a'), await shown('b')], [200, 401])
  await reload({ admin: { tokenFile: two, port: 0 } })
  assert.deepEqual([await shown('a'), await shown('b')], [401, 200])
  await reload({ admin: { tokenFile: undefined, port: 0 } })
  assert.equal(await shown('b'), 403)
})

const limits: [key: string, changes: Partial<Config>][] = [
  ['minFree', { minFree: { bytes: Number.MAX_SAFE_INTEGER, percent: 100 } }],
  ['maxSize', { budget: { maxBytes: 2_000_000, highBytes: 1_900_000, lowBytes: 1_800_000 } }],
]
for (const [key, changes] of limits) {
  test(`${key}: what there is no room for any more is streamed, and stored again after another reload`, async (t) => {
    const { hub, directory, reload, service } = await ground(t)
    const pull = async (name: string) => {
      const { layers } = hub.addImage('team/big', name, { layers: [Buffer.alloc(3_000_000, name)] })
      return (await get(service, `/v2/quay.io/team/big/blobs/${layers[0]}`)).body.byteLength
    }
    const stored = async () => (await readdir(join(directory, 'images', 'blobs'))).length
    await reload(changes)
    assert.deepEqual([await pull('a'), await stored()], [3_000_000, 0])
    await reload({})
    assert.equal(await pull('b'), 3_000_000)
    await until(async () => (await stored()) === 1, 'the second one is stored')
  })
}

test('maxSize: images that were not pulled for longest go when a limit begins to count', async (t) => {
  const clock = new ManualClock(Date.now())
  const { hub, directory, reload, service } = await ground(t, {}, { clock })
  const { layers } = hub.addImage('team/big', '1', { layers: [Buffer.alloc(3_000_000, 'x')] })
  await get(service, '/v2/quay.io/team/big/manifests/1')
  await get(service, `/v2/quay.io/team/big/blobs/${layers[0]}`)
  const stored = async () => (await readdir(join(directory, 'images', 'blobs'))).length
  await until(async () => (await statusOf(service)).fills.length === 0, 'the download is over')
  assert.equal(await stored(), 1)
  await clock.advance(3600_000) // nobody is in the middle of its pull any more
  await reload({ budget: { maxBytes: 2_000_000, highBytes: 1_900_000, lowBytes: 1_800_000 } })
  await until(async () => (await stored()) === 0, 'it is gone')
})

test('pins: what matches is not removed', async (t) => {
  const clock = new ManualClock(Date.now())
  const { reload, service, status } = await ground(t, {}, { clock })
  await status(MANIFEST)
  await clock.advance(3600_000)
  await reload({ pins: await parsePatterns('app:1$') })
  const prune = async () =>
    JSON.parse(
      String((await get(service, '/cmd/prune?type=pattern&expr=.*', { method: 'POST', headers: { accept: 'application/json' } })).body),
    )
  assert.equal((await prune()).references.length, 0)
  await reload({})
  assert.equal((await prune()).references.length, 1)
})

test('pruneConfig: the schedule begins, and ends', async (t) => {
  const clock = new ManualClock(Date.now())
  const { reload, service } = await ground(t, {}, { clock })
  const prunes = () => service.log.lines.filter(({ message }) => message === 'prune finished').length
  await reload({ prune: { ...CONFIG.prune, enabled: true, frequencyMs: 60_000 } })
  await until(async () => {
    await clock.advance(60_000)
    return prunes() > 0
  }, 'it has run')
  await reload({ prune: { ...CONFIG.prune, enabled: false } })
  const before = prunes()
  await clock.advance(600_000)
  assert.equal(prunes(), before)
})

test('scrub: reading what is stored begins', async (t) => {
  const clock = new ManualClock(Date.now())
  const { reload, service } = await ground(t, {}, { clock })
  await reload({ scrub: { everyMs: 60_000, bytesPerSecond: 1_000_000 } })
  const isDone = () => service.log.lines.some(({ message }) => message === 'scrub finished')
  await until(async () => {
    await clock.advance(60_000)
    return isDone()
  }, 'it has run')
})

test('preloadImages: the images of a new list are loaded, and a list is read again that has changed', async (t) => {
  const { reload, directory, service } = await ground(t)
  const preloadImages = join(directory, 'list.txt')
  const preloaded = () => service.log.lines.filter(({ message }) => message === 'image preloaded').length
  const changes = { load: { ...CONFIG.load, preloadImages } }
  await writeFile(preloadImages, 'quay.io/team/app:1\n')
  await reload(changes)
  await until(() => preloaded() === 1, 'the first one is there')
  await writeFile(preloadImages, 'quay.io/team/app:latest\n')
  await reload(changes)
  await until(() => preloaded() === 2, 'the second one, too')
})

test('platforms and referrers: what is loaded from then on has them', async (t) => {
  const { hub, reload, service } = await ground(t, { load: { ...CONFIG.load, platforms: [{ os: 'linux', architecture: 'amd64' }] } })
  const { digest } = hub.addImage('team/signed', '1')
  const load = async () => {
    const { status } = await get(service, '/cmd/prefetch?ref=quay.io/team/signed:1', { method: 'POST' })
    assert.equal(status, 202)
  }
  const asked = () => hub.ledger.requests({ kind: 'referrers', digest }).length
  const loaded = (count: number) => service.log.lines.filter(({ message }) => message === 'image loaded').length === count
  await reload({ load: { ...CONFIG.load, platforms: 'all' } })
  await load()
  await until(() => loaded(1), 'it is loaded')
  assert.equal(asked(), 0)
  await reload({ load: { ...CONFIG.load, platforms: 'all', referrers: true } })
  await load()
  await until(() => loaded(2), 'it is loaded again')
  assert.equal(asked(), 1)
})

test('maxConnections: one more is closed from then on, those that are open stay, and without a limit more are served again', async (t) => {
  const { reload, service, status } = await ground(t)
  const open = await RawConnection.open(service.port)
  t.after(() => open.close())
  assert.equal((await open.ask({ target: '/v2/' })).status, 200)
  await reload({ limits: { maxConnections: 1, maxRequestsPerClient: 0 } })
  await assert.rejects(status(MANIFEST))
  assert.equal((await open.ask({ target: '/v2/' })).status, 200)
  await reload({})
  assert.equal(await status(MANIFEST), 200)
})

test('maxRequestsPerClient: one more is refused from then on', NEEDS_OUTSIDE, async (t) => {
  const gate = new Gate()
  const { hub, reload, service } = await ground(t, { host: '0.0.0.0' })
  hub.fault({ match: { kind: 'manifest' }, do: [hang(gate)] })
  const waiting = await RawConnection.open(service.port, outside)
  const asking = await RawConnection.open(service.port, outside)
  t.after(() => {
    waiting.close()
    asking.close()
  })
  waiting.send({ target: `/v2/${MANIFEST}` })
  await hub.arrived({ kind: 'manifest' })
  assert.equal((await asking.ask({ target: '/v2/' })).status, 200)
  await reload({ host: '0.0.0.0', limits: { maxConnections: 0, maxRequestsPerClient: 1 } })
  assert.equal((await asking.ask({ target: '/v2/' })).status, 503, 'what was asked before counts')
  gate.open()
  assert.equal((await waiting.response()).status, 200)
  await until(async () => (await asking.ask({ target: '/v2/' })).status === 200, 'it is served again')
})

test('drainTimeout: a stop lets answers go on for as long as it says then', async (t) => {
  const { reload, service } = await ground(t)
  assert.equal(service.drainMs(), 30_000)
  await reload({ drainTimeoutMs: 7_000 })
  assert.equal(service.drainMs(), 7_000)
})

test('What cannot change goes on as it was: the port and the store', async (t) => {
  const { reload, service, status, directory } = await ground(t)
  await reload({ port: 1, imagePath: join(directory, 'other'), budget: NEVER })
  assert.equal(await status(MANIFEST), 200)
  const { store } = await statusOf(service)
  assert.equal(store.path, join(directory, 'images'))
})

test('A server with the built-in image goes on with nothing else', async (t) => {
  const { reload, status } = await ground(t, { helloWorld: true })
  await reload({ helloWorld: true, airGapped: false })
  assert.deepEqual([await status('library/hello-world/manifests/latest'), await status(MANIFEST)], [200, 404])
})
