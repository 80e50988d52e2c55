/** The whole service with TLS to clients: pulls and the admin API on their port by https, side ports by plain HTTP. */
import assert from 'node:assert/strict'
import { copyFile, writeFile } from 'node:fs/promises'
import { Agent, request } from 'node:https'
import { join } from 'node:path'
import { test } from 'node:test'
import type { ServerTlsConfig } from '../../src/config/config.ts'
import { freePort } from '../e2e/support/ports.ts'
import { type Authority, makeAuthority } from '../support/certificates.ts'
import { ManualClock } from '../support/clock.ts'
import { temporaryDirectory } from '../support/files.ts'
import { RawConnection } from '../support/raw-http.ts'
import { CONFIG, serve } from '../support/service.ts'
import { until } from '../support/until.ts'

function get(
  port: number,
  path: string,
  { cert: ca }: Authority,
  agent: Agent | false = false,
): Promise<{ readonly status: number | undefined; readonly body: string }> {
  return new Promise((resolve, reject) => {
    const asking = request({ host: '127.0.0.1', port, path, ca, agent }, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.once('end', () => resolve({ status: response.statusCode, body: Buffer.concat(chunks).toString() }))
    })
    asking.once('error', reject).end()
  })
}

async function plain(port: number, target: string): Promise<number> {
  const connection = await RawConnection.open(port)
  try {
    return (await connection.ask({ target })).status
  } finally {
    connection.close()
  }
}

async function certificatesIn(directory: string): Promise<{ authority: Authority; serverTls: ServerTlsConfig }> {
  const authority = await makeAuthority(directory)
  const { certPath: cert, keyPath: key } = await authority.issue('127.0.0.1')
  return { authority, serverTls: { cert, key, ca: undefined, clientAuth: 'none' } }
}

test('Images and the admin API come by https; a request by plain http is 400', async (t) => {
  const { authority, serverTls } = await certificatesIn(await temporaryDirectory(t))
  const { port } = await serve(t, { helloWorld: true, serverTls })
  const manifest = await get(port, '/v2/hello-world/manifests/latest', authority)
  assert.equal(manifest.status, 200)
  assert.match(manifest.body, /^\{"schemaVersion":2,/)
  assert.equal((await get(port, '/cmd/status', authority)).status, 200)
  const connection = await RawConnection.open(port)
  connection.send({ target: '/v2/' })
  assert.match((await connection.rest()).bytes.toString(), /^HTTP\/1\.1 400 /)
})

test('Health and the admin API on ports of their own stay plain HTTP beside TLS', async (t) => {
  const { authority, serverTls } = await certificatesIn(await temporaryDirectory(t))
  const [health, admin] = [await freePort(), await freePort()]
  const { port } = await serve(t, { helloWorld: true, serverTls, health, admin: { tokenFile: undefined, port: admin } })
  assert.deepEqual([await plain(health, '/health'), await plain(admin, '/cmd/status')], [200, 200])
  assert.equal((await get(port, '/v2/', authority)).status, 200)
})

test('A service whose certificates cannot be used does not start, and leaves its store to others', async (t) => {
  const directory = await temporaryDirectory(t)
  const { serverTls } = await certificatesIn(directory)
  const ca = join(directory, 'nothing.pem')
  await writeFile(ca, 'nothing')
  const broken = serve(t, { imagePath: directory, serverTls: { ...serverTls, ca, clientAuth: 'verify' } })
  await assert.rejects(broken, { message: `${ca} holds no certificate in PEM` })
  await serve(t, { imagePath: directory, serverTls })
})

test('A reload puts other certificates in the place of those before: connections that are open go on, others see the new one', async (t) => {
  const [one, two] = [await temporaryDirectory(t), await temporaryDirectory(t)]
  const [before, after] = [await certificatesIn(one), await certificatesIn(two)]
  const metrics = await freePort()
  const config = { imagePath: await temporaryDirectory(t), serverTls: before.serverTls, metrics }
  const { port, reload, log } = await serve(t, config)
  const agent = new Agent({ keepAlive: true, maxSockets: 1, ca: before.authority.cert })
  t.after(() => agent.destroy())
  assert.equal((await get(port, '/v2/', before.authority, agent)).status, 200)
  await reload({ ...CONFIG, ...config, serverTls: after.serverTls })
  assert.equal((await get(port, '/v2/', before.authority, agent)).status, 200, 'on the connection that is open')
  assert.equal((await get(port, '/v2/', after.authority)).status, 200)
  await assert.rejects(get(port, '/v2/', before.authority), /certificate/)
  const { serverTls } = await certificatesIn(await temporaryDirectory(t))
  const broken = reload({ ...CONFIG, ...config, airGapped: true, serverTls: { ...serverTls, key: after.serverTls.key } })
  await assert.rejects(broken, { name: 'ConfigError', message: /^serverTlsConfig: the key .* does not belong to the certificate / })
  assert.equal((await get(port, '/v2/', after.authority)).status, 200, 'nothing has changed')
  assert.deepEqual(
    log.lines.filter(({ level }) => level === 'error'),
    [],
  )
})

test('After a reload the files that count are those that are looked at', async (t) => {
  const clock = new ManualClock(Date.now())
  const [one, two] = [await temporaryDirectory(t), await temporaryDirectory(t)]
  const [before, after] = [await certificatesIn(one), await certificatesIn(two)]
  const config = { imagePath: await temporaryDirectory(t), serverTls: before.serverTls }
  const { port, reload, stop } = await serve(t, config, { clock })
  await reload({ ...CONFIG, ...config, serverTls: after.serverTls })
  const next = await certificatesIn(await temporaryDirectory(t))
  for (const name of ['cert', 'key'] as const) {
    await copyFile(next.serverTls[name], before.serverTls[name])
    await copyFile(next.serverTls[name], after.serverTls[name])
  }
  await until(async () => {
    await clock.advance(5_000)
    return (await get(port, '/v2/', next.authority).catch(() => undefined))?.status === 200
  }, 'the renewed certificate counts')
  await copyFile((await certificatesIn(await temporaryDirectory(t))).serverTls.cert, before.serverTls.cert)
  await clock.advance(60_000)
  assert.equal((await get(port, '/v2/', next.authority)).status, 200, 'what counted before is looked at no more')
  const stopped = stop()
  await clock.advance(60_000)
  await stopped
})
