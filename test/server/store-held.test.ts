/** A store that is not ours to write: another process holds it, or it is read-only. What is in it is served, the rest goes through, and nothing changes in it. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { chmod, mkdir, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { systemClock } from '../../src/observe/clock.ts'
import { type Digest, digestFileName, digestOf } from '../../src/oci/digest.ts'
import { StoreLock } from '../../src/store/lock.ts'
import { freePort } from '../e2e/support/ports.ts'
import { type FakeRegistry, startFakeRegistry } from '../support/fake-registry.ts'
import { temporaryDirectory } from '../support/files.ts'
import { RawConnection } from '../support/raw-http.ts'
import { entry } from '../support/server.ts'
import { get, serve } from '../support/service.ts'
import { until } from '../support/until.ts'

const SELF = { program: 'other', version: '3.2.1', pid: 4711, hostname: 'edge-7' }

/** Every file, with what a write would change of it; not the socket of the lock, and not what its coming and going does to the directory. */
async function snapshot(path: string): Promise<string[]> {
  const names = (await readdir(path, { recursive: true })).filter((name) => name !== 'lock').sort()
  return Promise.all(
    names.map(async (name) => {
      const { mode, size, mtimeMs, ctimeMs } = await stat(join(path, name))
      return `${name} ${mode} ${size} ${mtimeMs} ${ctimeMs}`
    }),
  )
}

/** Files that are whole. */
async function namesIn(imagePath: string, directory: string): Promise<string[]> {
  return (await readdir(join(imagePath, directory))).filter((name) => !name.startsWith('.tmp-'))
}

async function healthOf(port: number): Promise<string[]> {
  const connection = await RawConnection.open(port)
  try {
    const { body } = await connection.ask({ target: '/health' })
    return (JSON.parse(body.toString()) as { reasons: { kind: string }[] }).reasons.map(({ kind }) => kind)
  } finally {
    connection.close()
  }
}

async function registry(t: TestContext): Promise<FakeRegistry> {
  const hub = await startFakeRegistry(t)
  hub.addImage('team/app', '1')
  hub.addImage('team/app', '2', { layers: [randomBytes(300_000)] })
  return hub
}

test('A server whose store another process holds serves what is in it and streams the rest, and changes nothing; when the other ends it takes over', async (t) => {
  const hub = await registry(t)
  const [imagePath, health] = [await temporaryDirectory(t), await freePort()]
  const registries = [entry(hub, 'quay.io')]
  const first = await serve(t, { imagePath, registries })
  const image = await get(first, '/v2/team/app/manifests/1?ns=quay.io')
  await first.stop()

  const lock = await StoreLock.acquire(imagePath, { self: SELF, waitMs: 0, clock: systemClock })
  t.after(() => lock.release())
  const damaged = digestOf(Buffer.from('damaged'))
  const unverified = Buffer.from('copied in by hand')
  await writeFile(join(imagePath, 'blobs', digestFileName(damaged)), 'not that')
  await writeFile(join(imagePath, 'blobs', digestFileName(digestOf(unverified))), unverified)
  await writeFile(join(imagePath, 'blobs', '.tmp-of-the-other'), 'half a blob')
  const before = await snapshot(imagePath)

  const second = await serve(t, { imagePath, registries, health })
  const line = second.log.lines.find(({ level }) => level === 'error')
  assert.equal(line?.fields.kind, 'held')
  assert.match(String(line?.fields.why), /other 3\.2\.1 \(pid 4711 on edge-7\)/)
  assert.ok((await healthOf(health)).includes('store-held'))

  const cached = await get(second, '/v2/team/app/manifests/1?ns=quay.io')
  assert.equal(cached.header('cache-status'), 'ociregistry; hit')
  assert.ok(cached.body.equals(image.body))
  const other = await get(second, '/v2/team/app/manifests/2?ns=quay.io')
  assert.equal(other.status, 200)
  const [layer] = (other.json() as { layers: { digest: string }[] }).layers
  const streamed = await get(second, `/v2/team/app/blobs/${layer?.digest}?ns=quay.io`)
  assert.equal(digestOf(streamed.body), layer?.digest)
  assert.ok((await get(second, `/v2/team/app/blobs/${digestOf(unverified)}?ns=quay.io`)).body.equals(unverified))
  const wrong = await get(second, `/v2/team/app/blobs/${damaged}?ns=quay.io`)
  assert.equal(wrong.status, 404, 'a damaged blob is as good as absent, and the registry has none')
  assert.equal((await get(second, '/v2/team/app/manifests/2?ns=quay.io')).header('cache-status'), 'ociregistry; hit', 'from memory')
  assert.deepEqual(await snapshot(imagePath), before)

  await lock.release()
  await until(async () => (await healthOf(health)).length === 0, 'the store is taken over')
  await until(async () => (await namesIn(imagePath, 'refs')).length === 2, 'what was pulled meanwhile is stored')
  assert.ok(!(await readdir(join(imagePath, 'blobs'))).includes('.tmp-of-the-other'), 'what the other left is cleared away')
  assert.equal(digestOf((await get(second, `/v2/team/app/blobs/${layer?.digest}?ns=quay.io`)).body), layer?.digest)
  await until(
    async () => (await readdir(join(imagePath, 'blobs'))).includes(digestFileName(digestOf(streamed.body))),
    'the next pull is stored',
  )
  await second.stop()
})

test('A server that waited for the store knows what the other process stored meanwhile, whose later answers win', async (t) => {
  const hub = await registry(t)
  const imagePath = await temporaryDirectory(t)
  const registries = [entry(hub, 'quay.io')]
  const first = await serve(t, { imagePath, registries })
  const second = await serve(t, { imagePath, registries, airGapped: true })
  assert.equal((await get(second, '/v2/team/app/manifests/1?ns=quay.io')).status, 404)
  const pulled = await get(first, '/v2/team/app/manifests/1?ns=quay.io')
  await until(async () => (await namesIn(imagePath, 'refs')).length === 1, 'it is stored')
  assert.ok(
    (await get(second, '/v2/team/app/manifests/1?ns=quay.io')).body.equals(pulled.body),
    'the store is asked where the catalog knows nothing',
  )
  await get(first, '/v2/team/app/manifests/2?ns=quay.io')
  await first.stop()
  await until(() => second.log.lines.some(({ message }) => message === 'the store takes new content again'), 'the store is taken over')
  const tags = await get(second, '/v2/team/app/tags/list?ns=quay.io')
  assert.deepEqual((tags.json() as { tags: string[] }).tags, ['1', '2'])
  await second.stop()
})

test('A server that waits for its store stops at once, and the other keeps the store', async (t) => {
  const imagePath = await temporaryDirectory(t)
  const first = await serve(t, { imagePath })
  const second = await serve(t, { imagePath })
  await second.stop()
  assert.deepEqual(
    (await readdir(imagePath)).filter((name) => name.includes('lock')),
    ['lock'],
  )
  await assert.rejects(StoreLock.acquire(imagePath, { self: SELF, waitMs: 0, clock: systemClock }), { name: 'StoreLockedError' })
  await first.stop()
})

test('Of three servers on one store, one after the other takes over', async (t) => {
  const hub = await registry(t)
  const imagePath = await temporaryDirectory(t)
  const registries = [entry(hub, 'quay.io')]
  const services = [
    await serve(t, { imagePath, registries }),
    await serve(t, { imagePath, registries }),
    await serve(t, { imagePath, registries }),
  ]
  const mayWrite = ({ log }: (typeof services)[number]) => log.lines.some(({ message }) => message === 'the store takes new content again')
  await services[0]?.stop()
  await until(() => services.slice(1).some(mayWrite), 'one of the others has it')
  const [holder, waiting] = services.slice(1).sort((a, b) => Number(mayWrite(b)) - Number(mayWrite(a)))
  assert.ok(holder !== undefined && waiting !== undefined)
  assert.ok(!mayWrite(waiting))
  await holder.stop()
  await until(() => mayWrite(waiting), 'the last one has it')
  await waiting.stop()
})

test('A store that is removed under its server is made again, and the next pull is stored in it', async (t) => {
  const hub = await registry(t)
  const imagePath = join(await temporaryDirectory(t), 'images')
  const server = await serve(t, { imagePath, registries: [entry(hub, 'quay.io')] })
  await get(server, '/v2/team/app/manifests/1?ns=quay.io')
  await until(async () => (await namesIn(imagePath, 'refs')).length === 1, 'it is stored')
  await rm(imagePath, { recursive: true })
  const { layers } = (await get(server, '/v2/team/app/manifests/2?ns=quay.io')).json() as { layers: { digest: Digest }[] }
  const [layer] = layers
  assert.ok(layer !== undefined)
  assert.equal((await get(server, `/v2/team/app/blobs/${layer.digest}?ns=quay.io`)).status, 200)
  await until(
    async () => (await readdir(imagePath, { recursive: true })).includes(`blobs/${digestFileName(layer.digest)}`),
    'the next pull is stored',
  )
  await until(async () => (await readdir(imagePath)).includes('lock'), 'the lock is there')
  await assert.rejects(StoreLock.acquire(imagePath, { self: SELF, waitMs: 0, clock: systemClock }), { name: 'StoreLockedError' })
  assert.equal(server.log.lines.filter(({ message }) => message.startsWith('the lock of the store was removed')).length, 1)
  assert.deepEqual(
    server.log.lines.filter(({ level }) => level === 'error'),
    [],
  )
  await server.stop()
})

for (const what of ['lock', 'whole store'] as const) {
  test(`A server whose ${what} is removed leaves the store to another one that was started meanwhile, serves and streams, and takes it over when that ends`, async (t) => {
    const hub = await registry(t)
    const [imagePath, health] = [join(await temporaryDirectory(t), 'images'), await freePort()]
    const registries = [entry(hub, 'quay.io')]
    const earlier = await serve(t, { imagePath, registries })
    await get(earlier, '/v2/team/app/manifests/1?ns=quay.io')
    await earlier.stop()
    const first = await serve(t, { imagePath, registries, health }, { storage: { budgets: { keepMs: 600_000, believeMs: 0 } } })
    await rm(what === 'lock' ? join(imagePath, 'lock') : imagePath, { recursive: true })
    const second = await serve(t, { imagePath, registries })
    const before = await snapshot(imagePath)
    const manifest = await get(first, '/v2/team/app/manifests/2?ns=quay.io')
    const [layer] = (manifest.json() as { layers: { digest: string }[] }).layers
    const { body } = await get(first, `/v2/team/app/blobs/${layer?.digest}?ns=quay.io`)
    assert.equal(digestOf(body), layer?.digest)
    if (what === 'lock') assert.equal((await get(first, '/v2/team/app/manifests/1?ns=quay.io')).header('cache-status'), 'ociregistry; hit')
    await until(async () => (await healthOf(health)).includes('store-held'), 'the first one says so')
    assert.deepEqual(await snapshot(imagePath), before)
    for (const { log, lines } of [
      { log: first.log, lines: 1 },
      { log: second.log, lines: 0 },
    ])
      assert.equal(log.lines.filter(({ level }) => level === 'error' || level === 'warn').length, lines)
    await second.stop()
    await until(async () => (await healthOf(health)).length === 0, 'it is taken over')
    await until(async () => (await namesIn(imagePath, 'refs')).length === (what === 'lock' ? 2 : 1), 'what was pulled meanwhile is stored')
    await first.stop()
  })
}

test('A directory without a store in it that cannot be written still stops the start', {
  skip: process.getuid?.() === 0 && 'privilege: root may write to every directory',
}, async (t) => {
  const imagePath = join(await temporaryDirectory(t), 'images')
  await mkdir(imagePath)
  await chmod(imagePath, 0o555)
  await assert.rejects(serve(t, { imagePath }), /has no permission/)
})

test('A store that is a file still stops the start', async (t) => {
  const imagePath = join(await temporaryDirectory(t), 'images')
  await writeFile(imagePath, '')
  await assert.rejects(serve(t, { imagePath }), /is not a directory/)
})
