import assert from 'node:assert/strict'
import { mkdir, rename, rm, writeFile } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { connect, createServer, type SecureContext } from 'node:tls'
import { systemClock } from '../../src/observe/clock.ts'
import { Trust, type TrustOptions } from '../../src/upstream/trust.ts'
import { type Authority, type Certificate, EXPIRED, makeAuthority, NOT_YET_VALID } from '../support/certificates.ts'
import { ManualClock } from '../support/clock.ts'
import { temporaryDirectory } from '../support/files.ts'
import { MemoryLog } from '../support/log.ts'

type After = { after(run: () => unknown): void }

/** Why a connection with this context to a server with that certificate fails; undefined if it stands. */
async function verdict(t: After, secureContext: SecureContext, { cert, key }: Certificate): Promise<string | undefined> {
  const server = createServer({ cert, key }, (socket) => socket.on('error', () => {}).end())
  t.after(() => server.close())
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return new Promise((resolve) => {
    const { port } = server.address() as AddressInfo
    const socket = connect({ port, host: '127.0.0.1', secureContext }, () => resolve(socket.destroy() && undefined))
    socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code))
  })
}

async function authorities(t: After): Promise<{ directory: string; one: Authority; two: Authority }> {
  const directory = await temporaryDirectory(t)
  return { directory, one: await makeAuthority(directory, 'one'), two: await makeAuthority(directory, 'two') }
}

function trustOf(options: Pick<TrustOptions, 'env' | 'bundles'>): Trust & { readonly clock: ManualClock; readonly log: MemoryLog } {
  const [clock, log] = [new ManualClock(), new MemoryLog()]
  return Object.assign(new Trust({ ...options, clock, log }), { clock, log })
}

const UNKNOWN = 'UNABLE_TO_VERIFY_LEAF_SIGNATURE'

test("the system's store is the first bundle that exists", async (t) => {
  const { one, two } = await authorities(t)
  const trust = trustOf({ env: {}, bundles: ['/does/not/exist', one.certPath, two.certPath] })
  const context = await trust.context({ system: true })
  assert.equal(await verdict(t, context, await one.issue('127.0.0.1')), undefined)
  assert.equal(await verdict(t, context, await two.issue('127.0.0.1')), UNKNOWN)
})

test('SSL_CERT_FILE and SSL_CERT_DIR replace the bundles, and both count', async (t) => {
  const { directory, one, two } = await authorities(t)
  const three = await makeAuthority(directory, 'three')
  const certificates = join(directory, 'certs')
  await mkdir(certificates)
  await writeFile(join(certificates, 'two.pem'), two.cert)
  await writeFile(join(certificates, 'README'), 'no certificate')
  const env = { SSL_CERT_FILE: one.certPath, SSL_CERT_DIR: `/does/not/exist:${certificates}` }
  const context = await trustOf({ env, bundles: [three.certPath] }).context({ system: true })
  assert.equal(await verdict(t, context, await one.issue('127.0.0.1')), undefined)
  assert.equal(await verdict(t, context, await two.issue('127.0.0.1')), undefined)
  assert.equal(await verdict(t, context, await three.issue('127.0.0.1')), UNKNOWN)
})

test("a CA of one's own replaces the system's store, or joins it", async (t) => {
  const { one, two } = await authorities(t)
  const trust = trustOf({ env: {}, bundles: [one.certPath] })
  const leaves = [await one.issue('127.0.0.1'), await two.issue('127.0.0.1')] as const
  const alone = await trust.context({ ca: two.certPath, system: false })
  assert.deepEqual([await verdict(t, alone, leaves[0]), await verdict(t, alone, leaves[1])], [UNKNOWN, undefined])
  const both = await trust.context({ ca: two.certPath, system: true })
  assert.deepEqual([await verdict(t, both, leaves[0]), await verdict(t, both, leaves[1])], [undefined, undefined])
})

test("Node's own list counts where the system has none", async (t) => {
  const { one } = await authorities(t)
  const context = await trustOf({ env: {}, bundles: [] }).context({ system: true })
  assert.equal(await verdict(t, context, await one.issue('127.0.0.1')), UNKNOWN)
})

test('equal settings share one context, others do not', async (t) => {
  const { one, two } = await authorities(t)
  const trust = trustOf({ env: {}, bundles: [one.certPath] })
  assert.equal(await trust.context({ system: true }), await trust.context({ system: true }))
  assert.notEqual(await trust.context({ system: true }), await trust.context({ system: true, ca: two.certPath }))
})

test('a file that cannot be used is named, and used once it can be', async (t) => {
  const { directory, one } = await authorities(t)
  const trust = trustOf({ env: {}, bundles: [] })
  const ca = join(directory, 'late.pem')
  await assert.rejects(trust.context({ ca, system: false }), { kind: 'tls', message: `cannot read ${ca}: ENOENT` })
  await writeFile(ca, 'nothing')
  await assert.rejects(trust.context({ ca, system: false }), { kind: 'tls', message: `${ca} holds no certificate in PEM` })
  await writeFile(ca, one.cert)
  assert.equal(await verdict(t, await trust.context({ ca, system: false }), await one.issue('127.0.0.1')), undefined)
  await rm(ca)
  assert.ok(await trust.context({ ca, system: false }), 'what was read stays')
})

test('a key that does not fit its certificate is named', async (t) => {
  const { one, two } = await authorities(t)
  const context = trustOf({ env: {}, bundles: [] }).context({ system: true, cert: one.certPath, key: two.keyPath })
  await assert.rejects(context, { kind: 'tls', message: `the key ${two.keyPath} does not belong to the certificate ${one.certPath}` })
})

test('an SSL_CERT_FILE that is not there is said, and read once it is', async (t) => {
  const { one } = await authorities(t)
  const env = { SSL_CERT_FILE: `${one.certPath}.moved` }
  const trust = trustOf({ env, bundles: [] })
  await assert.rejects(trust.context({ system: true }), { kind: 'tls', message: `cannot read ${one.certPath}.moved: ENOENT` })
  await writeFile(`${one.certPath}.moved`, one.cert)
  assert.equal(await verdict(t, await trust.context({ system: true }), await one.issue('127.0.0.1')), undefined)
})

/** Replaced as a person or a tool would: a new file, moved over the old one. */
async function put(path: string, text: string): Promise<void> {
  await writeFile(`${path}.new`, text)
  await rename(`${path}.new`, path)
}

test('a certificate authority that changes counts from the next look on, a second later', async (t) => {
  const { directory, one, two } = await authorities(t)
  const ca = join(directory, 'ca.pem')
  await put(ca, one.cert)
  const settings = { ca, system: false }
  const trust = trustOf({ env: {} })
  const first = await trust.context(settings)
  await put(ca, two.cert)
  await trust.clock.advance(999)
  assert.equal(await trust.context(settings), first)
  await trust.clock.advance(1)
  const second = await trust.context(settings)
  assert.deepEqual(
    [await verdict(t, second, await one.issue('127.0.0.1')), await verdict(t, second, await two.issue('127.0.0.1'))],
    [UNKNOWN, undefined],
  )
  await trust.clock.advance(10_000)
  assert.equal(await trust.context(settings), second, 'the same until the file changes again')
  await put(ca, two.cert)
  await trust.clock.advance(1_000)
  assert.equal(await trust.context(settings), second, 'or is written with the same content')
  assert.deepEqual(trust.log.lines, [])
})

test("the system's bundle, SSL_CERT_FILE and a file that comes into SSL_CERT_DIR count when they change", async (t) => {
  const { directory, one, two } = await authorities(t)
  const [bundle, certs] = [join(directory, 'bundle.pem'), join(directory, 'certs')]
  await mkdir(certs)
  for (const env of [{}, { SSL_CERT_FILE: bundle }, { SSL_CERT_DIR: certs }]) {
    await put(bundle, one.cert)
    await rm(join(certs, 'two.pem'), { force: true })
    const trust = trustOf({ env, bundles: [bundle] })
    assert.equal(await verdict(t, await trust.context({ system: true }), await two.issue('127.0.0.1')), UNKNOWN)
    await put(bundle, two.cert)
    await put(join(certs, 'two.pem'), two.cert)
    await trust.clock.advance(1_000)
    assert.equal(await verdict(t, await trust.context({ system: true }), await two.issue('127.0.0.1')), undefined, JSON.stringify(env))
  }
})

test('while certificate and key are being replaced, one after the other, the old pair stays in use, and one line says so', async (t) => {
  const { directory, one } = await authorities(t)
  const [before, after] = [await one.issue('before'), await one.issue('after')]
  const [cert, key] = [join(directory, 'client.crt'), join(directory, 'client.key')]
  await put(cert, before.cert)
  await put(key, before.key)
  const settings = { system: true, cert, key }
  const trust = trustOf({ env: {}, bundles: [] })
  const first = await trust.context(settings)
  await put(cert, after.cert)
  for (let looks = 0; looks < 3; looks++) {
    await trust.clock.advance(1_000)
    assert.equal(await trust.context(settings), first)
  }
  await put(key, after.key)
  await trust.clock.advance(1_000)
  assert.notEqual(await trust.context(settings), first)
  assert.deepEqual(
    trust.log.lines.map(({ level, message }) => `${level}: ${message}`),
    [
      `error: the changed certificates cannot be used, those read before stay in use: the key ${key} does not belong to the certificate ${cert}`,
      'info: the changed certificates are in use',
    ],
  )
})

const broken: [title: string, text: (good: string) => string, problem: string][] = [
  ['is empty', () => '', 'holds no certificate in PEM'],
  ['is cut off', (good) => good.slice(0, good.length / 2), 'holds a certificate that is cut off'],
  ['is cut off behind its first certificate', (good) => `${good}${good.slice(0, 200)}`, 'holds a certificate that is cut off'],
  ['is damaged', (good) => good.replace(/\n[A-Za-z0-9+/]{10}/, '\nAAAAAAAAAA'), 'holds a certificate that cannot be read: '],
]
for (const [title, text, problem] of broken) {
  test(`a bundle that ${title}: the last good one stays, and the log says why`, async (t) => {
    const { directory, one } = await authorities(t)
    const ca = join(directory, 'ca.pem')
    await put(ca, one.cert)
    const trust = trustOf({ env: {} })
    const good = await trust.context({ ca, system: false })
    await put(ca, text(one.cert))
    await trust.clock.advance(1_000)
    assert.equal(await trust.context({ ca, system: false }), good)
    const [line] = trust.log.lines
    assert.ok(line?.message.includes(`${ca} ${problem}`), line?.message)
    assert.equal(trust.log.lines.length, 1)
  })
}

test('those who ask while the files are looked at share one look', async (t) => {
  const { one } = await authorities(t)
  const trust = trustOf({ env: {} })
  const settings = { ca: one.certPath, system: false }
  const contexts = await Promise.all(Array.from({ length: 10 }, () => trust.context(settings)))
  assert.equal(new Set(contexts).size, 1)
})

test('dates that have passed, or are to come, are told of client certificate and authorities', async (t) => {
  const directory = await temporaryDirectory(t)
  const [good, old, early] = [
    await makeAuthority(directory, 'good'),
    await makeAuthority(directory, 'old', EXPIRED),
    await makeAuthority(directory, 'early', NOT_YET_VALID),
  ]
  const iso = (date: Date) => date.toISOString().replace('.000Z', 'Z')
  const [expired, unborn] = [`expired on ${iso(EXPIRED.to)}`, `is not valid before ${iso(NOT_YET_VALID.from)}`]
  const both = join(directory, 'both.pem')
  await writeFile(both, old.cert + good.cert)
  const client = await good.issueFor(EXPIRED, 'client')
  const clock = { ...systemClock, monotonic: () => 0 }
  const trust = new Trust({ env: {}, bundles: [], clock, log: new MemoryLog() })
  for (const [settings, want] of [
    [{ ca: good.certPath, system: false }, {}],
    [{ ca: old.certPath, system: false }, { ca: expired }],
    [{ ca: early.certPath, system: false }, { ca: unborn }],
    [{ ca: both, system: false }, {}],
    [{ system: true, cert: client.certPath, key: client.keyPath }, { cert: expired }],
  ] as const) {
    await trust.context(settings)
    assert.deepEqual(trust.outdated(settings), want)
  }
})
