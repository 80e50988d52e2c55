/** TLS towards clients: real handshakes with a listener, over every permutation of its settings. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdir, writeFile } from 'node:fs/promises'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { request } from 'node:https'
import { connect as connectPlain, type Socket } from 'node:net'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls'
import type { ServerTlsConfig } from '../../src/config/config.ts'
import { Listener } from '../../src/server/listener.ts'
import { ServerTls } from '../../src/server/server-tls.ts'
import { type Authority, type Certificate, EXPIRED, makeAuthority, NOT_YET_VALID } from '../support/certificates.ts'
import { ManualClock } from '../support/clock.ts'
import { temporaryDirectory } from '../support/files.ts'
import { MemoryLog } from '../support/log.ts'
import { NEEDS_OUTSIDE, outside } from '../support/outside.ts'
import { RawConnection } from '../support/raw-http.ts'
import { until } from '../support/until.ts'

type Files = { readonly directory: string; readonly authority: Authority; readonly other: Authority; readonly server: Certificate }

async function makeFiles(t: TestContext): Promise<Files> {
  const directory = await temporaryDirectory(t)
  const authority = await makeAuthority(directory, 'Site CA')
  return { directory, authority, other: await makeAuthority(directory, 'Other CA'), server: await authority.issue('127.0.0.1') }
}

type Listening = {
  readonly port: number
  readonly log: MemoryLog
  readonly clock: ManualClock
  readonly tls: ServerTls
  readonly listener: Listener
}

async function listen(
  t: TestContext,
  settings: ServerTlsConfig,
  handle: (req: IncomingMessage, res: ServerResponse) => void = (_, res) => void res.end('hello'),
  env: Readonly<Record<string, string>> = {},
  { host = '127.0.0.1', maxConnections = 0 } = {},
): Promise<Listening> {
  const [clock, log] = [new ManualClock(Date.now()), new MemoryLog()]
  const tls = new ServerTls({ settings, env, bundles: [], clock, log })
  const listener = new Listener({ handle, tls: { material: await tls.read(), clientAuth: tls.clientAuth }, maxConnections, clock, log })
  const port = await listener.start(host, 0)
  tls.watch((material) => listener.renewTls(material))
  t.after(async () => {
    const stopped = Promise.all([listener.stop(0), tls.stop()])
    await clock.advance(0)
    await stopped
  })
  return { port, log, clock, tls, listener }
}

const settingsOf = (certificate: Certificate, more: Partial<ServerTlsConfig> = {}): ServerTlsConfig => ({
  cert: certificate.certPath,
  key: certificate.keyPath,
  ca: undefined,
  clientAuth: 'none',
  ...more,
})

/** What a client gets on a connection of its own: the status, or the code of the error. */
function ask(port: number, options: ConnectionOptions): Promise<string> {
  return new Promise((resolve) => {
    const asking = request({ host: '127.0.0.1', port, path: '/v2/', agent: false, ...options }, (response) => {
      response.resume().once('end', () => resolve(String(response.statusCode)))
    })
    asking.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
    asking.end()
  })
}

/** The connection when its handshake is done. */
function handshake(t: TestContext, port: number, options: ConnectionOptions): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port, ...options }, () => resolve(socket))
    socket.on('error', reject)
    t.after(() => socket.destroy())
  })
}

type Permutation = [
  what: string,
  make: (files: Files) => Promise<{ settings: ServerTlsConfig; client: ConnectionOptions; env?: Record<string, string> }>,
  want: RegExp,
]
const REFUSED = /^(?!200$)/
const pairOf = ({ cert, key }: Certificate) => ({ cert, key })
const verifying = ({ server, authority }: Files): ServerTlsConfig => settingsOf(server, { ca: authority.certPath, clientAuth: 'verify' })

const permutations: Permutation[] = [
  [
    'cert and key: a client that trusts the authority is served',
    async (files) => ({ settings: settingsOf(files.server), client: { ca: files.authority.cert } }),
    /^200$/,
  ],
  [
    'cert and key: a client that trusts another authority turns away',
    async (files) => ({ settings: settingsOf(files.server), client: { ca: files.other.cert } }),
    /^UNABLE_TO_VERIFY_LEAF_SIGNATURE$/,
  ],
  [
    'clientAuth none: the certificate of a client is ignored, whoever made it',
    async (files) => ({
      settings: settingsOf(files.server, { ca: files.authority.certPath }),
      client: { ca: files.authority.cert, ...pairOf(await files.other.issue('client')) },
    }),
    /^200$/,
  ],
  [
    'clientAuth none: ca is not read',
    async (files) => ({ settings: settingsOf(files.server, { ca: '/does/not/exist' }), client: { ca: files.authority.cert } }),
    /^200$/,
  ],
  [
    'clientAuth verify: a client whose certificate is by ca is served',
    async (files) => ({
      settings: verifying(files),
      client: { ca: files.authority.cert, ...pairOf(await files.authority.issue('client')) },
    }),
    /^200$/,
  ],
  [
    'clientAuth verify: a client without a certificate is refused',
    async (files) => ({ settings: verifying(files), client: { ca: files.authority.cert } }),
    REFUSED,
  ],
  [
    'clientAuth verify: a client without a certificate is refused in TLS 1.2, too',
    async (files) => ({ settings: verifying(files), client: { ca: files.authority.cert, maxVersion: 'TLSv1.2' } }),
    REFUSED,
  ],
  [
    'clientAuth verify: a client whose certificate is by another authority is refused',
    async (files) => ({ settings: verifying(files), client: { ca: files.authority.cert, ...pairOf(await files.other.issue('client')) } }),
    REFUSED,
  ],
  [
    'clientAuth verify: an authority that calls itself the same is refused',
    async (files) => {
      const elsewhere = join(files.directory, 'elsewhere')
      await mkdir(elsewhere)
      const double = await makeAuthority(elsewhere, 'Site CA')
      return { settings: verifying(files), client: { ca: files.authority.cert, ...pairOf(await double.issue('client')) } }
    },
    REFUSED,
  ],
  [
    'clientAuth verify: a certificate that has expired is refused',
    async (files) => ({
      settings: verifying(files),
      client: { ca: files.authority.cert, ...pairOf(await files.authority.issueFor(EXPIRED, 'client')) },
    }),
    REFUSED,
  ],
  [
    'clientAuth verify: a certificate that is not valid yet is refused',
    async (files) => ({
      settings: verifying(files),
      client: { ca: files.authority.cert, ...pairOf(await files.authority.issueFor(NOT_YET_VALID, 'client')) },
    }),
    REFUSED,
  ],
  [
    "clientAuth verify without ca: the system's store vouches for clients",
    async (files) => ({
      settings: settingsOf(files.server, { clientAuth: 'verify' }),
      env: { SSL_CERT_FILE: files.other.certPath },
      client: { ca: files.authority.cert, ...pairOf(await files.other.issue('client')) },
    }),
    /^200$/,
  ],
  [
    "clientAuth verify without ca: whom the system's store does not know is refused",
    async (files) => ({
      settings: settingsOf(files.server, { clientAuth: 'verify' }),
      env: { SSL_CERT_FILE: files.other.certPath },
      client: { ca: files.authority.cert, ...pairOf(await files.authority.issue('client')) },
    }),
    REFUSED,
  ],
  [
    "clientAuth verify with ca: the system's store vouches for nobody",
    async (files) => ({
      settings: verifying(files),
      env: { SSL_CERT_FILE: files.other.certPath },
      client: { ca: files.authority.cert, ...pairOf(await files.other.issue('client')) },
    }),
    REFUSED,
  ],
  [
    'TLS 1.2 is enough',
    async (files) => ({ settings: settingsOf(files.server), client: { ca: files.authority.cert, maxVersion: 'TLSv1.2' } }),
    /^200$/,
  ],
  [
    'TLS 1.1 is refused',
    async (files) => ({
      settings: settingsOf(files.server),
      client: { ca: files.authority.cert, minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' },
    }),
    REFUSED,
  ],
  [
    'A client that speaks nothing but HTTP/2 is refused',
    async (files) => ({ settings: settingsOf(files.server), client: { ca: files.authority.cert, ALPNProtocols: ['h2'] } }),
    REFUSED,
  ],
]
for (const [what, make, want] of permutations) {
  test(`TLS to clients, ${what}`, async (t) => {
    const { settings, client, env } = await make(await makeFiles(t))
    const { port } = await listen(t, settings, undefined, env)
    assert.match(await ask(port, client), want)
  })
}

test('HTTP/1.1 is what the server chooses of what a client offers', async (t) => {
  const files = await makeFiles(t)
  const { port } = await listen(t, settingsOf(files.server))
  const offers = [[['h2', 'http/1.1'], 'http/1.1'] as const, [['http/1.1'], 'http/1.1'] as const, [undefined, false] as const]
  for (const [offer, want] of offers) {
    const options = { ca: files.authority.cert, ...(offer === undefined ? {} : { ALPNProtocols: [...offer] }) }
    assert.equal((await handshake(t, port, options)).alpnProtocol, want)
  }
})

test('Intermediate certificates behind that of the server go out with it', async (t) => {
  const files = await makeFiles(t)
  const chain = join(files.directory, 'chain.pem')
  await writeFile(chain, files.server.cert + files.authority.cert)
  const { port } = await listen(t, settingsOf({ ...files.server, certPath: chain }))
  const socket = await handshake(t, port, { ca: files.authority.cert })
  assert.equal(socket.getPeerCertificate(true).issuerCertificate.subject.CN, 'Site CA')
})

const unusable: [
  what: string,
  make: (files: Files) => Promise<{ settings: ServerTlsConfig; env?: Record<string, string> }>,
  why: RegExp,
][] = [
  [
    'a ca that holds no certificate',
    async (files) => {
      const ca = join(files.directory, 'empty.pem')
      await writeFile(ca, '')
      return { settings: settingsOf(files.server, { ca, clientAuth: 'verify' }) }
    },
    /empty\.pem holds no certificate in PEM$/,
  ],
  [
    'a ca that is not there',
    async (files) => ({ settings: settingsOf(files.server, { ca: '/does/not/exist', clientAuth: 'verify' }) }),
    /^cannot read \/does\/not\/exist: ENOENT$/,
  ],
  [
    "no ca, and a system's store that is not there",
    async (files) => ({ settings: settingsOf(files.server, { clientAuth: 'verify' }), env: { SSL_CERT_FILE: '/does/not/exist' } }),
    /^cannot read \/does\/not\/exist: ENOENT$/,
  ],
  [
    "no ca, and a system's store that is empty",
    async (files) => ({ settings: settingsOf(files.server, { clientAuth: 'verify' }), env: { SSL_CERT_DIR: '/does/not/exist' } }),
    /^the system's store holds no certificate: clientAuth verify needs one, or serverTlsConfig\.ca$/,
  ],
  [
    'the key of another certificate',
    async (files) => ({ settings: settingsOf({ ...files.server, keyPath: files.other.keyPath }) }),
    /Other-CA\.key does not belong to the certificate .*Site-CA-1\.crt$/,
  ],
  ['no certificate', async (files) => ({ settings: settingsOf({ ...files.server, certPath: '/none' }) }), /^cannot read \/none: ENOENT$/],
]
for (const [what, make, why] of unusable) {
  test(`A server with ${what} does not start, neither without TLS nor without verifying`, async (t) => {
    const { settings, env = {} } = await make(await makeFiles(t))
    const tls = new ServerTls({ settings, env, bundles: [], clock: new ManualClock(), log: new MemoryLog() })
    await assert.rejects(tls.read(), (error: NodeJS.ErrnoException) => why.test(error.message) && error.code === undefined)
  })
}

const refusalsOf = (log: MemoryLog) => log.lines.filter(({ message }) => message === 'no TLS with a client').map(({ fields }) => fields)

test('A plain request to the TLS port is told so, in HTTP, and the log says who sent it', async (t) => {
  const files = await makeFiles(t)
  const { port, log } = await listen(t, settingsOf(files.server))
  for (const method of ['GET', 'HEAD', 'POST', 'PUT']) {
    const connection = await RawConnection.open(port)
    connection.write(`${method} /v2/ HTTP/1.1\r\nhost: x\r\n\r\n`)
    const said = (await connection.rest()).bytes.toString('latin1')
    assert.match(
      said,
      /^HTTP\/1\.1 400 Bad Request\r\n(?:.*\r\n)*\r\n\{"errors":\[\{"code":"UNSUPPORTED","message":"this port speaks https: .*"\}\]\}$/,
    )
  }
  assert.deepEqual(refusalsOf(log)[0], { client: '127.0.0.1', error: 'ERR_SSL_HTTP_REQUEST' })
  assert.equal(await ask(port, { ca: files.authority.cert }), '200') // the listener is as it was
})

test('TLS to the plain port gets an HTTP answer that TLS clients recognise', async (t) => {
  const listener = new Listener({ handle: (_, res) => void res.end(), clock: new ManualClock(), log: new MemoryLog() })
  const port = await listener.start('127.0.0.1', 0)
  t.after(() => listener.stop(0))
  assert.equal(await ask(port, {}), 'EPROTO')
})

test('Why a client was refused is in the log', async (t) => {
  const files = await makeFiles(t)
  const { port, log } = await listen(t, verifying(files))
  await ask(port, { ca: files.authority.cert, ...pairOf(await files.other.issue('client')) })
  await until(() => refusalsOf(log).length > 0, 'it is logged')
  assert.equal(refusalsOf(log)[0]?.error, 'UNABLE_TO_VERIFY_LEAF_SIGNATURE')
})

test('A connection that never begins with TLS does not keep the server from stopping', async (t) => {
  const files = await makeFiles(t)
  const { port, listener } = await listen(t, settingsOf(files.server))
  const silent = await RawConnection.open(port)
  const used = await handshake(t, port, { ca: files.authority.cert })
  await listener.stop(10_000) // the clock does not move
  await silent.ending()
  used.destroy()
})

test('An answer that is on its way ends before the server does, over TLS, too', async (t) => {
  const files = await makeFiles(t)
  let answer: ServerResponse | undefined
  const { port, listener } = await listen(t, settingsOf(files.server), (_, res) => {
    answer = res
  })
  const asked = ask(port, { ca: files.authority.cert })
  await until(() => answer !== undefined, 'it is asked')
  const stopped = listener.stop(10_000)
  answer?.end('late')
  assert.equal(await asked, '200')
  await stopped // the clock does not move
})

/** Puts a certificate and its key into the files that the server reads. */
async function replace({ server }: Files, { cert, key }: { readonly cert?: string; readonly key?: string }): Promise<void> {
  if (cert !== undefined) await writeFile(server.certPath, cert)
  if (key !== undefined) await writeFile(server.keyPath, key)
}

const serialOf = (socket: TLSSocket) => socket.getPeerX509Certificate()?.serialNumber

test('Certificates that change count for new connections; those that are open, and what is on its way, go on', async (t) => {
  const files = await makeFiles(t)
  let answer: ServerResponse | undefined
  const { port, clock, log, tls } = await listen(t, settingsOf(files.server), (_, res) => {
    answer = res
    res.writeHead(200, ['content-length', '8']).write('half')
  })
  const before = await handshake(t, port, { ca: files.authority.cert })
  const received: Buffer[] = []
  before.on('data', (chunk: Buffer) => received.push(chunk))
  before.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n')
  await until(() => Buffer.concat(received).includes('half'), 'the answer has begun')
  const [first, firstExpiry] = [serialOf(before), tls.expiresMs]
  await replace(files, await files.authority.issueFor({ from: new Date(Date.now() - 1000), to: new Date(Date.now() + 9e9) }, '127.0.0.1'))
  await until(async () => {
    await clock.advance(5_000)
    return log.lines.some(({ message }) => message === 'the changed certificates are in use for new connections')
  }, 'the change is seen')
  const after = await handshake(t, port, { ca: files.authority.cert })
  assert.notEqual(serialOf(after), first)
  assert((tls.expiresMs ?? 0) > (firstExpiry ?? 0))
  answer?.end('more')
  await until(() => Buffer.concat(received).includes('more'), 'the answer has ended')
  assert.equal(before.destroyed, false)
})

test('A replacement that cannot be used leaves the last one in use, and one line says so; its completion counts', async (t) => {
  const files = await makeFiles(t)
  const { port, clock, log } = await listen(t, settingsOf(files.server))
  const serial = async () => serialOf(await handshake(t, port, { ca: files.authority.cert }))
  const first = await serial()
  const next = await files.authority.issue('127.0.0.1')
  const troubles = () => log.lines.filter(({ level }) => level === 'error')
  await replace(files, { cert: next.cert }) // and not yet its key
  await until(async () => {
    await clock.advance(5_000)
    return troubles().length > 0
  }, 'the trouble is seen')
  for (let i = 0; i < 5; i++) await clock.advance(5_000)
  assert.match(troubles()[0]?.message ?? '', /^the changed certificates cannot be used, .*: the key .* does not belong to the certificate /)
  assert.equal(troubles().length, 1)
  assert.equal(await serial(), first)
  await replace(files, { key: next.key })
  await until(async () => {
    await clock.advance(5_000)
    return (await serial()) !== first
  }, 'the pair is whole')
})

test('An authority that is taken out of ca is believed no longer, and never nobody is verified', async (t) => {
  const files = await makeFiles(t)
  const ca = join(files.directory, 'clients.pem')
  await writeFile(ca, files.authority.cert + files.other.cert)
  const { port, clock, log } = await listen(t, settingsOf(files.server, { ca, clientAuth: 'verify' }))
  const client = { ca: files.authority.cert, ...pairOf(await files.other.issue('client')) }
  assert.equal(await ask(port, client), '200')
  await writeFile(ca, '')
  await until(async () => {
    await clock.advance(5_000)
    return log.lines.some(({ level }) => level === 'error')
  }, 'the trouble is seen')
  assert.match(await ask(port, { ca: files.authority.cert }), REFUSED)
  await writeFile(ca, files.authority.cert)
  await until(async () => {
    await clock.advance(5_000)
    return (await ask(port, client)) !== '200'
  }, 'the change counts')
})

const DAY_MS = 86_400_000
const expiries: [days: number, says: RegExp | undefined][] = [
  [20, undefined],
  [15, undefined],
  [13.5, /^the certificate for clients expires on \S+, in 13 days$/],
  [1.5, /^the certificate for clients expires on \S+, in 1 day$/],
  [-1, /^the certificate for clients expired on \S+$/],
]
for (const [days, says] of expiries) {
  test(`A certificate with ${days} days left is ${says === undefined ? 'not ' : ''}warned of, at start and once a day`, async (t) => {
    const files = await makeFiles(t)
    const to = new Date(Math.floor(Date.now() / 1000) * 1000 + days * DAY_MS)
    const certificate = await files.authority.issueFor({ from: new Date(to.getTime() - 30 * DAY_MS), to }, '127.0.0.1')
    const { log, clock, tls } = await listen(t, settingsOf(certificate))
    const warnings = () => log.lines.filter(({ level }) => level === 'warn')
    assert.equal(tls.expiresMs, to.getTime())
    await until(() => clock.sleeping > 0, 'the first look is over')
    assert.equal(warnings().length, says === undefined ? 0 : 1)
    if (says === undefined) return
    assert.match(warnings()[0]?.message ?? '', says)
    for (let waited = 0; waited < DAY_MS && warnings().length < 2; waited += 5_000) {
      await until(() => clock.sleeping > 0, 'it sleeps')
      await clock.advance(waited === 0 ? DAY_MS - 5_000 : 5_000)
    }
    assert.equal(warnings().length, 2)
  })
}

const holders: [what: string, hold: (t: TestContext, port: number, options: ConnectionOptions) => Promise<Socket>][] = [
  ['connections', handshake],
  [
    'handshakes that it does not begin',
    async (t, port) => {
      const socket = connectPlain(port, outside)
      t.after(() => socket.destroy())
      await once(socket, 'connect')
      return socket
    },
  ],
]
for (const [what, hold] of holders) {
  test(
    `A client that holds a quarter of maxConnections in ${what} gets no more of them over TLS; others do, and it does when one has ended`,
    NEEDS_OUTSIDE,
    async (t) => {
      const files = await makeFiles(t)
      const certificate = await files.authority.issue('127.0.0.1', String(outside))
      const limits = { host: '0.0.0.0', maxConnections: 20 }
      const { port, log } = await listen(t, settingsOf(certificate), undefined, undefined, limits)
      const ca = files.authority.cert
      const fromOutside = { host: outside, ca }
      const held = await Promise.all(Array.from({ length: 5 }, () => hold(t, port, fromOutside)))
      const warned = () => log.lines.filter(({ message }) => message.startsWith('too many connections of one client'))
      assert.match(await ask(port, fromOutside), REFUSED)
      assert.deepEqual(
        warned().map(({ fields }) => fields),
        [{ most: 20, client: outside }],
      )
      assert.equal(await ask(port, { ca }), '200', 'this host is served')
      held[0]?.destroy()
      await until(async () => (await ask(port, fromOutside)) === '200', 'another one is served')
    },
  )
}
