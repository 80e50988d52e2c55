/** What `/health` says, and where. */
import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { parseRegistry } from '../../src/oci/name.ts'
import { answerHealth, type HealthReport, type HealthState, healthReport } from '../../src/server/health.ts'
import type { StorageTrouble } from '../../src/store/space.ts'
import type { UpstreamHealth } from '../../src/upstream/upstream.ts'
import { freePort } from '../e2e/support/ports.ts'
import { startFakeRegistry } from '../support/fake-registry.ts'
import { temporaryDirectory } from '../support/files.ts'
import { RawConnection } from '../support/raw-http.ts'
import { entry } from '../support/server.ts'
import { get, serve } from '../support/service.ts'
import { until } from '../support/until.ts'

function state(changes: Partial<HealthState> = {}): HealthState {
  return { isLoaded: true, storage: undefined, upstreams: [], ...changes }
}

function upstream(name: string, health: UpstreamHealth) {
  return { registry: parseRegistry(name), health: () => health }
}

test('A server without any trouble is well', () => {
  const upstreams = [upstream('docker.io', { state: 'well' }), upstream('quay.io', { state: 'troubled', why: 'it failed once' })]
  assert.deepEqual(healthReport(state({ upstreams })), { status: 'ok', reasons: [] })
})

const storage: [kind: StorageTrouble['kind'], told: string][] = [
  ['full', 'store-full'],
  ['readOnly', 'store-read-only'],
  ['held', 'store-held'],
  ['failing', 'store-failing'],
]
for (const [kind, told] of storage) {
  test(`The health of a server whose store has the trouble "${kind}" is degraded, and says why`, () => {
    const { status, reasons } = healthReport(state({ storage: { kind, why: 'why of pid 7' } }))
    assert.equal(status, 'degraded')
    assert.deepEqual(
      reasons.map((reason) => reason.kind),
      [told],
    )
    if (kind === 'held') assert.doesNotMatch(reasons[0]?.why ?? '', /pid/, 'by whom, is for the log')
    else assert.equal(reasons[0]?.why, 'why of pid 7')
  })
}

test('A catalog that is not complete yet is a reason', () => {
  assert.deepEqual(
    healthReport(state({ isLoaded: false })).reasons.map(({ kind }) => kind),
    ['catalog-loading'],
  )
})

test('A registry whose circuit is open is a reason, by its name and without its address', () => {
  const why = 'connect ECONNREFUSED 10.1.2.3:443 with user me:secret'
  const report = healthReport(
    state({
      upstreams: [
        upstream('quay.io', { state: 'down', why, retryInMs: 1234.5, since: 1 }),
        upstream('docker.io', { state: 'troubled', why, retryInMs: 60_000 }),
      ],
    }),
  )
  assert.deepEqual(
    report.reasons.map(({ kind, registry, retryInMs }) => [kind, registry, retryInMs]),
    [
      ['upstream-down', 'quay.io', 1235],
      ['upstream-paused', 'docker.io', 60_000],
    ],
  )
  assert.doesNotMatch(JSON.stringify(report), /secret|10\.1\.2\.3/)
})

async function ask(port: number, target: string, method = 'GET') {
  const connection = await RawConnection.open(port)
  try {
    return await connection.ask({ target, method })
  } finally {
    connection.close()
  }
}

test('The health port answers GET and HEAD of /health, and nothing else', async (t) => {
  const health = await freePort()
  const service = await serve(t, { imagePath: await temporaryDirectory(t), health })
  await until(async () => (await ask(health, '/health')).body.includes('"ok"'), 'the catalog is loaded')
  const report = await ask(health, '/health')
  assert.equal(report.status, 200)
  assert.equal(report.header('content-type'), 'application/json')
  assert.equal(report.header('cache-control'), 'no-store')
  assert.deepEqual(JSON.parse(report.body.toString()), { status: 'ok', reasons: [] })
  assert.equal((await ask(health, '/health?verbose=1')).status, 200)
  const head = await ask(health, '/health', 'HEAD')
  assert.deepEqual([head.status, head.body.byteLength, head.header('content-length')], [200, 0, report.header('content-length')])
  const post = await ask(health, '/health', 'POST')
  assert.deepEqual([post.status, post.header('allow')], [405, 'GET, HEAD'])
  for (const target of ['/', '/v2/', '/healthy', '/health/x', '/metrics']) assert.equal((await ask(health, target)).status, 404, target)
  assert.equal((await ask(service.port, '/health')).status, 404, 'not on the port for pulls')
  await service.stop()
  await assert.rejects(RawConnection.open(health), { code: 'ECONNREFUSED' })
})

test('A health port that is the port for pulls is answered there, beside the pull API', async (t) => {
  const hub = await startFakeRegistry(t)
  const { bytes } = hub.addImage('health', '1')
  const port = await freePort()
  const service = await serve(t, { imagePath: await temporaryDirectory(t), port, health: port, registries: [entry(hub, 'quay.io')] })
  assert.equal((await ask(port, '/health')).status, 200)
  assert.equal((await ask(port, '/v2/')).status, 200)
  assert.ok((await ask(port, '/v2/health/manifests/1?ns=quay.io')).body.equals(bytes))
  await service.stop()
})

test('A server that cannot have its health port does not start, and lets go of its store and its port', async (t) => {
  const [imagePath, port] = [await temporaryDirectory(t), await freePort()]
  const first = await serve(t, { imagePath: await temporaryDirectory(t) })
  await assert.rejects(serve(t, { imagePath, port, health: first.port }), { code: 'EADDRINUSE', port: first.port })
  const second = await serve(t, { imagePath, port })
  assert.deepEqual(
    second.log.lines.filter(({ level }) => level === 'error'),
    [],
  )
})

test('A registry that is down degrades the health, which is 200 all the same, and what is cached is served', async (t) => {
  const hub = await startFakeRegistry(t)
  const { bytes } = hub.addImage('app', '1')
  const health = await freePort()
  const service = await serve(t, { imagePath: await temporaryDirectory(t), health, registries: [entry(hub, 'quay.io')] })
  assert.ok((await get(service, '/v2/app/manifests/1?ns=quay.io')).body.equals(bytes))
  await hub.stop()
  for (let i = 0; i < 3; i++) await get(service, `/v2/app/manifests/absent${i}?ns=quay.io`)
  const answer = await ask(health, '/health')
  const report = JSON.parse(answer.body.toString()) as HealthReport
  assert.equal(answer.status, 200)
  assert.equal(report.status, 'degraded')
  assert.deepEqual(
    report.reasons.map(({ kind, registry }) => [kind, registry]),
    [['upstream-down', 'quay.io']],
  )
  assert.ok(!answer.body.includes(hub.host))
  assert.equal((await get(service, '/v2/app/manifests/1?ns=quay.io')).header('cache-status'), 'ociregistry; hit')
  await service.stop()
})

test('The probe for liveness says that the server answers, and the one for readiness waits for the catalog', async () => {
  const server = createServer((req, res) => answerHealth(req, res, async () => state({ isLoaded })))
  let isLoaded = false
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const statuses = () => Promise.all(['/livez', '/readyz', '/health'].map(async (target) => (await ask(port, target)).status))
  assert.deepEqual(await statuses(), [200, 503, 200])
  assert.match((await ask(port, '/readyz')).body.toString(), /catalog-loading/)
  isLoaded = true
  assert.deepEqual(await statuses(), [200, 200, 200])
  server.close()
})

test('A registry that is down and a store that is full leave every probe at 200', async () => {
  const upstreams = [upstream('quay.io', { state: 'down' })]
  const full = state({ storage: { kind: 'full', why: 'the disk is full' }, upstreams })
  const server = createServer((req, res) => answerHealth(req, res, async () => full))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  for (const target of ['/livez', '/readyz', '/health']) assert.equal((await ask(port, target)).status, 200, target)
  server.close()
})
