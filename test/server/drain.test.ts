/** What becomes of answers and downloads when the service is told to stop. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startFakeRegistry } from '../support/fake-registry.ts'
import { hangAt } from '../support/fake-registry-faults.ts'
import { Gate } from '../support/fake-registry-reply.ts'
import { temporaryDirectory } from '../support/files.ts'
import { RawConnection } from '../support/raw-http.ts'
import { entry } from '../support/server.ts'
import { get, serve } from '../support/service.ts'
import { until } from '../support/until.ts'

const SIZE = 1_000_000
const HALF = SIZE / 2

/** A client that has half of a layer whose registry sends no more until the gate opens. */
async function halfway(t: Parameters<typeof serve>[0], drainTimeoutMs: number) {
  const hub = await startFakeRegistry(t)
  const bytes = Buffer.alloc(SIZE, 'layer')
  const digest = hub.addBlob(bytes, 'library/alpine')
  const gate = new Gate()
  const fault = hub.fault({ match: { path: new RegExp(digest) }, do: [hangAt(HALF, gate)] })
  const config = { imagePath: await temporaryDirectory(t), registries: [entry(hub, 'docker.io')], drainTimeoutMs }
  const service = await serve(t, config)
  const client = await RawConnection.open(service.port)
  const target = `/v2/alpine/blobs/${digest}`
  client.send({ target })
  assert.equal((await client.head()).status, 200)
  const first = await client.take(HALF - 64 * 1024)
  return { hub, bytes, digest, gate, fault, config, service, client, target, first }
}

test('a download that a client reads goes on after a stop until it is whole, and is stored', async (t) => {
  const { bytes, digest, gate, config, service, client, target, first, hub } = await halfway(t, 60_000)
  const stopped = service.stop()
  gate.open()
  const rest = await client.take(SIZE - first.length)
  assert(Buffer.concat([first, rest]).equals(bytes))
  assert.equal(await client.ending(), 'fin')
  await stopped
  const next = await serve(t, config)
  assert.equal((await get(next, target)).header('cache-status'), 'ociregistry; hit')
  assert.equal(hub.count({ path: new RegExp(digest) }), 1)
})

test('a download that takes longer than drainTimeout ends short with FIN, and the next process goes on from there', async (t) => {
  const { bytes, digest, fault, config, service, client, target, first, hub } = await halfway(t, 1)
  await service.stop()
  await client.take(SIZE)
  assert.equal(await client.ending(), 'fin')
  fault.remove()
  const next = await serve(t, config)
  const response = await get(next, target, { headers: { range: `bytes=${first.length}-` } })
  assert.deepEqual([response.status, response.body.equals(bytes.subarray(first.length))], [206, true])
  assert.deepEqual(
    hub.requests({ path: new RegExp(digest) }).map(({ headers }) => headers.range),
    [undefined, `bytes=${HALF}-`],
  )
  await until(async () => (await get(next, target)).header('cache-status') === 'ociregistry; hit', 'it is stored')
})
