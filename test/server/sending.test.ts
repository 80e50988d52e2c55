/** Bodies on their way out: clients that leave, stall, trickle and pipeline. Nothing of theirs stays behind, and nobody waits for them. */
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type { Digest } from '../../src/oci/digest.ts'
import { type FakeRegistry, startFakeRegistry } from '../support/fake-registry.ts'
import { generatedBytes } from '../support/fake-registry-bytes.ts'
import { flipBit, hang, hangAt } from '../support/fake-registry-faults.ts'
import { Gate } from '../support/fake-registry-reply.ts'
import type { RawConnection } from '../support/raw-http.ts'
import { entry, type ServerOptions, startServer, type TestServer } from '../support/server.ts'
import { until } from '../support/until.ts'

const MIB = 1024 * 1024
const NAME = '/v2/library/alpine'

type Bench = { readonly hub: FakeRegistry; readonly server: TestServer }
type Blob = { readonly digest: Digest; readonly bytes: Buffer; readonly target: string }

async function start(t: TestContext, options: ServerOptions = {}): Promise<Bench> {
  const hub = await startFakeRegistry(t)
  return { hub, server: await startServer(t, { registries: [entry(hub, 'docker.io')], ...options }) }
}

function addBlob(hub: FakeRegistry, size: number, seed = 'blob'): Blob {
  const digest = hub.addGeneratedBlob(seed, size)
  return { digest, bytes: Buffer.concat([...generatedBytes(seed, size).read(0, size)]), target: `${NAME}/blobs/${digest}` }
}

/** A blob that the server has. */
async function storedBlob({ hub, server }: Bench, size: number): Promise<Blob> {
  const blob = addBlob(hub, size)
  assert.equal((await server.get(blob.target)).body.length, size)
  await server.settled()
  return blob
}

/** Nothing lent, no file open, no spool left. */
async function assertNothingLeft(server: TestServer): Promise<void> {
  await until(() => server.buffers.lent === 0, 'every buffer is back')
  await until(() => server.openFiles().length === 0, 'every file is closed')
  await server.settled()
}

/** Connections whose answers have stopped because nobody reads them. */
async function stalled(server: TestServer, target: string, count: number): Promise<RawConnection[]> {
  const connections: RawConnection[] = []
  for (let i = 0; i < count; i++) {
    const connection = await server.connect()
    connection.stopReading()
    connection.send({ target })
    connections.push(connection)
  }
  let still = 0
  let taken = -1
  await until(() => {
    still = server.buffers.lent === count && server.buffers.taken === taken ? still + 1 : 0
    taken = server.buffers.taken
    return still === 200
  }, 'all answers have stopped')
  return connections
}

for (const how of ['fin', 'rst'] as const) {
  test(`clients that leave in the middle of a stored blob (${how}) leave no buffer and no file behind`, async (t) => {
    const bench = await start(t)
    const { target } = await storedBlob(bench, 20 * MIB)
    for (const take of [0, 1, 100_000, 10 * MIB]) {
      const connections = await Promise.all(Array.from({ length: 5 }, () => bench.server.connect()))
      await Promise.all(
        connections.map(async (connection) => {
          connection.send({ target })
          await connection.head()
          await connection.take(take)
          connection.close(how)
        }),
      )
      await assertNothingLeft(bench.server)
    }
    assert.deepEqual(
      bench.server.log.lines.filter(({ level }) => level === 'warn' || level === 'error'),
      [],
      'leaving is their right',
    )
  })
}

test('clients that leave in the middle of a fill do not end it, and leave nothing behind', async (t) => {
  const { hub, server } = await start(t)
  const { digest, bytes, target } = addBlob(hub, 4 * MIB)
  const gate = new Gate()
  hub.fault({ match: { kind: 'blob' }, do: [hangAt(2 * MIB, gate)] })
  for (const range of [undefined, 'bytes=0-', 'bytes=1000000-', `bytes=${3 * MIB}-`, 'bytes=-1']) {
    const connection = await server.connect()
    connection.send({ target, ...(range === undefined ? {} : { headers: { range } }) })
    await connection.head() // a range far ahead waits for its bytes, but not for its headers
    connection.close('rst')
  }
  gate.open()
  await assertNothingLeft(server)
  assert.deepEqual(await server.files(), [`blobs/${digest.slice(7)}`])
  assert((await server.get(target)).body.equals(bytes))
  assert.equal(hub.count(), 1)
})

test('clients that leave before the upstream has answered leave nothing behind', async (t) => {
  const { hub, server } = await start(t)
  const gate = new Gate()
  hub.fault({ match: {}, do: [hang(gate)] })
  const { target } = addBlob(hub, MIB)
  const connections = await Promise.all(Array.from({ length: 5 }, () => server.connect()))
  for (const connection of connections) connection.send({ target })
  await hub.arrived({ kind: 'blob' })
  for (const connection of connections) connection.close('rst')
  gate.open()
  await assertNothingLeft(server)
  assert.equal(hub.count(), 1)
})

test('a pipelining client that leaves leaves nothing behind', async (t) => {
  const bench = await start(t)
  const { target } = await storedBlob(bench, 40 * MIB)
  bench.hub.addImage('library/alpine', '3', { fields: { annotations: { big: 'x'.repeat(3_900_000) } } })
  await bench.server.get(`${NAME}/manifests/3`)
  for (let i = 0; i < 5; i++) {
    const connection = await bench.server.connect()
    connection.stopReading()
    for (const next of [`${NAME}/manifests/3`, `${NAME}/manifests/3`, target, target]) connection.send({ target: next })
    await until(() => bench.server.log.lines.filter(({ message }) => message.startsWith('serving')).length > 2 * i, 'it is being served')
    connection.close('rst')
  }
  await assertNothingLeft(bench.server)
})

test('fifty readers that stall hold a small buffer each, and nobody waits for them', async (t) => {
  const bench = await start(t)
  const { bytes, target } = await storedBlob(bench, 24 * MIB)
  const { server } = bench
  const readers = await stalled(server, target, 50)
  assert.equal(server.buffers.lent, 50)
  assert.equal(server.buffers.bigLent, 0, 'what the kernel takes for a reader is no sign of speed')
  assert((await server.get(target)).body.equals(bytes), 'another one is served meanwhile')
  for (const reader of readers.slice(0, 5)) {
    reader.goOnReading()
    assert((await reader.response()).body.equals(bytes), 'one that goes on gets everything')
  }
  for (const reader of readers.slice(5)) reader.close('rst')
  await assertNothingLeft(server)
})

test('a fast reader gets big buffers, two at the most', async (t) => {
  const bench = await start(t)
  const { bytes, target } = await storedBlob(bench, 48 * MIB)
  assert((await bench.server.get(target)).body.equals(bytes))
  assert([1, 2].includes(bench.server.buffers.mostBigLent), `${bench.server.buffers.mostBigLent} at once`)
  await assertNothingLeft(bench.server)
})

test('a slow reader gets everything, of a stored blob and of one that is being filled', async (t) => {
  const { hub, server } = await start(t)
  const { bytes, target } = addBlob(hub, 12 * MIB)
  const read = async (connection: RawConnection): Promise<void> => {
    const head = await connection.head()
    assert.equal(head.header('content-length'), String(bytes.length))
    for (let at = 0; at < bytes.length; at += 100_000) {
      connection.goOnReading()
      const piece = await connection.take(Math.min(100_000, bytes.length - at))
      connection.stopReading()
      assert(piece.equals(bytes.subarray(at, at + piece.length)), `at ${at}`)
    }
  }
  const filling = await server.connect()
  filling.stopReading()
  filling.send({ target })
  await hub.arrived({ kind: 'blob' })
  filling.goOnReading()
  await read(filling)
  await server.settled()
  const stored = await server.connect()
  stored.send({ target })
  await read(stored)
  assert.equal(hub.count(), 1)
})

test('twenty joined clients, one that reads a little and one that leaves: one download, and all are right', async (t) => {
  const { hub, server } = await start(t)
  const { bytes, target } = addBlob(hub, 6 * MIB)
  const gate = new Gate()
  hub.fault({ match: { kind: 'blob' }, do: [hangAt(3 * MIB, gate)] })
  const connections = await Promise.all(Array.from({ length: 20 }, () => server.connect()))
  const [slow, leaving, ...others] = connections as [RawConnection, RawConnection, ...RawConnection[]]
  slow.send({ target })
  await slow.head()
  slow.stopReading()
  leaving.send({ target })
  await leaving.take(1000)
  for (const connection of others) connection.send({ target })
  leaving.close('rst')
  const heads = await Promise.all(others.map((connection) => connection.head())) // headers go out to whom has joined
  gate.open()
  for (const head of heads) assert.equal(head.header('cache-status'), 'ociregistry; fwd=miss; collapsed')
  for (const connection of others) assert((await connection.take(bytes.length)).equals(bytes))
  slow.goOnReading()
  assert((await slow.take(bytes.length)).equals(bytes))
  assert.equal(hub.count(), 1)
  assert.equal(hub.bytesSent(target.split('/').at(-1) ?? ''), bytes.length)
  await assertNothingLeft(server)
})

test('an error after the headers ends the answer by FIN, also while a request body is under way', async (t) => {
  const { hub, server } = await start(t)
  const { bytes, target } = addBlob(hub, 2 * MIB)
  hub.fault({ match: { kind: 'blob' }, do: [flipBit(2 * MIB - 1)] })
  const connection = await server.connect()
  connection.send({ target, headers: { 'content-length': '1000000' } })
  await connection.writeAll(Buffer.alloc(400_000))
  const { body, complete } = await connection.response()
  assert.equal(complete, false)
  assert(body.equals(bytes.subarray(0, body.length)))
  await connection.writeAll(Buffer.alloc(100_000))
  assert.equal(await connection.ending(), 'fin')
  connection.close()
  await assertNothingLeft(server)
  await until(() => server.log.lines.some(({ fields }) => fields.ended === 'short'), 'the log says so')
})

test('an error after the headers ends the answer by FIN, with more requests behind it', async (t) => {
  const { hub, server } = await start(t)
  const { target } = addBlob(hub, 2 * MIB)
  hub.fault({ match: { kind: 'blob' }, do: [flipBit(2 * MIB - 1)] })
  const connection = await server.connect()
  for (let i = 0; i < 5; i++) connection.send({ target })
  const { complete } = await connection.response()
  assert.equal(complete, false)
  assert.equal(await connection.ending(), 'fin')
  connection.end()
  await assertNothingLeft(server)
  assert.equal(hub.count(), 1, 'what waited behind it is not begun')
})

test('pipelined requests of every kind are answered in order', async (t) => {
  const bench = await start(t)
  const { bytes, target } = await storedBlob(bench, 3 * MIB)
  const image = bench.hub.addImage('library/alpine', '3')
  const connection = await bench.server.connect()
  const asked: [method: 'GET' | 'HEAD' | 'PUT', path: string, status: number, body: Buffer | undefined][] = [
    ['GET', target, 200, bytes],
    ['HEAD', target, 200, Buffer.alloc(0)],
    ['GET', `${NAME}/manifests/3`, 200, image.bytes],
    ['PUT', `${NAME}/manifests/3`, 405, undefined],
    ['GET', '/v2/', 200, Buffer.from('{}')],
    ['GET', `${NAME}/manifests/nowhere`, 404, undefined],
    ['GET', target, 200, bytes],
  ]
  for (const [method, path] of asked) connection.send({ method, target: path })
  for (const [method, path, status, body] of asked) {
    const response = await connection.response(method)
    assert.equal(response.status, status, path)
    if (body !== undefined) assert(response.body.equals(body), path)
  }
})
