import assert from 'node:assert/strict'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { type TestContext, test } from 'node:test'
import { createLog, type LogLevel } from '../../src/observe/log.ts'
import { Listener } from '../../src/server/listener.ts'
import type { Note } from '../../src/server/request-line.ts'
import { ManualClock } from '../support/clock.ts'
import { Gate } from '../support/fake-registry-reply.ts'
import { MemoryLog } from '../support/log.ts'
import { RawConnection } from '../support/raw-http.ts'
import { until } from '../support/until.ts'

type Handle = (req: IncomingMessage, res: ServerResponse, note: Note) => void | Promise<void>

type Listening = {
  readonly listener: Listener
  readonly port: number
  readonly log: MemoryLog
  readonly clock: ManualClock
  connect(): Promise<RawConnection>
}

async function listen(t: TestContext, handle: Handle): Promise<Listening> {
  const log = new MemoryLog()
  const clock = new ManualClock()
  const listener = new Listener({ handle, clock, log })
  const port = await listener.start('127.0.0.1', 0)
  const connections: RawConnection[] = []
  t.after(async () => {
    for (const connection of connections) connection.close()
    const stopped = listener.stop(0)
    await clock.advance(0)
    await stopped
  })
  const connect = async () => {
    const connection = await RawConnection.open(port)
    connections.push(connection)
    return connection
  }
  return { listener, port, log, clock, connect }
}

const echo = (req: IncomingMessage, res: ServerResponse): void =>
  void res.setHeader('content-length', Buffer.byteLength(req.url ?? '')).end(req.url)

/** Answers in the order in which a test opens the gates. */
function gated(): { gates: Map<string, Gate>; seen: string[]; handle: Handle } {
  const gates = new Map<string, Gate>()
  const seen: string[] = []
  const handle: Handle = async (req, res) => {
    const gate = new Gate()
    gates.set(req.url ?? '', gate)
    seen.push(req.url ?? '')
    await gate.opened
    echo(req, res)
  }
  return { gates, seen, handle }
}

test('pipelined requests are answered in order, one at a time', async (t) => {
  let running = 0
  let most = 0
  const { connect } = await listen(t, async (req, res) => {
    most = Math.max(most, ++running)
    await new Promise((resolve) => setImmediate(resolve))
    running--
    echo(req, res)
  })
  const connection = await connect()
  for (let i = 0; i < 50; i++) connection.send({ target: `/${i}` })
  for (let i = 0; i < 50; i++) assert.equal((await connection.response()).body.toString(), `/${i}`)
  assert.equal(most, 1)
})

test('a hundred pipelined requests are answered', async (t) => {
  const { connect } = await listen(t, echo)
  const connection = await connect()
  for (let i = 0; i < 100; i++) connection.send({ target: `/${i}` })
  for (let i = 0; i < 100; i++) assert.equal((await connection.response()).body.toString(), `/${i}`)
})

test('more than a hundred pipelined requests cut the connection, and those that waited are not handled', async (t) => {
  const { gates, seen, handle } = gated()
  const { connect } = await listen(t, handle)
  const connection = await connect()
  for (let i = 0; i < 101; i++) connection.send({ target: `/${i}` })
  await connection.ending()
  gates.get('/0')?.open()
  const next = await connect()
  next.send({ target: '/next' })
  await until(() => gates.has('/next'), 'the next connection is served')
  assert.deepEqual(seen, ['/0', '/next'])
})

test('a pipelining client that leaves is not worked for any more', async (t) => {
  const { gates, seen, handle } = gated()
  const { connect, log } = await listen(t, handle)
  const connection = await connect()
  for (let i = 0; i < 20; i++) connection.send({ target: `/${i}` })
  await until(() => gates.has('/0'), 'the first is handled')
  connection.close('rst')
  await until(() => log.lines.length === 1, 'its end is noticed')
  gates.get('/0')?.open()
  const next = await connect()
  next.send({ target: '/next' })
  await until(() => gates.has('/next'), 'the next connection is served')
  assert.deepEqual(seen, ['/0', '/next'])
})

test('the next request of a socket has its turn only when the answer before it has left', async (t) => {
  const seen: string[] = []
  const { connect } = await listen(t, (req, res) => {
    seen.push(req.url ?? '')
    res.end(Buffer.alloc(64 * 1024 * 1024)) // more than any kernel takes from a client that does not read
  })
  const connection = await connect()
  connection.stopReading()
  connection.send({ target: '/big' })
  connection.send({ target: '/next' })
  const other = await connect()
  other.stopReading()
  other.send({ target: '/other' })
  await until(() => seen.includes('/big') && seen.includes('/other'), 'both sockets have a turn')
  assert.deepEqual(seen.sort(), ['/big', '/other'])
})

test('one connection carries a thousand requests', async (t) => {
  const { connect } = await listen(t, echo)
  const connection = await connect()
  for (let i = 0; i < 1000; i++) {
    const response = await connection.ask({ target: `/${i}` })
    assert.equal(response.body.toString(), `/${i}`)
    assert.equal(response.header('connection'), 'keep-alive')
  }
})

test('an HTTP/1.0 client gets its answer, with a length, and the end of the connection', async (t) => {
  const { connect } = await listen(t, echo)
  const connection = await connect()
  connection.write('GET /old HTTP/1.0\r\n\r\n')
  const response = await connection.response()
  assert.deepEqual([response.body.toString(), response.complete, response.header('connection')], ['/old', true, 'close'])
  assert.equal(await connection.ending(), 'fin')
})

const NEXT = 'GET /next HTTP/1.1\r\nhost: x\r\n\r\n'
const lastOnes: [what: string, bytes: string][] = [
  ['before 100 Continue', `GET /last HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\nhello${NEXT}`],
  ['that refuses the body', `POST /last HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\nxx${NEXT}`],
]
for (const how of ['at once', 'later'] as const) {
  for (const [what, bytes] of lastOnes) {
    test(`what comes behind the request of a last answer ${what} is not handled (answered ${how})`, async (t) => {
      const seen: string[] = []
      const { connect, log } = await listen(t, (req, res) => {
        seen.push(req.url ?? '')
        const answer = () => {
          if (req.method === 'POST') res.shouldKeepAlive = false
          echo(req, res)
        }
        if (how === 'at once') return answer()
        return new Promise<void>((resolve) => setImmediate(resolve)).then(answer)
      })
      const connection = await connect()
      connection.write(bytes)
      const { bytes: said } = await connection.rest()
      assert.match(said.toString('latin1'), /^HTTP\/1\.1 200 OK\r\n.*connection: close\r\n.*\/last$/is)
      await (await connect()).ask({ target: '/other' })
      assert.deepEqual(seen, ['/last', '/other'])
      await until(() => log.lines.length === 2, 'both have a line')
    })
  }
}

const refused: [what: string, head: string, status: number][] = [
  ['an expectation that nobody knows', 'host: x\r\nexpect: nonsense\r\n', 417],
  ['no host', '', 400],
  ['no host and an expectation', 'expect: nonsense\r\n', 417],
  ['no host, and a body to be asked for', 'expect: 100-continue\r\ncontent-length: 0\r\n', 400],
]
for (const [what, head, status] of refused) {
  test(`${what}: ${status} in its turn, with an id and a line in the log, and nothing behind it is handled`, async (t) => {
    const seen: string[] = []
    const { connect, log } = await listen(t, async (req, res) => {
      seen.push(req.url ?? '')
      await new Promise((resolve) => setImmediate(resolve))
      echo(req, res)
    })
    const connection = await connect()
    connection.write(`GET /first HTTP/1.1\r\nhost: x\r\n\r\nGET /refused HTTP/1.1\r\n${head}\r\n${NEXT}`)
    assert.equal((await connection.response()).body.toString(), '/first')
    const response = await connection.response()
    assert.deepEqual([response.status, response.header('connection')], [status, 'close'])
    assert.match(response.body.toString(), /^{"errors":\[{"code":"UNSUPPORTED",/)
    assert.equal(await connection.ending(), 'fin')
    await until(() => log.lines.length === 2, 'both have a line')
    assert.deepEqual(
      log.lines.map(({ message, fields }) => [message, fields.status, fields.request]),
      [
        ['GET /first', 200, log.lines[0]?.fields.request],
        ['GET /refused', status, response.header('x-request-id')],
      ],
    )
    assert.deepEqual(seen, ['/first'])
  })
}

test('idle connections are kept for longer than any client keeps them', async (t) => {
  const { connect } = await listen(t, echo)
  const response = await (await connect()).ask({ target: '/' })
  assert.equal(response.header('keep-alive'), 'timeout=130') // BuildKit: 120 s
})

test('stop closes connections between two requests at once, and the port', async (t) => {
  const { listener, port, connect } = await listen(t, echo)
  const used = await connect()
  await used.ask({ target: '/' })
  await listener.stop(10_000) // the clock does not move
  assert.equal(await used.ending(), 'fin')
  await assert.rejects(RawConnection.open(port), { code: 'ECONNREFUSED' })
})

test('stop answers a client that has only just connected, and ends one that never asks after a moment', async (t) => {
  const { listener, clock, connect } = await listen(t, echo)
  const [asks, idles] = [await connect(), await connect()]
  await (await connect()).ask({ target: '/' }) // the server knows of the other two by now
  const stop = listener.stop(10_000)
  const response = await asks.ask({ target: '/late' })
  assert.deepEqual([response.status, response.header('connection')], [200, 'close'])
  assert.equal(await asks.ending(), 'fin')
  await clock.advance(1_000)
  await stop
  assert.equal(await idles.ending(), 'fin')
})

test('each answer after a stop says that it is the last one of its connection', async (t) => {
  const { gates, handle } = gated()
  const { listener, connect } = await listen(t, handle)
  const connection = await connect()
  connection.send({ target: '/0' })
  await until(() => gates.size === 1, 'it is handled')
  const stop = listener.stop(10_000)
  gates.get('/0')?.open()
  assert.equal((await connection.response()).header('connection'), 'close')
  await stop
})

test('stop lets answers end, and resolves with the last one', async (t) => {
  const { gates, handle } = gated()
  const { listener, connect } = await listen(t, handle)
  const connections = [await connect(), await connect()]
  for (const [i, connection] of connections.entries()) connection.send({ target: `/${i}` })
  await until(() => gates.size === 2, 'both are handled')
  let stopped = false
  const stop = listener.stop(10_000).then(() => {
    stopped = true
  })
  for (const [i, connection] of connections.entries()) {
    assert.equal(stopped, false)
    gates.get(`/${i}`)?.open()
    const response = await connection.response()
    assert.deepEqual([response.body.toString(), response.complete], [`/${i}`, true])
    assert.equal(await connection.ending(), 'fin')
  }
  await stop // the clock does not move
})

test('stop answers the pipelined requests that have arrived', async (t) => {
  const { gates, handle } = gated()
  const { listener, connect } = await listen(t, handle)
  const connection = await connect()
  connection.write('GET /0 HTTP/1.1\r\nhost: x\r\n\r\nGET /1 HTTP/1.1\r\nhost: x\r\n\r\n')
  await until(() => gates.has('/0'), 'the first is handled')
  const stop = listener.stop(10_000)
  for (const target of ['/0', '/1']) {
    await until(() => gates.has(target), `${target} is handled`)
    gates.get(target)?.open()
    assert.equal((await connection.response()).body.toString(), target)
  }
  await stop
})

test('stop tells who has no answer after the grace to come again', async (t) => {
  const { gates, handle } = gated()
  const { listener, clock, connect } = await listen(t, handle)
  const connection = await connect()
  connection.send({ target: '/0' })
  await until(() => gates.size === 1, 'it is handled')
  const stop = listener.stop(10_000)
  await clock.advance(10_000)
  await stop
  const response = await connection.response()
  assert.deepEqual([response.status, response.header('retry-after'), response.header('connection')], [503, '1', 'close'])
  assert.equal(await connection.ending(), 'fin')
})

test('stop cuts what has not ended after the grace, with FIN and not RST', async (t) => {
  const { listener, clock, connect } = await listen(t, (_, res) => void res.writeHead(200, ['content-length', '1000']).write('x'))
  const connection = await connect()
  connection.send({ target: '/0' })
  await connection.head()
  const stop = listener.stop(10_000)
  await clock.advance(10_000)
  await stop
  assert.equal((await connection.take(1000)).toString(), 'x')
  assert.equal(await connection.ending(), 'fin')
})

test('start says why it cannot listen', async (t) => {
  const { port } = await listen(t, echo)
  const second = new Listener({ handle: async () => {}, clock: new ManualClock(), log: new MemoryLog() })
  await assert.rejects(second.start('127.0.0.1', port), { code: 'EADDRINUSE' })
})

test('one line in the log per request: what was asked, the status, who asked, and how it ended', async (t) => {
  const { connect, log } = await listen(t, async (req, res, note) => {
    note.cache = 'hit'
    if (req.url !== '/short') return echo(req, res)
    res.writeHead(200, ['content-length', '10']).write('x')
    res.socket?.end()
  })
  const connection = await connect()
  await connection.ask({ target: '/v2/a/manifests/1?ns=b' })
  await connection.ask({ method: 'HEAD', target: '/x' })
  connection.send({ target: '/short' })
  await connection.ending()
  connection.end()
  await until(() => log.lines.length === 3, 'all have a line')
  const common = { status: 200, client: '127.0.0.1', cache: 'hit' }
  assert.deepEqual(
    log.lines.map(({ level, message, fields: { status, bytes, client, cache, ended } }) => [
      level,
      message,
      { status, bytes, client, cache, ended },
    ]),
    [
      ['info', 'GET /v2/a/manifests/1?ns=b', { ...common, bytes: 22, ended: undefined }],
      ['info', 'HEAD /x', { ...common, bytes: 2, ended: undefined }],
      ['info', 'GET /short', { ...common, bytes: 1, ended: 'short' }],
    ],
  )
  for (const { fields } of log.lines) {
    assert.equal(typeof fields.ms, 'number')
    assert.equal(typeof fields.firstMs, 'number')
    assert.match(String(fields.request), /^[0-9a-f]{12}-\d+$/)
  }
})

// What HTTP parsers let through in a target, byte by byte: it must not end a line, steer a terminal, or pass for a field
const forgeries = [
  '/v2/x%0d%0a2026-01-01T00:00:00.000Z%20INFO%20forged',
  '/v2/x\x85forged',
  '/v2/x\x9b31mforged',
  '/v2/x\xa0status=200\xa0client=10.0.0.1',
  '/v2/x\xe2\x80\xa8forged', // U+2028 in UTF-8
  '/v2/x\xe2\x80\xaeforged', // turns the direction of writing
  '/v2/x\tstatus=200',
  '/v2/x\x0cstatus=200',
  '/v2/"x"=\\n{}',
]

for (const format of ['text', 'json'] as const) {
  test(`log lines cannot be forged by a request (${format})`, async (t) => {
    const { connect, log } = await listen(t, echo)
    for (const target of forgeries) {
      const connection = await connect()
      connection.send({ target, headers: { connection: 'close' } })
      await connection.ending()
    }
    const lines: string[] = []
    const formatted = createLog({ level: 'debug', format, write: (line) => lines.push(line), clock: { now: () => 0 } })
    for (const { message, fields } of log.lines) formatted.info(message, fields)
    assert(lines.length >= 2, 'some of them are requests')
    for (const line of lines) {
      assert.match(line, /^[\x20-\x7e]+\n$/)
      if (format === 'text') assert.equal(line.match(/ status=/g)?.length, 1, line)
      else assert.equal(typeof JSON.parse(line).status, 'number')
    }
  })
}

const garbage: [what: string, bytes: string | Buffer, wanted: RegExp][] = [
  ['a TLS ClientHello', Buffer.from('16030100c8010000c40303', 'hex'), /^HTTP\/1\.1 400 Bad Request\r\n/],
  ['words', 'hello there\r\n\r\n', /^HTTP\/1\.1 400 Bad Request\r\n/],
  ['an unknown method', 'BREW /v2/ HTTP/1.1\r\nhost: x\r\n\r\n', /^HTTP\/1\.1 400 Bad Request\r\n/],
  ['no host', 'GET /v2/ HTTP/1.1\r\n\r\n', /^HTTP\/1\.1 400 Bad Request\r\n/],
  ['a control character in the target', 'GET /v2/\x01 HTTP/1.1\r\nhost: x\r\n\r\n', /^HTTP\/1\.1 400 Bad Request\r\n/],
  [
    'length and chunks at once',
    'GET / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0',
    /^HTTP\/1\.1 400 /m,
  ],
  ['a head above 16 KiB', `GET /${'x'.repeat(17_000)} HTTP/1.1\r\nhost: x\r\n\r\n`, /^HTTP\/1\.1 431 /],
]

for (const [what, bytes, wanted] of garbage) {
  test(`${what}: an answer in HTTP, and the end of the connection`, async (t) => {
    const { connect } = await listen(t, echo)
    const connection = await connect()
    connection.write(bytes)
    const { bytes: said } = await connection.rest()
    assert.match(said.toString('latin1'), wanted)
    assert.equal((await (await connect()).ask({ target: '/' })).status, 200) // the listener is as it was
  })
}

const levels: [note: LogLevel | undefined, least: LogLevel, isWritten: boolean][] = [
  [undefined, 'info', true],
  [undefined, 'warn', false],
  ['debug', 'debug', true],
  ['debug', 'info', false],
]
for (const [level, least, isWritten] of levels) {
  test(`A request's line of level ${level ?? 'info'} is ${isWritten ? 'written' : 'not even put together'} at ${least}, and the request is counted`, async (t) => {
    const lines: string[] = []
    const log = createLog({ level: least, format: 'text', write: (line) => void lines.push(line), clock: new ManualClock() })
    let looks = 0
    const handle: Handle = (req, res, note) => {
      if (level !== undefined) note.level = level
      Object.defineProperty(note, 'why', { get: () => ++looks })
      echo(req, res)
    }
    const counted: number[] = []
    const metrics = { answered: ({ status }: { status: number }) => void counted.push(status) }
    const listener = new Listener({ handle, clock: new ManualClock(), log, metrics })
    const connection = await RawConnection.open(await listener.start('127.0.0.1', 0))
    t.after(() => connection.close())
    await connection.ask({ target: '/a' })
    await until(() => counted.length === 1, 'it is counted')
    assert.deepEqual([lines.length, looks], isWritten ? [1, 1] : [0, 0])
    connection.close()
    await listener.stop(1)
  })
}
