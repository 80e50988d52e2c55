/** The built program on sockets that a service manager holds: it may be replaced under load, and nobody's pull fails. */
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import type { Digest } from '../../src/oci/digest.ts'
import { type FakeRegistry, startFakeRegistry } from '../support/fake-registry.ts'
import { throttle } from '../support/fake-registry-faults.ts'
import { ask } from './support/http-client.ts'
import { until } from './support/poll.ts'
import { type Place, ResumingClient } from './support/resuming-client.ts'
import { testDirectory } from './support/run-directory.ts'
import { installProgram } from './support/server.ts'
import { type ServiceManager, startServiceManager } from './support/service-manager.ts'

const CLIENTS = 4
const LAYER_BYTES = 6_000_000
const BYTES_PER_SECOND = 4_000_000

/**
 * @param socket of the service manager: a port of 127.0.0.1, or a path in a directory of its own
 * @param others names of its other sockets
 */
async function activated(
  t: TestContext,
  socket: 'tcp' | 'unix',
  others: readonly string[] = [],
): Promise<{ hub: FakeRegistry; manager: ServiceManager; place: Place }> {
  const hub = await startFakeRegistry(t)
  const [program, directory] = [await installProgram(t), await testDirectory(t)]
  const configFile = join(directory, 'config.yaml')
  const registry = `registries: [{name: docker.io, url: "${hub.origin}"}]\n`
  await writeFile(configFile, `imagePath: ${join(directory, 'images')}\nlogLevel: info\nprefetch: false\n${registry}`)
  const command = [process.execPath, program, 'serve', '--config-file', configFile, '--drain-timeout', '1s']
  const env = { PATH: process.env.PATH, HOME: directory }
  const manager = await startServiceManager(t, command, env, socket === 'unix' ? join(directory, 'socket') : undefined, others)
  const { address } = manager
  const place = typeof address === 'string' ? { socketPath: address } : { host: address.address, port: address.port }
  return { hub, manager, place }
}

/** A fresh image each time, so that everything comes from the registry. */
async function pull(client: ResumingClient, hub: FakeRegistry, name: string): Promise<void> {
  const layers = ['one', 'two'].map((which) => hub.addGeneratedBlob(`${name} ${which}`, LAYER_BYTES, name))
  const { bytes } = hub.addImage(name, '1', { layers })
  assert.ok((await client.manifest(`/v2/${name}/manifests/1`)).equals(bytes))
  for (const digest of layers) assert.equal((await client.layer(`/v2/${name}/blobs/${digest}`)) as Digest, digest)
}

for (const [socket, replacements] of [
  ['tcp', 10],
  ['unix', 2],
] as const) {
  test(`a program that is replaced ${replacements} times under load on a ${socket} socket of the service manager fails no pull of a client that resumes`, async (t) => {
    const { hub, manager, place } = await activated(t, socket)
    hub.fault({ match: { kind: 'blob' }, do: [throttle(BYTES_PER_SECOND)] })
    assert.equal(await manager.restart(), undefined)
    let over = false
    let pulls = 0
    const clients = Array.from({ length: CLIENTS }, () => new ResumingClient(place))
    t.after(() => {
      for (const client of clients) client.close()
    })
    const loads = clients.map(async (client, i) => {
      for (let n = 0; !over; n++, pulls++) await pull(client, hub, `edge/app-${i}-${n}`)
    })
    const replacing = (async () => {
      const ends: (string | undefined)[] = []
      for (let n = 0; n < replacements; n++) {
        const before = hub.count({ kind: 'blob' })
        while (hub.count({ kind: 'blob' }) === before && !over) await new Promise((resolve) => setTimeout(resolve, 10)) // it is at work
        ends.push(await manager.restart())
      }
      over = true
      return ends
    })()
    const [ends] = await Promise.all([replacing, ...loads]).finally(() => {
      over = true
    })
    assert.deepEqual(ends, Array(replacements).fill('ended 0'))
    assert.ok(pulls >= CLIENTS, `${pulls} pulls`)
    assert.ok(
      clients.some(({ resumed }) => resumed > 0),
      'some layer was cut, and continued',
    )
    assert.equal(await manager.stop(), 'ended 0')
    const where = typeof manager.address === 'string' ? 'a Unix socket' : `http://127.0.0.1:${manager.address.port}`
    assert.ok(manager.said().includes(`Listening on: ${where} (opened by the service manager)`), manager.said())
  })
}

test('sockets of the service manager with names are for health, metrics and the admin API, and answer nothing else', async (t) => {
  const { manager, place } = await activated(t, 'tcp', ['metrics', 'health', 'admin'])
  const pulls = 'port' in place ? place.port : 0
  const { metrics = 0, health = 0, admin = 0 } = manager.ports
  const statusOf = (port: number, path: string) => ask(`http://127.0.0.1:${port}${path}`).then(({ status }) => status)
  for (const ended of [undefined, 'ended 0']) {
    assert.equal(await manager.restart(), ended)
    const asked = await Promise.all(
      [pulls, health, metrics, admin].map((port) =>
        Promise.all(['/v2/', '/health', '/metrics', '/cmd/status'].map((path) => statusOf(port, path))),
      ),
    )
    assert.deepEqual(asked, [
      [200, 404, 404, 404],
      [404, 200, 404, 404],
      [404, 404, 200, 404],
      [404, 404, 404, 200],
    ])
  }
  assert.equal(await manager.stop(), 'ended 0')
  assert.ok(manager.said().includes(`\nHealth: http://127.0.0.1:${health}/health (opened by the service manager)\n`), manager.said())
})

test('a socket whose name says nothing stops the start with one line', async (t) => {
  const { manager } = await activated(t, 'tcp', ['web'])
  await manager.restart()
  await until('it says why', () => manager.said().includes('\n'))
  assert.equal(manager.said(), 'error: LISTEN_FDNAMES: found "web", want names of pulls, health, metrics, admin (FileDescriptorName=)\n')
})
