/** Serving the built-in image: it under all its names, nothing else, nothing asked of anybody, and nothing left behind. */
import assert from 'node:assert/strict'
import { chown, link, mkdir, readdir, utimes, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import type { Config } from '../../src/config/config.ts'
import { builtInImage } from '../../src/hello/image.ts'
import { parseRegistry } from '../../src/oci/name.ts'
import { makeHelloWorldStore, removeHelloWorldStore } from '../../src/server/hello-world.ts'
import type { Service } from '../../src/server/service.ts'
import { StoreLock } from '../../src/store/lock.ts'
import { ManualClock } from '../support/clock.ts'
import { startFakeRegistry } from '../support/fake-registry.ts'
import { temporaryDirectory } from '../support/files.ts'
import { MemoryLog } from '../support/log.ts'
import { entry } from '../support/server.ts'
import { get, serve } from '../support/service.ts'

const { index, manifests, blobs } = builtInImage()

/** Where this process puts temporary files, until the test ends: a directory of its own. */
async function ownTemporaryDirectory(t: TestContext): Promise<string> {
  const before = process.env.TMPDIR
  const directory = await temporaryDirectory(t)
  process.env.TMPDIR = directory
  t.after(() => {
    if (before === undefined) delete process.env.TMPDIR
    else process.env.TMPDIR = before
  })
  return directory
}

async function serveHelloWorld(t: TestContext, config: Partial<Config> = {}): Promise<Service> {
  await ownTemporaryDirectory(t)
  return serve(t, { helloWorld: true, imagePath: '/nowhere/images', ...config })
}

test('the built-in image is served under all its names', async (t) => {
  const service = await serveHelloWorld(t)
  const targets = [
    '/v2/library/hello-world/manifests/latest',
    '/v2/hello-world/manifests/latest',
    '/v2/docker.io/library/hello-world/manifests/latest',
    '/v2/docker.io/hello-world/manifests/latest',
    '/docker.io/v2/library/hello-world/manifests/latest',
    '/v2/library/hello-world/manifests/latest?ns=docker.io',
    '/v2/library/hello-world/manifests/latest?ns=registry-1.docker.io',
    `/v2/library/hello-world/manifests/${index.digest}`,
  ]
  for (const target of targets) {
    const response = await get(service, target)
    const headers = ['content-type', 'docker-content-digest', 'cache-status', 'warning'].map((name) => response.header(name))
    assert.deepEqual([response.status, ...headers], [200, index.mediaType, index.digest, 'ociregistry; hit', undefined], target)
    assert.ok(response.body.equals(index.bytes), target)
  }
})

test('every part of the built-in image is served by its digest, to HEAD as to GET', async (t) => {
  const service = await serveHelloWorld(t)
  const parts = [
    ...manifests.map((content) => ({ ...content, kind: 'manifests', type: content.mediaType })),
    ...blobs.map((content) => ({ ...content, kind: 'blobs', type: 'application/octet-stream' })),
  ]
  assert.equal(parts.length, 6)
  for (const { kind, type, digest, bytes } of parts) {
    const target = `/v2/library/hello-world/${kind}/${digest}`
    for (const method of ['HEAD', 'GET']) {
      const response = await get(service, target, { method })
      assert.equal(response.status, 200, target)
      assert.deepEqual([response.header('content-type'), response.header('content-length')], [type, String(bytes.length)], target)
      assert.ok(method === 'HEAD' || response.body.equals(bytes), target)
    }
  }
})

test('the built-in image has one tag', async (t) => {
  const service = await serveHelloWorld(t)
  const response = await get(service, '/v2/hello-world/tags/list')
  assert.deepEqual([response.status, response.json()], [200, { name: 'library/hello-world', tags: ['latest'] }])
  assert.equal(response.header('warning'), undefined)
})

test('beside the built-in image everything is 404, and no registry is asked, whatever is configured', async (t) => {
  const hub = await startFakeRegistry(t)
  const { layers, digest } = hub.addImage('library/alpine', 'latest')
  hub.addImage('library/hello-world', 'linux')
  hub.addImage('library/hello-world', 'latest')
  const registries = [entry(hub, 'docker.io'), entry(hub, 'quay.io', 'q')]
  const service = await serveHelloWorld(t, { registries, alwaysPullLatest: true, prefetch: true, defaultNs: parseRegistry('quay.io') })
  const targets = [
    '/v2/library/alpine/manifests/latest',
    `/v2/library/alpine/manifests/${digest}`,
    `/v2/library/alpine/blobs/${layers[0]}`,
    '/v2/library/alpine/tags/list',
    '/v2/library/hello-world/manifests/linux',
    '/v2/quay.io/library/hello-world/manifests/latest',
    '/v2/library/hello-world/manifests/latest?ns=quay.io',
    '/v2/q/library/hello-world/manifests/latest',
    `/v2/library/hello-world/referrers/${index.digest}`,
  ]
  for (const target of targets) {
    for (const method of ['HEAD', 'GET']) assert.equal((await get(service, target, { method })).status, 404, `${method} ${target}`)
  }
  const found = await get(service, '/v2/library/hello-world/manifests/latest')
  assert.ok(found.body.equals(index.bytes))
  assert.equal(hub.count(), 0)
})

test('the store of images is not touched, and what lies in the temporary directory goes with the service', async (t) => {
  const parent = await temporaryDirectory(t)
  const temporary = await ownTemporaryDirectory(t)
  const service = await serve(t, { helloWorld: true, imagePath: join(parent, 'images') })
  assert.equal((await get(service, '/v2/hello-world/manifests/latest')).status, 200)
  const names = await readdir(temporary)
  assert.match(names.join(' '), /^ociregistry-hello-world-\w{6}$/)
  await service.stop()
  assert.deepEqual([await readdir(parent), await readdir(temporary)], [[], []])
})

test('a service of the built-in image that cannot listen leaves nothing behind', async (t) => {
  const { port } = await serve(t, { imagePath: await temporaryDirectory(t) })
  const temporary = await ownTemporaryDirectory(t)
  await assert.rejects(serve(t, { helloWorld: true, port }), { code: 'EADDRINUSE' })
  assert.deepEqual(await readdir(temporary), [])
})

test('two services of the built-in image run side by side', async (t) => {
  const temporary = await ownTemporaryDirectory(t)
  const services = [await serve(t, { helloWorld: true }), await serve(t, { helloWorld: true })]
  assert.equal((await readdir(temporary)).length, 2)
  for (const service of services) assert.equal((await get(service, `/v2/hello-world/blobs/${blobs[0]?.digest}`)).status, 200)
  for (const service of services) await service.stop()
})

test('a temporary directory that cannot be used is named, with what to do', async () => {
  await assert.rejects(makeHelloWorldStore('/nowhere/at/all', new ManualClock(), new MemoryLog()), {
    message: /^cannot put the built-in image into \/nowhere\/at\/all: ENOENT.*; set TMPDIR to another directory$/,
  })
})

/** A directory with the socket that a killed process leaves: nobody listens on it. */
async function leaveLocked(directory: string): Promise<void> {
  await mkdir(directory)
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(join(directory, 'socket'), resolve))
  await link(join(directory, 'socket'), join(directory, 'lock'))
  await new Promise((resolve) => server.close(resolve)) // removes the name that it was made under, and no other
}

async function makeAndRemoveOne(parent: string, clock: ManualClock): Promise<void> {
  const log = new MemoryLog()
  await removeHelloWorldStore(await makeHelloWorldStore(parent, clock, log))
  assert.deepEqual(log.lines, [])
}

test('what a killed process left is removed by the next one, and nothing else is', async (t) => {
  const parent = await temporaryDirectory(t)
  const clock = new ManualClock()
  const at = (name: string) => join(parent, `ociregistry-hello-world-${name}`)
  const touch = (path: string) => utimes(path, clock.now() / 1000, clock.now() / 1000)
  await leaveLocked(at('killed'))
  await writeFile(join(at('killed'), 'file'), '')
  await leaveLocked(join(parent, 'ociregistry-other-killed'))
  await mkdir(at('starting'))
  await mkdir(at('running'))
  const self = { program: 'ociregistry', version: '1', pid: 1, hostname: 'h' }
  const lock = await StoreLock.acquire(at('running'), { self, waitMs: 0, clock })
  await writeFile(at('file'), '')
  for (const name of ['starting', 'file']) await touch(at(name))
  const names = async () => (await readdir(parent)).map((name) => name.replace('ociregistry-hello-world-', '')).sort()

  await makeAndRemoveOne(parent, clock)
  assert.deepEqual(await names(), ['file', 'ociregistry-other-killed', 'running', 'starting'])
  await clock.advance(11 * 60_000)
  await makeAndRemoveOne(parent, clock)
  assert.deepEqual(await names(), ['file', 'ociregistry-other-killed', 'running'])
  await lock.release()
})

test("another user's directory is left alone", {
  skip: process.getuid?.() !== 0 && 'privilege: only root may give files away',
}, async (t) => {
  const parent = await temporaryDirectory(t)
  const foreign = join(parent, 'ociregistry-hello-world-foreign')
  await leaveLocked(foreign)
  await chown(foreign, 12345, 12345)
  await makeAndRemoveOne(parent, new ManualClock())
  assert.deepEqual(await readdir(parent), ['ociregistry-hello-world-foreign'])
})
