/** `/metrics` of the whole service: what it says after pulls, and where it is to be had. */
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type { Config } from '../../src/config/config.ts'
import { freePort } from '../e2e/support/ports.ts'
import { startFakeRegistry } from '../support/fake-registry.ts'
import { temporaryDirectory } from '../support/files.ts'
import { RawConnection } from '../support/raw-http.ts'
import { entry } from '../support/server.ts'
import { get, serve } from '../support/service.ts'
import { until } from '../support/until.ts'

async function ask(port: number, target: string, method = 'GET') {
  const connection = await RawConnection.open(port)
  try {
    return await connection.ask({ target, method })
  } finally {
    connection.close()
  }
}

async function servedWithMetrics(t: TestContext, config: Partial<Config> = {}) {
  const hub = await startFakeRegistry(t)
  const metrics = await freePort()
  const service = await serve(t, { imagePath: await temporaryDirectory(t), metrics, registries: [entry(hub, 'quay.io')], ...config })
  const lines = async () => (await ask(metrics, '/metrics')).body.toString().split('\n')
  /** Waits for a line: a request is counted when its answer has left. */
  const shows = (line: string) => until(async () => (await lines()).includes(line), line)
  return { hub, metrics, service, lines, shows }
}

test('Metrics tell of pulls, downloads, the catalog, registries and the process', async (t) => {
  const { hub, service, lines, shows } = await servedWithMetrics(t, {
    budget: { maxBytes: 1_000_000, highBytes: 900_000, lowBytes: 800_000 },
    prefetch: false,
  })
  const { layers, bytes } = hub.addImage('app', '1')
  const [layer = ''] = layers
  const blob = `/v2/app/blobs/${layer}?ns=quay.io`
  for (const target of [
    '/v2/app/manifests/1?ns=quay.io',
    '/v2/app/manifests/1?ns=quay.io',
    blob,
    blob,
    '/v2/app/manifests/2?ns=quay.io',
    '/v2/',
  ])
    await get(service, target)
  await shows('ociregistry_requests_total{route="ping",status="200",cache="none"} 1')
  const wanted = [
    'ociregistry_requests_total{route="manifest",status="200",cache="miss"} 1',
    'ociregistry_requests_total{route="manifest",status="200",cache="hit"} 1',
    'ociregistry_requests_total{route="manifest",status="404",cache="miss"} 1',
    'ociregistry_requests_total{route="blob",status="200",cache="hit"} 1',
    'ociregistry_first_byte_seconds_count{route="blob"} 2',
    'ociregistry_last_byte_seconds_count{route="manifest"} 3',
    'ociregistry_manifest_pulls_total 3',
    'ociregistry_blob_pulls_total 2',
    'ociregistry_api_errors_total 1',
    'ociregistry_v2_api_endpoint_hits_total 6',
    'ociregistry_cached_pulls_by_ns_total{ns="quay.io"} 1',
    'ociregistry_upstream_pulls_by_ns{ns="quay.io"} 2',
    'containerd_cache_total{result="hit"} 2',
    'containerd_cache_total{result="miss"} 2',
    'containerd_cache_total{result="skip"} 1',
    `ociregistry_received_bytes_total{kind="manifest"} ${bytes.byteLength}`,
    `ociregistry_received_bytes_total{kind="blob"} ${hub.bytesSent(layer)}`,
    'ociregistry_received_bytes_total{kind="list"} 0',
    'ociregistry_fills_total{event="started"} 1',
    'ociregistry_fills_failed_total{cause="corrupt"} 0',
    'ociregistry_circuit_state{registry="quay.io"} 0',
    'ociregistry_ready 1',
    'ociregistry_cached_manifest_count 1',
    `ociregistry_manifest_bytes_on_disk_total ${bytes.byteLength}`,
    'ociregistry_store_budget_bytes 1000000',
    'ociregistry_store_trouble{kind="full"} 0',
    'ociregistry_build_info{version="1.2.3"} 1',
  ]
  const found = await lines()
  for (const line of wanted) assert.ok(found.includes(line), line)
  for (const name of ['nodejs_eventloop_lag_p99_seconds', 'process_resident_memory_bytes', 'process_cpu_seconds_total'])
    assert.ok(
      found.some((line) => line.startsWith(`${name} `)),
      name,
    )
  await service.stop()
})

test('A blob that is wrong counts as a download that failed, and a registry that is down shows as such', async (t) => {
  const { hub, service, shows } = await servedWithMetrics(t, { prefetch: false })
  const { layers } = hub.addImage('app', '1')
  const [layer = ''] = layers
  await hub.stop()
  for (let i = 0; i < 3; i++) await get(service, `/v2/app/manifests/absent${i}?ns=quay.io`)
  await get(service, `/v2/app/blobs/${layer}?ns=quay.io`)
  await shows('ociregistry_circuit_state{registry="quay.io"} 2')
  await shows('ociregistry_fills_failed_total{cause="circuitOpen"} 1')
  await service.stop()
})

test('The metrics port answers GET and HEAD of /metrics, and nothing else', async (t) => {
  const { metrics, service } = await servedWithMetrics(t)
  const answer = await ask(metrics, '/metrics')
  assert.equal(answer.status, 200)
  assert.match(answer.header('content-type') ?? '', /^text\/plain; version=0\.0\.4/)
  assert.equal((await ask(metrics, '/metrics', 'HEAD')).body.byteLength, 0)
  assert.equal((await ask(metrics, '/metrics', 'POST')).status, 405)
  for (const target of ['/', '/v2/', '/health', '/metrics/x']) assert.equal((await ask(metrics, target)).status, 404, target)
  assert.equal((await get(service, '/metrics')).status, 404, 'not on the port for pulls')
  await service.stop()
})

test('Health, metrics and pulls may share a port', async (t) => {
  const port = await freePort()
  const service = await serve(t, { imagePath: await temporaryDirectory(t), port, health: port, metrics: port })
  for (const target of ['/health', '/livez', '/metrics', '/v2/']) assert.equal((await ask(port, target)).status, 200, target)
  await service.stop()
})

test('Registries that clients make up get no label of their own', async (t) => {
  const { service, lines, shows } = await servedWithMetrics(t)
  for (let i = 0; i < 60; i++) await get(service, `/v2/app/manifests/1?ns=127.0.0.${i + 1}:5000`)
  await shows('ociregistry_upstream_pulls_by_ns{ns="other"} 60')
  assert.deepEqual(
    (await lines()).filter((line) => line.includes('127.0.0.')),
    [],
  )
  await service.stop()
})

test('An id that a request brings goes back to its client, and into every line about it; no secret of it does', async (t) => {
  const { hub, service } = await servedWithMetrics(t)
  await hub.stop()
  const headers = { 'x-request-id': 'build-7.step:3', authorization: 'Bearer hunter2' }
  const answer = await get(service, '/v2/app/manifests/1?ns=quay.io&token=hunter2', { headers })
  assert.equal(answer.header('x-request-id'), 'build-7.step:3')
  await until(() => service.log.lines.some(({ message }) => message === 'GET quay.io/app:1'), 'it is logged')
  const about = service.log.lines.filter(({ fields }) => fields.request === 'build-7.step:3').map(({ message }) => message)
  assert.deepEqual(about, ['upstream failed', 'GET quay.io/app:1'])
  assert.doesNotMatch(JSON.stringify(service.log.lines), /hunter2/)
  const own = (await get(service, '/v2/')).header('x-request-id')
  assert.match(own ?? '', /^[0-9a-f]{12}-\d+$/)
  await service.stop()
})
