/** SIGHUP: what is read again, what is said, and that a mistake changes nothing. */
import assert from 'node:assert/strict'
import { readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { run } from '../../src/cli/run.ts'
import { ConfigError } from '../../src/config/error.ts'
import { temporaryDirectory } from '../support/files.ts'
import { until } from '../support/until.ts'
import { FakeIo, settled } from './fake-io.ts'

/** A running server with that configuration; `reload` gives it another one, and tells what it says. */
async function running(t: TestContext, yaml: string, args: readonly string[] = [], io = new FakeIo()) {
  const file = join(await temporaryDirectory(t), 'c.yaml')
  await writeFile(file, yaml)
  const code = run(['--config-file', file, ...args, 'serve'], io)
  await until(() => io.err.includes('Process id'))
  t.after(async () => {
    await io.signal()
    await code
  })
  const reload = async (next: string): Promise<string> => {
    await writeFile(file, next)
    const before = io.err.length
    io.hangUp()
    await until(() => /configuration (?:not )?reloaded/.test(io.err.slice(before)))
    await new Promise((resolve) => setImmediate(resolve))
    return io.err.slice(before).replaceAll(file, 'c.yaml').replaceAll('2026-01-01T00:00:00.000Z ', '')
  }
  return { io, file, reload }
}

test('SIGHUP gives the service the new configuration, and says what has changed, at the level error too', async (t) => {
  const { io, reload } = await running(t, 'airGapped: false')
  const said = await reload('airGapped: true\nnegativeTtl: 1m')
  assert.equal(said, 'INFO  configuration reloaded; changed: negativeTtl: 10s -> 1m, airGapped: false -> true\n')
  assert.deepEqual(
    io.reloads.map(({ airGapped, negativeTtlMs }) => [airGapped, negativeTtlMs]),
    [[true, 60_000]],
  )
})

test('SIGHUP says that nothing has changed', async (t) => {
  const { reload } = await running(t, 'airGapped: true')
  assert.equal(await reload('airGapped: yes'), 'INFO  configuration reloaded; nothing has changed\n')
})

test('A mistake in the configuration leaves all as it was, and is said in one line', async (t) => {
  const { io, reload } = await running(t, 'logLevel: error')
  const said = await reload('logLevel: debug\nairGapped: maybe')
  assert.equal(said, 'ERROR configuration not reloaded, all stays as it was: c.yaml:2: airGapped: found "maybe", want true or false\n')
  assert.deepEqual(io.reloads, [])
  assert.equal(await reload('logLevel: error'), 'INFO  configuration reloaded; nothing has changed\n')
})

const empty: [what: string, text: string][] = [
  ['is empty', ''],
  ['has nothing but comments and blanks', '# port: 9000\n\n  # later\n\t\n'],
  ['has begun, and says nothing', '---\r\n'],
]
for (const [what, text] of empty) {
  test(`A configuration that ${what} leaves all as it was, unless the one before did, too`, async (t) => {
    const { io, reload } = await running(t, 'allow: [docker.io/team/*]')
    const mistake = 'c.yaml: found no settings, want some, or {} for none; is it being written? write it beside, and mv it'
    assert.equal(await reload(text), `ERROR configuration not reloaded, all stays as it was: ${mistake}\n`)
    assert.deepEqual(io.reloads, [])
    assert.match(await reload('{}'), /^INFO {2}configuration reloaded; changed: allow: /)
    assert.match(await reload(text), /^ERROR /)

    const other = await running(t, text)
    assert.match(await other.reload(''), /^INFO {2}configuration reloaded/)
    assert.match(await other.reload('airGapped: true'), /^INFO {2}configuration reloaded/)
    assert.match(await other.reload(text), /^ERROR /)
  })
}

test('What cannot change without a restart is named, and named again', async (t) => {
  const { reload } = await running(t, '')
  const said = 'INFO  configuration reloaded; nothing has changed\nWARN  needs a restart: host, port\n'
  assert.equal(await reload('port: 9000\nhost: 127.0.0.1'), said)
  assert.equal(await reload('port: 9000\nhost: 127.0.0.1'), said)
  assert.equal(await reload('{}'), 'INFO  configuration reloaded; nothing has changed\n')
})

test('A flag wins after a reload as before it', async (t) => {
  const { io, reload } = await running(t, '', ['--log-level', 'warn'])
  assert.equal(await reload('logLevel: debug'), 'INFO  configuration reloaded; nothing has changed\n')
  assert.equal(io.reloads[0]?.logLevel, 'warn')
})

test('A password that has changed is not shown', async (t) => {
  const entry = (password: string) => `registries: [{name: a.io, auth: {user: me, password: ${password}}}]`
  const { reload } = await running(t, entry('secret1'))
  const said = await reload(entry('secret2'))
  assert.equal(said, 'INFO  configuration reloaded; changed: registries[a.io].auth.password: (hidden) -> (hidden)\n')
})

test('A reload changes the level of the log', async (t) => {
  const { io, reload } = await running(t, 'logLevel: error')
  const log = io.started[0]?.log
  log?.info('before')
  await reload('logLevel: info')
  log?.info('after')
  await until(() => io.err.includes('after'))
  assert.ok(!io.err.includes('before') && io.err.includes('INFO  after'), io.err)
})

test('A reload changes the format of the log, also of what it says itself', async (t) => {
  const { io, reload } = await running(t, 'logLevel: info')
  const before = '{"time":"2026-01-01T00:00:00.000Z","level":"info","msg":'
  const said = await reload('logLevel: info\nlogFormat: json')
  assert.equal(said, `${before}"configuration reloaded; changed: logFormat: text -> json"}\n`)
  io.started[0]?.log.info('after')
  await until(() => io.err.includes('after'))
  assert.ok(io.err.endsWith(`${before}"after"}\n`), io.err)
})

const ON_TERMINAL = 'terminal'
const moves: [from: string, to: string][] = [
  ['one.log', 'two.log'],
  ['one.log', ON_TERMINAL],
  [ON_TERMINAL, 'two.log'],
]
for (const [from, to] of moves) {
  test(`A reload moves the log from ${from} to ${to}, and says so there`, async (t) => {
    const directory = await temporaryDirectory(t)
    const settingOf = (name: string) => `logLevel: info\n${name === ON_TERMINAL ? '' : `logFile: ${join(directory, name)}`}`
    const { io, file } = await running(t, settingOf(from))
    const startedAt = io.err.length
    const contentOf = (name: string) =>
      name === ON_TERMINAL ? io.err.slice(startedAt) : readFile(join(directory, name), 'utf8').catch(() => '')
    io.started[0]?.log.info('before')
    await writeFile(file, settingOf(to))
    io.hangUp()
    await until(async () => (await contentOf(to)).includes('configuration reloaded; changed: logFile: '))
    io.started[0]?.log.info('after')
    await until(async () => (await contentOf(to)).includes('after'))
    assert.match(await contentOf(from), /^[^\n]*before\n$/)
    assert.match(await contentOf(to), /^[^\n]*reloaded[^\n]*\n[^\n]*after\n$/)
  })
}

test('A new log file that cannot be opened leaves all as it was', async (t) => {
  const { io, reload } = await running(t, 'logLevel: error')
  assert.equal(
    await reload('logFormat: json\nairGapped: true\nlogFile: /no/such/x.log'),
    'ERROR configuration not reloaded, all stays as it was: cannot write the log file /no/such/x.log: no such file or directory; choose another with --log-file\n',
  )
  assert.deepEqual(io.reloads, [])
})

test('A reload that the service cannot make leaves the log where it was', async (t) => {
  const file = join(await temporaryDirectory(t), 'x.log')
  const io = new FakeIo()
  io.reloadService = () => Promise.reject(new ConfigError('no such thing'))
  const { reload } = await running(t, '', [], io)
  assert.equal(await reload(`logFormat: json\nlogFile: ${file}`), 'ERROR configuration not reloaded, all stays as it was: no such thing\n')
})

test('Warnings of a reloaded configuration are logged', async (t) => {
  const { reload } = await running(t, '')
  assert.match(await reload('resolveRef: a.b/c:1'), /WARN {2}this version does not have .*: resolveRef \(c\.yaml:1\)\n$/)
})

test('SIGHUP opens the log file again, so that it can be moved away', async (t) => {
  const directory = await temporaryDirectory(t)
  const file = join(directory, 'x.log')
  const io = new FakeIo()
  const code = run(['serve', '--log-level', 'info', '--log-file', file], io)
  await until(() => io.err.includes('Process id'))
  io.started[0]?.log.info('before')
  await rename(file, `${file}.1`)
  io.hangUp()
  const content = () => readFile(file, 'utf8').catch(() => '')
  await until(async () => (await content()).includes('reloaded'))
  io.started[0]?.log.info('after')
  await until(async () => (await content()).includes('after'))
  assert.match(await content(), /^[^\n]*reloaded[^\n]*\n[^\n]*after\n$/)
  assert.match(await readFile(`${file}.1`, 'utf8'), /^[^\n]*before\n$/)
  await io.signal()
  assert.equal(await code, 0)
})

test('SIGHUP during the start ends nothing, and counts when the server runs', async (t) => {
  const file = join(await temporaryDirectory(t), 'c.yaml')
  await writeFile(file, '')
  const io = new FakeIo()
  const start = io.startService
  let goOn = () => {}
  const held = new Promise<void>((resolve) => {
    goOn = resolve
  })
  io.startService = (deps) => held.then(() => start(deps))
  const code = run(['--config-file', file, 'serve'], io)
  await until(() => io.listeners > 0)
  await writeFile(file, 'airGapped: true')
  io.hangUp()
  goOn()
  await until(() => io.reloads.length > 0)
  assert.equal(io.reloads[0]?.airGapped, true)
  await io.signal()
  assert.deepEqual([await code, io.listeners], [0, 0])
})

test('SIGHUP before the configuration was read ends nothing, and counts when the server runs', async () => {
  const io = new FakeIo()
  const code = run(['serve'], io)
  io.hangUp()
  await until(() => io.reloads.length > 0)
  await io.signal()
  assert.deepEqual([await code, io.reloads.length], [0, 1])
})

const ends: [what: string, args: readonly string[], code: number][] = [
  ['when the server has stopped', [], 0],
  ['when the server could not start', ['--log-file', '/no/such/x.log'], 1],
]
for (const [what, args, wanted] of ends) {
  test(`SIGHUP ${what} ends nothing, and nothing is read`, async () => {
    const io = new FakeIo()
    const code = run(['serve', ...args], io)
    await until(() => /Process id|error/.test(io.err))
    await io.signal()
    assert.equal(await code, wanted)
    const { err } = io
    io.hangUp()
    await settled()
    assert.deepEqual([io.err, io.reloads], [err, []])
  })
}
