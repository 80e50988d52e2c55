import assert from 'node:assert/strict'
import { chmod, readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { run } from '../../src/cli/run.ts'
import { pemPair } from '../support/certificates.ts'
import { temporaryDirectory } from '../support/files.ts'
import { fakeNotify } from '../support/systemd-notify.ts'
import { until } from '../support/until.ts'
import { FakeIo } from './fake-io.ts'

/** Runs `serve` until it waits for a signal. */
async function running(io: FakeIo, args: readonly string[] = []): Promise<{ readonly code: Promise<number> }> {
  const code = run(['serve', ...args], io)
  await until(() => io.err.includes('Process id'))
  return { code }
}

async function stopped(io: FakeIo, args: readonly string[] = []): Promise<number> {
  const { code } = await running(io, args)
  await io.signal()
  return code
}

test('a stop is told in the log, who asked for it, and when it is over', async () => {
  const io = new FakeIo()
  assert.equal(await stopped(io, ['--log-level', 'info']), 0)
  assert.match(io.err, /INFO {2}stopping askedBy="?a signal"?\n(?:.*\n)*?.*INFO {2}stopped\n/)
})

const RULE = '-'.repeat(70)
const banner = (port: number, more: { host?: string; store?: string; registries?: string } = {}) =>
  `${RULE}
OCI Registry: pull-only, pull-through, caching OCI Distribution Server
Version: dev, build date: dev
Started: 2026-01-01T00:00:00.000Z (port ${port})
Listening on: http://${more.host ?? '0.0.0.0'}:${port}
Running as (uid:gid) 1000:100
Process id: 42
Tls: none
Command line: ociregistry serve
Store: ${more.store ?? '/var/lib/ociregistry'}
Registries: ${more.registries ?? 'none configured'}
${RULE}
`

test('The banner says what runs where, on stderr, at the level error too', async () => {
  const io = new FakeIo()
  await stopped(io)
  assert.deepEqual([io.out, io.err], ['', banner(8080)])
})

test('The banner names the files of TLS to clients, and https', async (t) => {
  const pem = join(await temporaryDirectory(t), 'pair.pem')
  await writeFile(pem, await pemPair(t))
  const file = join(await temporaryDirectory(t), 'c.yaml')
  const said = [
    ['', `Tls: cert=${pem}, key=${pem}, client verify=none`],
    [', clientAuth: verify', `Tls: cert=${pem}, key=${pem}, client verify=verify`],
    [`, ca: ${pem}, clientAuth: verify`, `Tls: cert=${pem}, key=${pem}, ca=${pem}, client verify=verify`],
  ] as const
  for (const [more, line] of said) {
    await writeFile(file, `serverTlsConfig: {cert: ${pem}, key: ${pem}${more}}`)
    const io = new FakeIo()
    await stopped(io, ['--config-file', file])
    assert.deepEqual(
      io.err.split('\n').filter((each) => /^(?:Tls|Listening on):/.test(each)),
      ['Listening on: https://0.0.0.0:8080', line],
    )
  }
})

test('The banner names the port that was free', async () => {
  const io = new FakeIo()
  await stopped(io, ['--port', '0', '--host', '::1', '--image-path', '/srv/x'])
  assert.equal(io.err, banner(34567, { host: '[::1]', store: '/srv/x' }))
})

test('The banner names the proxies, without their passwords', async () => {
  const io = new FakeIo()
  io.env.HTTPS_PROXY = 'http://me:secret@proxy.example:3128'
  io.env.HTTP_PROXY = 'plain.example'
  await stopped(io)
  assert.match(io.err, /^Registries: .*\nProxies: https through http:\/\/proxy\.example:3128, http through http:\/\/plain\.example$/m)
  assert.ok(!io.err.includes('secret'))
})

test('The banner names the address of /health', async () => {
  const io = new FakeIo()
  await stopped(io, ['--health', '8081', '--host', '::1'])
  assert.match(io.err, /^Health: http:\/\/\[::1\]:8081\/health$/m)
})

test('The banner names the address of an admin API on a port of its own', async (t) => {
  const config = join(await temporaryDirectory(t), 'c.yaml')
  await writeFile(config, 'admin: {port: 8082}')
  const io = new FakeIo()
  await stopped(io, ['--config-file', config])
  assert.match(io.err, /^Admin API: http:\/\/0\.0\.0\.0:8082\/cmd\/$/m)
})

for (const flag of ['--health', '--metrics']) {
  test(`A port of ${flag} that is in use stops the start with one line that names its flag`, async () => {
    const io = new FakeIo()
    io.startService = () => Promise.reject(Object.assign(new Error('x'), { code: 'EADDRINUSE', syscall: 'listen', port: 8081 }))
    assert.equal(await run(['serve', flag, '8081'], io), 1)
    const line = `cannot listen on 0.0.0.0:8081: the port is in use by another program; choose another with ${flag}`
    assert.equal(io.err, `error: ${line}\n`)
  })
}

test('A port of the admin API that is in use stops the start with one line that names its key', async (t) => {
  const config = join(await temporaryDirectory(t), 'c.yaml')
  await writeFile(config, 'admin: {port: 8082}')
  const io = new FakeIo()
  io.startService = () => Promise.reject(Object.assign(new Error('x'), { code: 'EADDRINUSE', syscall: 'listen', port: 8082 }))
  assert.equal(await run(['serve', '--config-file', config], io), 1)
  const line = 'cannot listen on 0.0.0.0:8082: the port is in use by another program; choose another with admin.port'
  assert.equal(io.err, `error: ${line}\n`)
})

test('The service that was asked to stop by its admin API is stopped as by a signal, and the exit code is 0', async () => {
  const io = new FakeIo()
  const { code } = await running(io)
  io.requestStop()
  assert.equal(await code, 0)
  assert.deepEqual([io.stops, io.listeners], [1, 0])
})

test('The banner stays on its lines, whatever the command line holds', async () => {
  const io = new FakeIo()
  io.process.commandLine = 'ociregistry serve --log-file a\nb'
  await stopped(io)
  assert.match(io.err, /^Command line: ociregistry serve --log-file a\\nb$/m)
})

test('The banner says how each registry is reached, and no secret', async (t) => {
  const directory = await temporaryDirectory(t)
  const [config, pem] = [join(directory, 'c.yaml'), join(directory, 'x.pem')]
  await writeFile(pem, await pemPair(t))
  await writeFile(
    config,
    `registries:
- {name: docker.io, auth: {user: me, password: secret}}
- {name: a.io, url: "http://10.0.0.1:5000", aliases: [b.io, c.io]}
- {name: d.io, tls: {ca: ${pem}, cert: ${pem}, key: ${pem}, insecureSkipVerify: true}}`,
  )
  const io = new FakeIo()
  await stopped(io, ['--config-file', config])
  const registries = [
    'docker.io (https://registry-1.docker.io, basic auth)',
    'a.io (http://10.0.0.1:5000, also b.io c.io)',
    'd.io (https://d.io, own CA, client certificate, certificate not verified)',
  ]
  assert.equal(io.err, banner(8080, { registries: registries.join(', ') }))
})

test('The banner says that there is the built-in image and nothing else, whatever store and registries are configured', async (t) => {
  const config = join(await temporaryDirectory(t), 'c.yaml')
  await writeFile(config, 'helloWorld: true\nregistries: [{name: a.io}]')
  const io = new FakeIo()
  await stopped(io, ['--config-file', config, '--image-path', '/srv/x'])
  const serving = 'Serving: docker.io/library/hello-world:latest, which is built in, and nothing else; no store, no registry'
  assert.equal(io.err, banner(8080).replace(/^Store: .*\nRegistries: .*$/m, serving))
})

test('A warning follows the banner, at the level error too', async (t) => {
  const io = new FakeIo()
  const file = join(await temporaryDirectory(t), 'x.yaml')
  await writeFile(file, 'resolveRef: a.b/c:1\n')
  await stopped(io, ['--config-file', file])
  const warning = `this version does not have what these settings ask for, and goes on without: resolveRef (${file}:1)`
  assert.equal(io.err, `${banner(8080)}warning: ${warning}\n`)
})

test('The service gets the configuration, the clock, a log and the version', async () => {
  const io = new FakeIo()
  await stopped(io, ['--port', '9000'])
  const [deps] = io.started
  assert.deepEqual([deps?.config.port, deps?.config.os, deps?.config.arch, deps?.version], [9000, 'linux', 'amd64', 'dev'])
  assert.equal(deps?.clock, io.clock)
})

test('Log lines go to stderr', async () => {
  const io = new FakeIo()
  const { code } = await running(io, ['--log-level', 'info'])
  io.started[0]?.log.info('server is running')
  await io.signal()
  assert.equal(await code, 0)
  assert.equal(
    io.err,
    `${banner(8080)}${['server is running', 'stopping askedBy="a signal"', 'stopped'].map((said) => `2026-01-01T00:00:00.000Z INFO  ${said}\n`).join('')}`,
  )
})

test('A hang-up opens the log file anew', async (t) => {
  const directory = await temporaryDirectory(t)
  const [file, rotated] = [join(directory, 'x.log'), join(directory, 'x.log.1')]
  const io = new FakeIo()
  const { code } = await running(io, ['--log-level', 'warn', '--log-file', file])
  io.started[0]?.log.warn('before')
  await rename(file, rotated)
  io.hangUp()
  io.started[0]?.log.warn('after')
  await io.signal()
  assert.equal(await code, 0)
  assert.match(await readFile(rotated, 'utf8'), / before\n$/)
  assert.match(await readFile(file, 'utf8'), / after\n$/)
})

test('Log lines go to the log file, in the format that was asked for, and the banner to stderr', async (t) => {
  const file = join(await temporaryDirectory(t), 'x.log')
  const io = new FakeIo()
  const { code } = await running(io, ['--log-level', 'info', '--log-file', file, '--log-format', 'json'])
  io.started[0]?.log.info('server is running', { port: 1 })
  await io.signal()
  assert.equal(await code, 0)
  const said = ['"msg":"server is running","port":1', '"msg":"stopping","askedBy":"a signal"', '"msg":"stopped"']
  assert.equal(await readFile(file, 'utf8'), said.map((text) => `{"time":"2026-01-01T00:00:00.000Z","level":"info",${text}}\n`).join(''))
  assert.equal(io.err, banner(8080))
})

test('A log file that cannot be written stops the start with one line', async () => {
  const io = new FakeIo()
  assert.equal(await run(['serve', '--log-file', '/no/such/x.log'], io), 1)
  assert.equal(io.err, 'error: cannot write the log file /no/such/x.log: no such file or directory; choose another with --log-file\n')
  assert.equal(io.started.length, 0)
})

test('A mistake in the configuration file stops the start with one line', async (t) => {
  const file = join(await temporaryDirectory(t), 'c.yaml')
  await writeFile(file, 'logLevel: error\nport: abc\n')
  const io = new FakeIo()
  assert.equal(await run(['serve', '--config-file', file], io), 1)
  assert.deepEqual(
    [io.out, io.err, io.started.length],
    ['', `error: ${file}:2: port: found "abc", want a whole number from 0 to 65535\n`, 0],
  )
})

test('A certificate for clients that is not there stops the start', async (t) => {
  const file = join(await temporaryDirectory(t), 'c.yaml')
  await writeFile(file, 'serverTlsConfig: {cert: /x, key: /y}\n')
  const io = new FakeIo()
  assert.equal(await run(['serve', '--config-file', file], io), 1)
  assert.equal(
    io.err,
    `error: ${file}:1: serverTlsConfig.cert: cannot read /x: no such file or directory, want a PEM file with certificates\n`,
  )
})

test('A configuration file that may not be read is named', {
  skip: process.getuid?.() === 0 && 'privilege: root may read every file',
}, async (t) => {
  const file = join(await temporaryDirectory(t), 'c.yaml')
  await writeFile(file, '')
  await chmod(file, 0)
  const io = new FakeIo()
  assert.equal(await run(['serve', '--config-file', file], io), 1)
  assert.equal(io.err, `error: --config-file: cannot read ${file}: permission denied, want a YAML file\n`)
})

test('A signal stops the service, exit 0, and nobody listens for signals any more', async () => {
  const io = new FakeIo()
  assert.equal(await stopped(io), 0)
  assert.deepEqual([io.stops, io.exits, io.listeners], [1, [], 0])
})

test('A second signal ends the process at once, exit 1', async () => {
  const io = new FakeIo()
  io.stop = () => new Promise(() => {})
  await running(io)
  await io.signal()
  assert.deepEqual(io.exits, [])
  await io.signal()
  assert.deepEqual(io.exits, [1])
})

test('A signal during the start ends it, exit 0', async () => {
  const io = new FakeIo()
  let waiting = false
  io.startService = () => {
    waiting = true
    return new Promise(() => {})
  }
  const code = run(['serve'], io)
  await until(() => waiting)
  await io.signal()
  assert.deepEqual([await code, io.err], [0, ''])
})

test('A service that cannot stop cleanly says why, exit 1', async () => {
  const io = new FakeIo()
  io.stop = async () => {
    throw Object.assign(new Error('x'), { code: 'EROFS' })
  }
  assert.equal(await stopped(io), 1)
  assert.ok(io.err.endsWith('error: cannot stop cleanly: the file system is read-only\n'), io.err)
})

const failures: [sentence: string, error: object, line: string][] = [
  [
    'A port in use',
    { code: 'EADDRINUSE', syscall: 'listen', port: 8080 },
    'cannot listen on 0.0.0.0:8080: the port is in use by another program; choose another with --port',
  ],
  [
    'A port in use, said by its code alone',
    { code: 'EADDRINUSE' },
    'cannot listen on 0.0.0.0:8080: the port is in use by another program; choose another with --port',
  ],
  [
    'A port that is not for everybody',
    { code: 'EACCES', syscall: 'listen' },
    'cannot listen on 0.0.0.0:8080: this user may not listen on that port; choose one from 1024 with --port',
  ],
  [
    'A foreign address',
    { code: 'EADDRNOTAVAIL', syscall: 'listen' },
    'cannot listen on 0.0.0.0:8080: this machine has no such address; choose another with --host',
  ],
  [
    'A name without an address',
    { code: 'ENOTFOUND', syscall: 'getaddrinfo' },
    'cannot listen on 0.0.0.0:8080: there is no such host name; choose another with --host',
  ],
  [
    'A directory that may not be written',
    { code: 'EACCES', syscall: 'mkdir', path: '/srv/x/blobs' },
    'cannot use /srv/x/blobs for the store: permission denied (uid 1000); choose another directory with --image-path',
  ],
  [
    'A lock that may not be made',
    { code: 'EACCES', syscall: 'listen', address: '/srv/x/lock' },
    'cannot use /srv/x/lock for the store: permission denied (uid 1000); choose another directory with --image-path',
  ],
  [
    'A directory that is a file',
    { code: 'ENOTDIR', syscall: 'mkdir' },
    'cannot use /var/lib/ociregistry for the store: part of its path is no directory (uid 1000); choose another directory with --image-path',
  ],
  [
    'A read-only file system',
    { code: 'EROFS' },
    'cannot use /var/lib/ociregistry for the store: the file system is read-only (uid 1000); choose another directory with --image-path',
  ],
  [
    'A directory that is not there',
    { code: 'ENOENT' },
    'cannot use /var/lib/ociregistry for the store: no such file or directory (uid 1000); choose another directory with --image-path',
  ],
  [
    'A descriptor that cannot be listened on',
    { code: 'EINVAL', syscall: 'listen', address: null, message: 'listen EINVAL' },
    'listen EINVAL',
  ],
  ['What has a message already', { message: 'the store is held by pid 7\nsecond line' }, 'the store is held by pid 7'],
]
for (const [sentence, details, line] of failures) {
  test(`${sentence} stops the start with one line and no stack, exit 1`, async () => {
    const io = new FakeIo()
    io.startService = () => Promise.reject(Object.assign(new Error('raw message'), details))
    assert.equal(await run(['serve'], io), 1)
    assert.deepEqual([io.out, io.err, io.listeners], ['', `error: ${line}\n`, 0])
  })
}

test('At debug level a start that fails shows the stack in the log', async () => {
  const io = new FakeIo()
  io.startService = () => Promise.reject(new TypeError('a bug'))
  assert.equal(await run(['serve', '--log-level', 'debug'], io), 1)
  assert.match(io.err, /DEBUG could not start error="TypeError: a bug\\n.*\nerror: a bug\n$/)
})

test('A socket of the service manager is served from, and the banner says so', async () => {
  const io = new FakeIo()
  Object.assign(io.env, { LISTEN_PID: '42', LISTEN_FDS: '1' })
  io.sockets = { pulls: 'http://127.0.0.1:8080' }
  await stopped(io)
  assert.deepEqual(io.started[0]?.sockets, { pulls: 3 })
  assert.ok(io.err.includes('\nListening on: http://127.0.0.1:8080 (opened by the service manager)\n'), io.err)
})

test('Each socket of the service manager is named by the banner, and wins over a port', async () => {
  const io = new FakeIo()
  Object.assign(io.env, { LISTEN_PID: '42', LISTEN_FDS: '3', LISTEN_FDNAMES: 'health:metrics:admin' })
  io.sockets = { health: 'http://[::1]:9001', metrics: 'http://127.0.0.1:9002', admin: 'a Unix socket' }
  await stopped(io, ['--health', '8081'])
  assert.deepEqual(io.started[0]?.sockets, { health: 3, metrics: 4, admin: 5 })
  assert.deepEqual(io.err.split('\n').slice(4, 8), [
    'Listening on: http://0.0.0.0:8080',
    'Health: http://[::1]:9001/health (opened by the service manager)',
    'Metrics: http://127.0.0.1:9002/metrics (opened by the service manager)',
    'Admin API: a Unix socket (opened by the service manager)',
  ])
})

test('Sockets of the service manager that say nothing of what they are for stop the start with one line', async () => {
  const io = new FakeIo()
  Object.assign(io.env, { LISTEN_PID: '42', LISTEN_FDS: '2', LISTEN_FDNAMES: 'pulls:web' })
  assert.equal(await run(['serve'], io), 1)
  assert.equal(io.err, 'error: LISTEN_FDNAMES: found "web", want names of pulls, health, metrics, admin (FileDescriptorName=)\n')
  assert.equal(io.started.length, 0)
})

test('The service manager is told when the server is ready and when it stops', async (t) => {
  const io = new FakeIo()
  const told = await fakeNotify(t, io.env)
  const { code } = await running(io)
  await until(async () => (await told()).length === 1, 'it is told that the server is ready')
  await io.signal()
  assert.equal(await code, 0)
  await until(async () => (await told()).length === 2, 'it is told that the server stops')
  assert.deepEqual(await told(), [
    '/run/notify READY=1 STATUS=serving on port 8080',
    '/run/notify STOPPING=1 STATUS=letting answers end EXTEND_TIMEOUT_USEC=45000000',
  ])
})

const afterReload: [what: string, file: string, status: string][] = [
  ['that the server is as before when the configuration was reloaded', 'airGapped: true', ''],
  [
    'what is wrong with a configuration that was not reloaded',
    'airGapped: maybe',
    '; configuration not reloaded, all stays as it was: c.yaml:1: airGapped: found "maybe", want true or false',
  ],
  ['what waits for a restart', 'port: 9000', '; needs a restart: port'],
]
for (const [what, text, status] of afterReload) {
  test(`The service manager is told of a reload when it begins, and then ${what}`, async (t) => {
    const file = join(await temporaryDirectory(t), 'c.yaml')
    await writeFile(file, '')
    const io = new FakeIo()
    const told = await fakeNotify(t, io.env)
    const { code } = await running(io, ['--config-file', file])
    await writeFile(file, text)
    io.hangUp()
    await until(async () => (await told()).length === 3, 'it is told that the reload is over')
    await io.signal()
    assert.equal(await code, 0)
    const [, began = '', over = ''] = await told()
    assert.match(began, / RELOADING=1 MONOTONIC_USEC=\d+ STATUS=reading the configuration$/)
    assert.equal(over.replaceAll(file, 'c.yaml'), `/run/notify READY=1 STATUS=serving on port 8080${status}`)
  })
}

test('A service manager that cannot be told is an error in the log, and the server goes on', async (t) => {
  const io = new FakeIo()
  await fakeNotify(t, io.env, 'exit 1')
  const { code } = await running(io)
  await until(() => io.err.includes('ERROR cannot tell the service manager READY=1: Command failed'), 'the log says so')
  await io.signal()
  assert.equal(await code, 0)
})
