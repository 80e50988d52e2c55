/** One registry in trouble is no trouble for the others, whatever it is that hangs. */
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { type FakeRegistry, startFakeRegistry } from '../support/fake-registry.ts'
import { type Action, type FaultRule, hang, hangAt, throttle } from '../support/fake-registry-faults.ts'
import { FakeNames } from '../support/fake-registry-names.ts'
import { entry, startServer, type TestServer } from '../support/server.ts'
import { until } from '../support/until.ts'
import { randomBytes } from './bytes.ts'
import { PacedClock } from './paced-clock.ts'

/** More than there are look-ups, connections of one kind or fills for background work at once. */
const CLIENTS = 40
const LAYER = randomBytes('neighbour', 300 * 1024)

async function two(t: TestContext, names = new FakeNames()): Promise<{ sick: FakeRegistry; well: FakeRegistry; server: TestServer }> {
  const sick = await startFakeRegistry(t, { auth: { scheme: 'bearer' } })
  const well = await startFakeRegistry(t)
  const named = (registry: FakeRegistry, name: string) => ({ ...entry(registry, name), address: `${name}:${registry.port}` })
  const server = await startServer(t, {
    registries: [named(sick, 'sick.example'), entry(well, 'well.example')],
    resolve: names.resolve,
    pullTimeoutMs: 60_000,
  })
  return { sick, well, server }
}

/** A whole image that nobody has cached. */
async function assertPulls(server: TestServer, registry: FakeRegistry, name: string): Promise<void> {
  const { layers, bytes } = registry.addImage('team/app', '1', { layers: [LAYER] })
  const manifest = await server.get(`/v2/team/app/manifests/1?ns=${name}`)
  assert.deepEqual([manifest.status, manifest.body.equals(bytes)], [200, true])
  const layer = await server.get(`/v2/team/app/blobs/${layers[0]}?ns=${name}`)
  assert.deepEqual([layer.status, layer.complete, layer.body.equals(LAYER)], [200, true, true])
}

const troubles: [what: string, match: FaultRule['match'], ...Action[]][] = [
  ['hangs before its headers', {}, hang()],
  ['hangs in the middle of blobs', { kind: 'blob' }, hangAt(1000)],
  ['lets blobs trickle', { kind: 'blob' }, throttle(20)],
  ['has a realm of tokens that hangs', { kind: 'token' }, hang()],
]

for (const [what, match, ...actions] of troubles) {
  test(`${CLIENTS} clients of a registry that ${what} delay nobody who asks another one`, async (t) => {
    const { sick, well, server } = await two(t)
    const images = Array.from({ length: CLIENTS }, (_, index) =>
      sick.addImage('team/sick', `${index}`, { layers: [randomBytes(`${index}`, 200_000)] }),
    )
    const fault = sick.fault({ match, do: actions })
    for (const { layers } of images) {
      const connection = await server.connect()
      connection.send({ target: `/v2/team/sick/blobs/${layers[0]}?ns=sick.example` })
    }
    await sick.arrived(match)
    await assertPulls(server, well, 'well.example')
    assert(fault.hits > 0, 'the trouble is met, and still there')
  })
}

test('look-ups of many names that hang delay nobody who asks for a registry whose address is known', async (t) => {
  const names = new FakeNames()
  const { sick, well, server } = await two(t, names)
  await assertPulls(server, sick, 'sick.example')
  const fault = names.hang()
  for (let index = 0; index < CLIENTS; index++) {
    const connection = await server.connect()
    connection.send({ target: `/v2/team/app/manifests/1?ns=hung${index}.example` })
  }
  await assertPulls(server, well, 'well.example')
  const cached = await server.get('/v2/team/app/manifests/1?ns=sick.example')
  assert.deepEqual([cached.status, cached.header('cache-status')], [200, 'ociregistry; hit'])
  assert(fault.hits > 0)
  fault.remove()
})

test('a blob that a hanging registry was asked for first comes from another one, for those who asked the hanging one too', async (t) => {
  const clock = new PacedClock()
  const sick = await startFakeRegistry(t)
  const well = await startFakeRegistry(t, { content: sick.content })
  const digest = sick.addBlob(LAYER)
  const server = await startServer(t, { registries: [entry(sick, 'sick.example'), entry(well, 'well.example')], clock })
  const fault = sick.fault({ match: {}, do: [hangAt(100_000)] })
  const first = server.get(`/v2/a/blobs/${digest}?ns=sick.example`)
  await until(() => sick.bytesSent(digest) === 100_000, 'the registry hangs')
  const second = await server.connect()
  second.send({ target: `/v2/a/blobs/${digest}?ns=well.example` })
  assert.equal((await second.head()).status, 200, 'it has joined')
  clock.run(10)
  const { status, complete, body } = await first
  assert.deepEqual([status, complete, body.equals(LAYER)], [200, true, true])
  assert((await second.take(LAYER.length)).equals(LAYER))
  assert.equal(fault.hits, 1, 'the registry that hangs was not asked twice')
  assert.equal(well.bytesSent(digest), LAYER.length - 100_000, 'only the rest was downloaded')
})
