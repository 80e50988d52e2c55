/** The lines that a download logs name the request that it was begun for. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Digest } from '../../src/oci/digest.ts'
import { type FakeRegistry, startFakeRegistry } from '../support/fake-registry.ts'
import { cutAt, flipBit, hang } from '../support/fake-registry-faults.ts'
import { Gate } from '../support/fake-registry-reply.ts'
import { RawConnection } from '../support/raw-http.ts'
import { entry, startServer, type TestServer } from '../support/server.ts'
import { until } from '../support/until.ts'

const ID = 'build-7.step:3'
const BYTES = 300_000

async function askAs(server: TestServer, id: string, target: string): Promise<void> {
  const connection = await RawConnection.open(server.port)
  try {
    await connection.ask({ target, headers: { 'x-request-id': id } }).catch(() => {}) // a download that is wrong ends short
  } finally {
    connection.close()
  }
}

/** What is said of a request's downloads. */
function saidOf(server: TestServer, id: string): string[] {
  return server.log.lines.filter(({ fields }) => fields.startedBy === id).map(({ message }) => message)
}

const cases: [what: string, prefetch: boolean, path: 'manifest' | 'layer', trouble: (hub: FakeRegistry) => void, wanted: string[]][] = [
  ['a layer', false, 'layer', () => {}, ['pulling from upstream', 'blob stored']],
  [
    'a layer that breaks off and is continued',
    false,
    'layer',
    (hub) => void hub.fault({ match: { kind: 'blob', ranged: false }, do: [cutAt(100_000)] }),
    ['pulling from upstream', 'source failed', 'continuing a download', 'blob stored'],
  ],
  [
    'a layer that is wrong',
    false,
    'layer',
    (hub) => void hub.fault({ match: { kind: 'blob' }, do: [flipBit(7)] }),
    ['pulling from upstream', 'fill failed'],
  ],
  ['a manifest', false, 'manifest', () => {}, ['pulling from upstream']],
  [
    'a manifest, and the rest of its image in the background',
    true,
    'manifest',
    () => {},
    ['blob stored', 'blob stored', 'completing image in the background', 'pulling from upstream'],
  ],
]
for (const [what, prefetch, path, trouble, wanted] of cases) {
  test(`The lines about ${what} name the request that began it`, async (t) => {
    const hub = await startFakeRegistry(t)
    const server = await startServer(t, { registries: [entry(hub, 'docker.io')], prefetch, budgets: { retryWaitsMs: [1, 1] } })
    const { layers } = hub.addImage('library/app', '1', { layers: [Buffer.alloc(BYTES, 'layer')] })
    trouble(hub)
    await askAs(server, ID, `/v2/library/app/${path === 'layer' ? `blobs/${layers[0]}` : 'manifests/1'}`)
    await until(() => saidOf(server, ID).length >= wanted.length, wanted.join(', '))
    assert.deepEqual(saidOf(server, ID).sort(), [...wanted].sort())
  })
}

test('The lines about a download that others join name the request that began it, and theirs have its digest', async (t) => {
  const hub = await startFakeRegistry(t)
  const server = await startServer(t, { registries: [entry(hub, 'docker.io')] })
  const digest: Digest = hub.addBlob(Buffer.alloc(BYTES, 'layer'))
  const gate = new Gate()
  hub.fault({ match: { kind: 'blob' }, do: [hang(gate)] })
  const target = `/v2/library/app/blobs/${digest}`
  const first = askAs(server, 'first', target)
  await hub.arrived({ digest })
  const second = askAs(server, 'second', target)
  await until(() => server.fills()[0]?.waiters === 2, 'the second has joined')
  gate.open()
  await Promise.all([first, second])
  await until(() => server.log.lines.filter(({ message }) => message.startsWith('GET ')).length === 2, 'both are over')
  await until(() => saidOf(server, 'first').includes('blob stored'), 'it is stored')
  assert.deepEqual(saidOf(server, 'second'), [])
  const requests = server.log.lines.filter(({ message }) => message === `GET docker.io/library/app@${digest}`)
  assert.deepEqual(requests.map(({ fields }) => fields.request).sort(), ['first', 'second'])
})
