import assert from 'node:assert/strict'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { connect, createServer, type SecureContext } from 'node:tls'
import { Trust } from '../../src/upstream/trust.ts'
import { type Authority, type Certificate, makeAuthority } from '../support/certificates.ts'
import { temporaryDirectory } from '../support/files.ts'

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

const UNKNOWN = 'UNABLE_TO_VERIFY_LEAF_SIGNATURE'

test("the system's store is the first bundle that exists", async (t) => {
  const { one, two } = await authorities(t)
  const trust = new Trust({ env: {}, bundles: ['/does/not/exist', one.certPath, two.certPath] })
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
  const context = await new Trust({ env, bundles: [three.certPath] }).context({ system: true })
  assert.equal(await verdict(t, context, await one.issue('127.0.0.1')), undefined)
  assert.equal(await verdict(t, context, await two.issue('127.0.0.1')), undefined)
  assert.equal(await verdict(t, context, await three.issue('127.0.0.1')), UNKNOWN)
})

test("a CA of one's own replaces the system's store, or joins it", async (t) => {
  const { one, two } = await authorities(t)
  const trust = new Trust({ env: {}, bundles: [one.certPath] })
  const leaves = [await one.issue('127.0.0.1'), await two.issue('127.0.0.1')] as const
  const alone = await trust.context({ ca: two.certPath, system: false })
  assert.deepEqual([await verdict(t, alone, leaves[0]), await verdict(t, alone, leaves[1])], [UNKNOWN, undefined])
  const both = await trust.context({ ca: two.certPath, system: true })
  assert.deepEqual([await verdict(t, both, leaves[0]), await verdict(t, both, leaves[1])], [undefined, undefined])
})

test("Node's own list counts where the system has none", async (t) => {
  const { one } = await authorities(t)
  const context = await new Trust({ env: {}, bundles: [] }).context({ system: true })
  assert.equal(await verdict(t, context, await one.issue('127.0.0.1')), UNKNOWN)
})

test('equal settings share one context, others do not', async (t) => {
  const { one, two } = await authorities(t)
  const trust = new Trust({ env: {}, bundles: [one.certPath] })
  assert.equal(await trust.context({ system: true }), await trust.context({ system: true }))
  assert.notEqual(await trust.context({ system: true }), await trust.context({ system: true, ca: two.certPath }))
})

test('a file that cannot be used is named, and used once it can be', async (t) => {
  const { directory, one } = await authorities(t)
  const trust = new Trust({ env: {}, bundles: [] })
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
  const context = new Trust({ env: {}, bundles: [] }).context({ system: true, cert: one.certPath, key: two.keyPath })
  await assert.rejects(context, { kind: 'tls', message: new RegExp(`^cannot use ${one.certPath}, ${two.keyPath}: .*key values mismatch`) })
})

test('an SSL_CERT_FILE that is not there is said, and read once it is', async (t) => {
  const { one } = await authorities(t)
  const env = { SSL_CERT_FILE: `${one.certPath}.moved` }
  const trust = new Trust({ env, bundles: [] })
  await assert.rejects(trust.context({ system: true }), { kind: 'tls', message: `cannot read ${one.certPath}.moved: ENOENT` })
  await writeFile(`${one.certPath}.moved`, one.cert)
  assert.equal(await verdict(t, await trust.context({ system: true }), await one.issue('127.0.0.1')), undefined)
})
