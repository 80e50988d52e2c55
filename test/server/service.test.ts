/** The service as `serve` starts it: every part, in order, and gone again. */
import assert from 'node:assert/strict'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { systemClock } from '../../src/observe/clock.ts'
import { parseRegistry } from '../../src/oci/name.ts'
import { StoreLock } from '../../src/store/lock.ts'
import { startFakeRegistry } from '../support/fake-registry.ts'
import { temporaryDirectory } from '../support/files.ts'
import { RawConnection } from '../support/raw-http.ts'
import { entry } from '../support/server.ts'
import { get, serve } from '../support/service.ts'

test('the service pulls, stores, stops, and starts again with everything there', async (t) => {
  const hub = await startFakeRegistry(t)
  const { layers, bytes } = hub.addImage('library/alpine', '3')
  const imagePath = join(await temporaryDirectory(t), 'new', 'directory')
  const registries = [entry(hub, 'docker.io')]
  const first = await serve(t, { imagePath, registries })
  assert((await get(first, '/v2/alpine/manifests/3')).body.equals(bytes))
  assert.equal((await get(first, `/v2/alpine/blobs/${layers[0]}`)).status, 200)
  await first.stop()
  await assert.rejects(RawConnection.open(first.port), { code: 'ECONNREFUSED' })
  assert.deepEqual((await readdir(imagePath)).sort(), ['blobs', 'fat', 'img', 'pulls', 'quarantine', 'refs'])
  await hub.stop()
  const second = await serve(t, { imagePath, registries })
  for (const path of ['manifests/3', `blobs/${layers[0]}`]) {
    assert.equal((await get(second, `/v2/alpine/${path}`)).header('cache-status'), 'ociregistry; hit')
  }
  await second.stop()
})

test('the service lets go of the store when it cannot listen', async (t) => {
  const imagePath = await temporaryDirectory(t)
  const first = await serve(t, { imagePath: await temporaryDirectory(t) })
  await assert.rejects(serve(t, { imagePath, port: first.port }), { code: 'EADDRINUSE' })
  const lock = await StoreLock.acquire(imagePath, {
    self: { program: 'test', version: '1', pid: 1, hostname: 'h' },
    waitMs: 0,
    clock: systemClock,
  })
  await lock.release()
  await first.stop()
})

test('the service holds the store while it runs', async (t) => {
  const imagePath = await temporaryDirectory(t)
  const service = await serve(t, { imagePath })
  const self = { program: 'test', version: '1', pid: 1, hostname: 'h' }
  await assert.rejects(StoreLock.acquire(imagePath, { self, waitMs: 0, clock: systemClock }), { name: 'StoreLockedError' })
  await service.stop()
})

test('the service knows its own names: ns of localhost and of its addresses counts as absent, also behind another Host', async (t) => {
  const hub = await startFakeRegistry(t)
  const { bytes } = hub.addImage('library/alpine', '3')
  const service = await serve(t, { imagePath: await temporaryDirectory(t), registries: [entry(hub, 'docker.io')] })
  for (const ns of [`localhost:${service.port}`, `127.0.0.1:${service.port}`, `LOCALHOST:${service.port}`, 'cache.example']) {
    const response = await get(service, `/v2/alpine/manifests/3?ns=${encodeURIComponent(ns)}`, { headers: { host: 'cache.example' } })
    assert(response.body.equals(bytes), ns)
    assert.equal(response.header('oci-namespace'), undefined)
  }
  await service.stop()
})

test('the service refuses its own Via, which differs from that of another instance', async (t) => {
  const hub = await startFakeRegistry(t)
  const start = async () => serve(t, { imagePath: await temporaryDirectory(t), registries: [entry(hub, 'quay.io')] })
  const services = [await start(), await start()]
  for (const service of services) await get(service, '/v2/x/manifests/1?ns=quay.io')
  const vias = hub.requests().map(({ headers }) => String(headers.via))
  assert.equal(new Set(vias).size, 2)
  for (const [i, service] of services.entries()) {
    for (const [j, via] of vias.entries()) assert.equal((await get(service, '/v2/', { headers: { via } })).status, i === j ? 403 : 200)
    await service.stop()
  }
})

test('names and aliases are those of the configuration; defaultNs may be an alias', async (t) => {
  const quay = await startFakeRegistry(t)
  const { bytes } = quay.addImage('app', '1')
  const registries = [entry(quay, 'quay.io', 'q')]
  const config = { imagePath: await temporaryDirectory(t), registries, defaultNs: parseRegistry('q') }
  const service = await serve(t, config)
  for (const target of ['/v2/app/manifests/1', '/v2/q/app/manifests/1', '/q/v2/app/manifests/1', '/v2/app/manifests/1?ns=Q']) {
    assert((await get(service, target)).body.equals(bytes), target)
  }
  assert.equal(quay.count(), 1)
  await service.stop()
})

test('stopping twice is harmless', async (t) => {
  const service = await serve(t, { imagePath: await temporaryDirectory(t) })
  await Promise.all([service.stop(), service.stop()])
  await service.stop()
})
