import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import fsPromises, { link, mkdir, readdir, unlink, utimes, writeFile } from 'node:fs/promises'
import { syncBuiltinESMExports } from 'node:module'
import { connect, createServer, type Socket } from 'node:net'
import { basename, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { systemClock } from '../../src/observe/clock.ts'
import { type LockHolder, lockHolder, removeDeadSockets, StoreLock, StoreLockedError } from '../../src/store/lock.ts'
import { ManualClock } from '../support/clock.ts'
import { temporaryDirectory } from '../support/files.ts'
import { Random } from '../support/property.ts'
import { until } from '../support/until.ts'
import { Gatekeeper, turns } from './support/gatekeeper.ts'
import { LockProcess } from './support/lock-process.ts'

const HOLDER: LockHolder = { program: 'ociregistry', version: '2.0.0', pid: 4711, hostname: 'edge-7' }
const OTHER: LockHolder = { ...HOLDER, pid: 4712 }
const BRIEF_MS = 20

function acquire(directory: string, self = HOLDER): Promise<StoreLock> {
  return StoreLock.acquire(directory, { self, waitMs: 0, clock: systemClock })
}

/** For holders that do not answer. */
function acquireBriefly(directory: string): Promise<StoreLock> {
  return StoreLock.acquire(directory, { self: HOLDER, waitMs: 0, clock: systemClock, answerMs: BRIEF_MS })
}

/** What a killed process leaves: a socket that nobody listens on. */
async function leaveStale(directory: string, name = 'lock'): Promise<void> {
  const server = createServer()
  const path = (file: string) => join(directory, file)
  await new Promise<void>((resolve) => server.listen(path('bound'), resolve))
  await link(path('bound'), path(name))
  await new Promise<void>((resolve) => server.close(() => resolve())) // removes `bound` only
}

test('The lock of a store is held by one, and whoever comes second is told by whom', async (t) => {
  const directory = await temporaryDirectory(t)
  assert.equal(await lockHolder(directory), undefined)
  const lock = await acquire(directory)
  assert.deepEqual(await lockHolder(directory), HOLDER)
  await assert.rejects(acquire(directory, OTHER), (error: unknown) => {
    assert.ok(error instanceof StoreLockedError)
    assert.deepEqual(error.holder, HOLDER)
    assert.equal(error.directory, directory)
    assert.ok(error.message.includes(directory))
    assert.match(
      error.message,
      /in use by ociregistry 2\.0\.0 \(pid 4711 on edge-7\): stop it, or choose another directory with --image-path/,
    )
    return true
  })
  await lock.release()
  assert.equal(await lockHolder(directory), undefined)
  assert.deepEqual(await readdir(directory), [])
})

test('A holder says where its admin API is, as soon as it knows', async (t) => {
  const directory = await temporaryDirectory(t)
  let admin: string | undefined
  const self: LockHolder = {
    ...HOLDER,
    get admin() {
      return admin
    },
  }
  const lock = await acquire(directory, self)
  assert.deepEqual(await lockHolder(directory), HOLDER)
  admin = 'http://127.0.0.1:8080'
  assert.deepEqual(await lockHolder(directory), { ...HOLDER, admin })
  await lock.release()
})

test('Of two that take the lock at once, one holds it', async (t) => {
  const directory = await temporaryDirectory(t)
  for (let round = 0; round < 30; round++) {
    const results = await Promise.allSettled([acquire(directory), acquire(directory, OTHER)])
    const locks = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
    assert.equal(locks.length, 1)
    for (const lock of locks) await lock.release()
  }
  assert.deepEqual(await readdir(directory), [])
})

test('Stores in different directories do not lock each other out', async (t) => {
  const parent = await temporaryDirectory(t)
  const locks = []
  for (const name of ['a', 'b']) {
    await mkdir(join(parent, name))
    locks.push(await acquire(join(parent, name)))
  }
  for (const lock of locks) await lock.release()
})

test('A released lock goes to whoever waits, who was told once whom to wait for', async (t) => {
  const [directory, clock] = [await temporaryDirectory(t), new ManualClock()]
  const first = await acquire(directory)
  const told: unknown[] = []
  const waiting = StoreLock.acquire(directory, { self: OTHER, waitMs: 45_000, clock, onWait: (holder) => told.push(holder) })
  for (let round = 0; round < 5; round++) {
    await until(() => clock.sleeping === 1)
    assert.deepEqual(await lockHolder(directory), HOLDER)
    await clock.advance(250)
  }
  await first.release()
  await until(() => clock.sleeping === 1)
  await clock.advance(250)
  const second = await waiting
  assert.deepEqual(await lockHolder(directory), OTHER)
  assert.deepEqual(told, [HOLDER])
  await second.release()
})

test('Who waits for the lock gives up when its time is over, and not before', async (t) => {
  const [directory, clock] = [await temporaryDirectory(t), new ManualClock()]
  const lock = await acquire(directory)
  const waiting = StoreLock.acquire(directory, { self: OTHER, waitMs: 1000, clock })
  const outcome = assert.rejects(waiting, StoreLockedError)
  for (let round = 0; round < 4; round++) {
    await until(() => clock.sleeping === 1)
    await clock.advance(250)
  }
  await outcome
  assert.equal(clock.monotonic(), 1000)
  assert.deepEqual(await readdir(directory), ['lock'])
  await lock.release()
})

test('Many that wait for the lock hold it one after the other', async (t) => {
  const [directory, clock] = [await temporaryDirectory(t), new ManualClock()]
  let [inside, done] = [0, 0]
  const contend = async (pid: number) => {
    const lock = await StoreLock.acquire(directory, { self: { ...HOLDER, pid }, waitMs: 1e9, clock })
    assert.equal(++inside, 1)
    assert.deepEqual(await lockHolder(directory), { ...HOLDER, pid })
    assert.equal(inside--, 1)
    await lock.release()
    done++
  }
  const all = Promise.all(Array.from({ length: 12 }, (_, pid) => contend(pid)))
  while (done < 12) await clock.advance(250)
  await all
  assert.deepEqual(await readdir(directory), [])
})

test('Another process is locked out, and told who holds the store', async (t) => {
  const directory = await temporaryDirectory(t)
  const other = await LockProcess.start(t)
  assert.deepEqual(await other.acquire(directory), { held: 1, refusals: [] })
  await assert.rejects(acquire(directory), { message: new RegExp(`in use by ociregistry 9\\.9\\.9 \\(pid ${other.pid} on edge-1\\)`) })
  await other.release()
  const lock = await acquire(directory)
  const { held, refusals } = await other.acquire(directory)
  assert.equal(held, 0)
  assert.match(refusals[0] ?? '', /in use by ociregistry 2\.0\.0 \(pid 4711 on edge-7\)/)
  await lock.release()
})

test('The lock of a killed process is taken over at once', async (t) => {
  const directory = await temporaryDirectory(t)
  for (let round = 0; round < 2; round++) {
    const other = await LockProcess.start(t)
    assert.equal((await other.acquire(directory)).held, 1)
    await other.kill()
    assert.deepEqual(await readdir(directory), ['lock'])
    assert.equal(await lockHolder(directory), undefined)
  }
  const lock = await acquire(directory)
  assert.deepEqual(await lockHolder(directory), HOLDER)
  assert.deepEqual(await readdir(directory), ['lock'])
  await lock.release()
  assert.deepEqual(await readdir(directory), [])
})

test('A stopped process keeps its lock', async (t) => {
  const directory = await temporaryDirectory(t)
  const other = await LockProcess.start(t)
  await other.acquire(directory)
  other.child.kill('SIGSTOP')
  await assert.rejects(acquireBriefly(directory), { name: 'StoreLockedError', message: /in use by another process/ })
  assert.equal(await lockHolder(directory, BRIEF_MS), 'unknown')
  other.child.kill('SIGCONT')
  assert.equal((await other.acquire(directory)).held, 0)
  await other.release()
})

test('A stopped process keeps its lock even when too many have asked it', async (t) => {
  const directory = await temporaryDirectory(t)
  const script = `require('net').createServer().listen({ path: ${JSON.stringify(join(directory, 'lock'))}, backlog: 1 }, () => console.log('listening'))`
  const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.after(() => child.kill('SIGKILL'))
  await once(child.stdout, 'data')
  child.kill('SIGSTOP')
  for (let asked = 0; asked < 6; asked++) assert.equal(await lockHolder(directory, BRIEF_MS), 'unknown')
  await assert.rejects(acquireBriefly(directory), StoreLockedError)
  assert.deepEqual(await readdir(directory), ['lock'])
})

test('Of 20 contenders for a stale lock exactly one wins', async (t) => {
  const parent = await temporaryDirectory(t)
  for (let round = 0; round < 60; round++) {
    const directory = join(parent, String(round))
    await mkdir(directory)
    await leaveStale(directory)
    const random = new Random(round + 1)
    const contend = async (pid: number, delay: number) => {
      await turns(delay)
      return acquire(directory, { ...HOLDER, pid })
    }
    const results = await Promise.allSettled(Array.from({ length: 20 }, (_, pid) => contend(pid, random.below(40))))
    const won = results.flatMap((result, pid) => (result.status === 'fulfilled' ? [{ pid, lock: result.value }] : []))
    for (const result of results)
      if (result.status === 'rejected') assert.ok(result.reason instanceof StoreLockedError, String(result.reason))
    assert.equal(won.length, 1, `round ${round}`)
    assert.deepEqual(await lockHolder(directory), { ...HOLDER, pid: won[0]?.pid })
    assert.deepEqual(await readdir(directory), ['lock'])
    await won[0]?.lock.release()
  }
})

test('Of the contenders of three processes for a stale lock exactly one wins', async (t) => {
  const parent = await temporaryDirectory(t)
  const processes = await Promise.all(Array.from({ length: 3 }, () => LockProcess.start(t)))
  for (let round = 0; round < 15; round++) {
    const directory = join(parent, String(round))
    await mkdir(directory)
    await leaveStale(directory)
    const outcomes = await Promise.all(processes.map((other) => other.acquire(directory, 7)))
    assert.equal(
      outcomes.reduce((sum, { held }) => sum + held, 0),
      1,
      `round ${round}`,
    )
    for (const refusal of outcomes.flatMap(({ refusals }) => refusals)) assert.match(refusal, /StoreLockedError/)
    await Promise.all(processes.map((other) => other.release()))
    assert.deepEqual(await readdir(directory), [])
  }
})

/** Holds up the links that contenders make, until the test lets them pass. */
function holdLinks(t: TestContext): Gatekeeper {
  const gate = new Gatekeeper()
  const real = fsPromises.link
  t.mock.method(fsPromises, 'link', async (from: string, to: string) => {
    await gate.pass()
    await real(from, to)
  })
  syncBuiltinESMExports()
  t.after(() => {
    t.mock.restoreAll()
    syncBuiltinESMExports()
  })
  return gate
}

test('A contender that found the lock stale long ago does not take it from whoever has it now', async (t) => {
  const directory = await temporaryDirectory(t)
  await leaveStale(directory)
  const gate = holdLinks(t)
  const slow = Array.from({ length: 5 }, () => assert.rejects(acquire(directory, OTHER), StoreLockedError))
  await gate.waiting(5)
  const first = acquire(directory)
  await gate.waiting(6)
  gate.openLast()
  const lock = await first
  for (let left = 5; left > 0; left--) {
    gate.open()
    await turns(50)
    assert.deepEqual(await lockHolder(directory), HOLDER)
  }
  await Promise.all(slow)
  assert.deepEqual(await readdir(directory), ['lock'])
  await lock.release()
})

test('A contender that found the lock stale long ago takes it when it has become free', async (t) => {
  const directory = await temporaryDirectory(t)
  await leaveStale(directory)
  const gate = holdLinks(t)
  const slow = acquire(directory, OTHER)
  await gate.waiting(1)
  const first = acquire(directory)
  await gate.waiting(2)
  gate.openLast()
  await (await first).release()
  gate.open() // as the successor of what is gone
  await gate.waiting(1)
  gate.open() // as the lock
  const lock = await slow
  assert.deepEqual(await lockHolder(directory), OTHER)
  assert.deepEqual(await readdir(directory), ['lock'])
  await lock.release()
})

test('A lock whose successors were killed while they took it over is taken over', async (t) => {
  const directory = await temporaryDirectory(t)
  await leaveStale(directory)
  const inherited: string[] = []
  const { mock } = t.mock.method(fsPromises, 'rename', async (from: string) => {
    inherited.push(basename(from))
    throw new Error('killed')
  })
  syncBuiltinESMExports()
  for (let killed = 1; killed <= 3; killed++) {
    await assert.rejects(acquire(directory, OTHER), /killed/)
    await leaveStale(directory, inherited.at(-1))
    assert.equal((await readdir(directory)).length, killed + 1)
    assert.equal(await lockHolder(directory), undefined)
  }
  mock.restore()
  syncBuiltinESMExports()
  assert.equal(new Set(inherited).size, 3)
  const lock = await acquire(directory)
  assert.deepEqual(await lockHolder(directory), HOLDER)
  assert.deepEqual(await readdir(directory), ['lock'])
  await lock.release()
})

for (const what of ['an empty file', 'a file with content'] as const) {
  test(`A lock that is ${what} holds nobody up`, async (t) => {
    const directory = await temporaryDirectory(t)
    await writeFile(join(directory, 'lock'), what === 'an empty file' ? '' : 'pid 17\n')
    assert.equal(await lockHolder(directory), undefined)
    const lock = await acquire(directory)
    assert.deepEqual(await lockHolder(directory), HOLDER)
    await lock.release()
    assert.deepEqual(await readdir(directory), [])
  })
}

test('A lock that is a directory is an error that names it, and stays', async (t) => {
  const directory = await temporaryDirectory(t)
  await mkdir(join(directory, 'lock'))
  await assert.rejects(acquire(directory), { message: /EISDIR.*lock/ })
  assert.deepEqual(await readdir(directory), ['lock'])
})

function talkOn(socket: Socket): void {
  socket.write('x'.repeat(1000), (error) => {
    if (!error) talkOn(socket)
  })
}

const answers: readonly (readonly [string, (socket: Socket) => void])[] = [
  ['says nothing', () => {}],
  ['hangs up', (socket) => socket.destroy()],
  ['says something else', (socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')],
  ['says half of it', (socket) => socket.write('{"program":"ociregistry","version":')],
  ['says null', (socket) => socket.end('null')],
  ['says it in other words', (socket) => socket.end('{"program":"x","version":"1","pid":"17","hostname":"h"}')],
  ['says too much', (socket) => socket.end('x'.repeat(1_000_000))],
  ['never stops talking', talkOn],
]
for (const [what, answer] of answers) {
  test(`A holder that ${what} holds the lock all the same`, async (t) => {
    const directory = await temporaryDirectory(t)
    const sockets = new Set<Socket>()
    const server = createServer((socket) => {
      socket.on('error', () => {})
      sockets.add(socket)
      answer(socket)
    })
    await new Promise<void>((resolve) => server.listen(join(directory, 'lock'), resolve))
    t.after(() => {
      for (const socket of sockets) socket.destroy()
      server.close()
    })
    assert.equal(await lockHolder(directory, BRIEF_MS), 'unknown')
    await assert.rejects(acquireBriefly(directory), { name: 'StoreLockedError', message: /in use by another process: stop it/ })
    assert.deepEqual(await readdir(directory), ['lock'])
  })
}

test('A store deep down, at any length of path, can be locked', async (t) => {
  const parent = await temporaryDirectory(t)
  const lengths = [...Array.from({ length: 40 }, (_, index) => 75 + index), 250, 400]
  for (const length of lengths) {
    const directory = pathOfLength(parent, length)
    await mkdir(directory, { recursive: true })
    await leaveStaleDeepDown(directory)
    const lock = await acquire(directory)
    await assert.rejects(acquire(directory, OTHER), { name: 'StoreLockedError', holder: HOLDER })
    assert.deepEqual(await lockHolder(directory), HOLDER)
    await lock.release()
    assert.deepEqual(await readdir(directory), [], `${length} characters`)
  }
})

function pathOfLength(parent: string, length: number): string {
  const parts = []
  for (let left = length - parent.length; left > 0; left -= 100) parts.push('d'.repeat(Math.min(left, 100) - 1 || 1))
  return join(parent, ...parts)
}

/** As `leaveStale`, where the path is too long to bind. */
async function leaveStaleDeepDown(directory: string): Promise<void> {
  const lock = await acquire(directory, OTHER)
  await link(join(directory, 'lock'), join(directory, 'kept'))
  await lock.release()
  await fsPromises.rename(join(directory, 'kept'), join(directory, 'lock'))
}

test('Letting go of the lock leaves alone what somebody else put in its place', async (t) => {
  const directory = await temporaryDirectory(t)
  const first = await acquire(directory)
  await unlink(join(directory, 'lock')) // by hand
  const second = await acquire(directory, OTHER)
  await first.release()
  assert.deepEqual(await lockHolder(directory), OTHER)
  await second.release()
  assert.deepEqual(await readdir(directory), [])
})

test('Letting go of a lock whose file is gone is harmless', async (t) => {
  const directory = await temporaryDirectory(t)
  const lock = await acquire(directory)
  await unlink(join(directory, 'lock'))
  await lock.release()
})

test('Somebody who asks for the holder and does not hang up does not hold up its end', async (t) => {
  const directory = await temporaryDirectory(t)
  const lock = await acquire(directory)
  const socket = connect({ path: join(directory, 'lock'), allowHalfOpen: true })
  t.after(() => socket.destroy())
  await once(socket, 'connect')
  await lock.release()
})

test('Who asks while the holder lets go gets an answer', async (t) => {
  const directory = await temporaryDirectory(t)
  const answers = new Set<unknown>()
  for (let round = 0; round < 100; round++) {
    const lock = await acquire(directory)
    const asking = Array.from({ length: 10 }, async (_, delay) => {
      await turns(delay)
      return lockHolder(directory)
    })
    await turns(round % 10)
    await lock.release()
    for (const answer of await Promise.all(asking)) answers.add(typeof answer === 'object' ? answer.pid : answer)
  }
  assert.deepEqual(
    [...answers].filter((answer) => answer !== HOLDER.pid && answer !== undefined && answer !== 'unknown'),
    [],
  )
})

test('A directory that does not exist has no lock to ask for', async (t) => {
  const directory = join(await temporaryDirectory(t), 'none')
  await assert.rejects(lockHolder(directory), { code: 'ENOENT' })
  await assert.rejects(acquire(directory), { code: 'ENOENT' })
})

test('A lock can be taken and let go of again and again', async (t) => {
  const directory = await temporaryDirectory(t)
  for (let round = 0; round < 100; round++) await (await acquire(directory)).release()
  assert.deepEqual(await readdir(directory), [])
})

test('What killed processes left while they waited for the lock is cleared away, and whoever waits is left alone', async (t) => {
  const directory = await temporaryDirectory(t)
  const lock = await acquire(directory)
  const old = new Date(Date.now() - 60_000)
  const planted = ['.lock-0123456789ab', '.lock-after-1k2-3x4', '.lock-ba9876543210', '.lock-of-somebody-else', '.lock-file00000000']
  for (const name of planted) await leaveStale(directory, name)
  for (const name of planted) if (name !== '.lock-ba9876543210') await utimes(join(directory, name), old, old) // that one was bound just now
  await writeFile(join(directory, '.lock-abcdefabcdef'), 'a file')
  await utimes(join(directory, '.lock-abcdefabcdef'), old, old)
  const waiter = createServer((socket) => socket.end('{}'))
  await new Promise<void>((resolve) => waiter.listen(join(directory, '.lock-fedcba987654'), resolve))
  t.after(() => waiter.close())
  await utimes(join(directory, '.lock-fedcba987654'), old, old)

  await removeDeadSockets(directory, systemClock)
  const left = (await readdir(directory)).sort()
  assert.deepEqual(left, [
    '.lock-abcdefabcdef',
    '.lock-ba9876543210',
    '.lock-fedcba987654',
    '.lock-file00000000',
    '.lock-of-somebody-else',
    'lock',
  ])
  assert.deepEqual(await lockHolder(directory), HOLDER)
  await lock.release()
})
