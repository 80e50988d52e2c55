/** What strangers may hold: connections, requests at once, unfinished headers, answers that nobody reads. */
import assert from 'node:assert/strict'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { type TestContext, test } from 'node:test'
import { systemClock } from '../../src/observe/clock.ts'
import { limitPerClient } from '../../src/server/client-limit.ts'
import { clientOf } from '../../src/server/clients.ts'
import { Listener, type ListenerDeps } from '../../src/server/listener.ts'
import { MemoryLog } from '../support/log.ts'
import { NEEDS_OUTSIDE, outside } from '../support/outside.ts'
import { RawConnection } from '../support/raw-http.ts'
import { until } from '../support/until.ts'

type Listening = { readonly port: number; readonly log: MemoryLog; connect(host?: string): Promise<RawConnection> }

async function listen(t: TestContext, deps: Partial<ListenerDeps> = {}): Promise<Listening> {
  const log = new MemoryLog()
  const listener = new Listener({ handle: (_, res) => void res.end('hello'), clock: systemClock, log, ...deps })
  const port = await listener.start('0.0.0.0', 0)
  const connections: RawConnection[] = []
  t.after(async () => {
    for (const connection of connections) connection.close()
    await listener.stop(0)
  })
  const connect = async (host?: string) => {
    const connection = await RawConnection.open(port, host)
    connections.push(connection)
    return connection
  }
  return { port, log, connect }
}

/** False where it was closed. */
function isServed(connection: RawConnection): Promise<boolean> {
  connection.send({ target: '/' })
  return connection.response().then(
    ({ status }) => status === 200,
    () => false,
  )
}

test('One connection more than maxConnections is closed, which the log says once; when there is room again, another is served', async (t) => {
  const { connect, log } = await listen(t, { maxConnections: 10 })
  const open: RawConnection[] = []
  for (let i = 0; i < 10; i++) {
    const connection = await connect()
    assert.equal((await connection.ask({ target: '/' })).status, 200)
    open.push(connection)
  }
  for (let i = 0; i < 5; i++) await (await connect()).ending()
  const warnings = () => log.lines.filter(({ level }) => level === 'warn')
  await until(() => warnings().length > 0, 'the log says so')
  assert.deepEqual(warnings(), [
    { level: 'warn', message: 'too many connections: more are closed at once (maxConnections)', fields: { most: 10, client: '127.0.0.1' } },
  ])
  assert.equal((await open[0]?.ask({ target: '/' }))?.status, 200, 'those that are there are served')
  for (const connection of open) connection.close()
  await until(async () => isServed(await connect()), 'another one is served')
})

const clients: [address: string | undefined, client: string | undefined][] = [
  ['10.0.0.7', '10.0.0.7'],
  ['::ffff:10.0.0.7', '10.0.0.7'],
  ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2'],
  ['2001:db8:1:2::6', '2001:db8:1:2'],
  ['2001:db8::6', '2001:db8:0:0'],
  ['fe80::1%eth0', 'fe80:0:0:0'],
  ['::2', '0:0:0:0'],
  ['127.0.0.1', undefined],
  ['::ffff:127.0.0.1', undefined],
  ['::1', undefined],
  [undefined, undefined],
]
for (const [address, client] of clients) {
  test(`the client at ${address} counts as ${client ?? 'this host, which has no limit'}`, () => assert.equal(clientOf(address), client))
}

test(
  'A client that holds a quarter of maxConnections gets no more of them, which the log says; others do, and it does when one has ended',
  NEEDS_OUTSIDE,
  async (t) => {
    const { connect, log } = await listen(t, { maxConnections: 20 })
    const held = await Promise.all(Array.from({ length: 5 }, () => connect(outside)))
    for (const connection of held) assert.equal((await connection.ask({ target: '/' })).status, 200)
    for (let i = 0; i < 5; i++) await (await connect(outside)).ending()
    assert.equal((await (await connect()).ask({ target: '/' })).status, 200, 'this host is served')
    assert.deepEqual(
      log.lines.filter(({ level }) => level === 'warn').map(({ message }) => message)[0],
      'too many connections of one client: more are closed at once (maxConnections)',
    )
    held[0]?.close()
    await until(async () => isServed(await connect(outside)), 'another one is served')
  },
)

/** Answers when a test says so. */
function held(): { readonly handle: ListenerDeps['handle']; readonly answers: ServerResponse[] } {
  const answers: ServerResponse[] = []
  return { answers, handle: (_: IncomingMessage, res: ServerResponse) => void answers.push(res) }
}

test(
  'A client gets no more than maxRequestsPerClient answers at once; one more is 503 with Retry-After until another has ended',
  NEEDS_OUTSIDE,
  async (t) => {
    const { handle, answers } = held()
    const { connect } = await listen(t, { handle: limitPerClient(handle, () => 3) })
    for (let i = 0; i < 3; i++) (await connect(outside)).send({ target: '/' })
    await until(() => answers.length === 3, 'three are being answered')
    const refused = await (await connect(outside)).ask({ target: '/v2/' })
    assert.deepEqual([refused.status, refused.header('retry-after')], [503, '1'])
    assert.deepEqual((refused.json() as { errors: { code: string }[] }).errors[0]?.code, 'TOOMANYREQUESTS')
    const local = await connect()
    local.send({ target: '/' })
    await until(() => answers.length === 4, 'this host is served meanwhile')
    answers[0]?.end()
    await until(async () => {
      ;(await connect(outside)).send({ target: '/' })
      return answers.length > 4
    }, 'another one is served')
  },
)

test('Requests whose clients have left do not count', NEEDS_OUTSIDE, async (t) => {
  const { handle, answers } = held()
  const { connect } = await listen(t, { handle: limitPerClient(handle, () => 2) })
  for (let i = 0; i < 20; i++) {
    const connection = await connect(outside)
    connection.send({ target: '/' })
    await until(() => answers.length === i + 1, 'it is being answered')
    connection.close('rst')
    await until(() => answers[i]?.closed === true, 'it is noticed')
  }
})

test('Headers that never end are answered with 408, and the connection ends; so does one that says nothing', async (t) => {
  const { connect } = await listen(t, { times: { headers: 50, request: 50, look: 10 } })
  const [silent, slow] = [await connect(), await connect()]
  slow.write('GET / HTTP/1.1\r\nhost: x\r\nx-slow: ')
  assert.match((await slow.rest()).bytes.toString(), /^HTTP\/1\.1 408 /)
  await silent.ending()
})

test('A body that never ends is given up', async (t) => {
  const { connect } = await listen(t, {
    handle: (req, res) => void req.resume().once('end', () => res.end()),
    times: { headers: 50, request: 50, look: 10 },
  })
  const connection = await connect()
  connection.write('POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nx')
  await connection.ending()
})

test('A reader that takes nothing for very long is cut, and what it held is free', async (t) => {
  const { handle, answers } = held()
  const { connect } = await listen(t, { handle, times: { stalled: 50 } })
  const connection = await connect()
  connection.stopReading()
  connection.send({ target: '/' })
  await until(() => answers.length === 1, 'it is being answered')
  answers[0]?.end(Buffer.alloc(64 * 1024 * 1024)) // more than any kernel takes from a client that does not read
  await until(() => answers[0]?.closed === true, 'it is cut')
})

test('Five hundred clients that send their headers slowly cost no more than their headers, and others are served', async (t) => {
  const { connect } = await listen(t)
  const before = process.memoryUsage()
  for (let i = 0; i < 500; i++) (await connect()).write(`GET /${'x'.repeat(1000)} HTTP/1.1\r\nhost: x\r\nx-slow: ${'y'.repeat(14_000)}`)
  assert.equal((await (await connect()).ask({ target: '/' })).status, 200)
  const after = process.memoryUsage()
  const grown = after.heapUsed + after.external - before.heapUsed - before.external
  assert(grown < 500 * 100 * 1024, `${grown} bytes for 500 clients`)
})
