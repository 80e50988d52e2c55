/** The dashboard and the alerts against the real thing: Prometheus scrapes the built file while clients pull. */
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { root } from '../../scripts/root.mjs'
import { makeAuthority } from '../support/certificates.ts'
import { startFakeRegistry } from '../support/fake-registry.ts'
import { ask } from './support/http-client.ts'
import { until } from './support/poll.ts'
import { freePort } from './support/ports.ts'
import { succeed } from './support/processes.ts'
import { RULES, startPrometheus } from './support/prometheus.ts'
import { commandPath, lacks } from './support/requirements.ts'
import { testDirectory } from './support/run-directory.ts'
import { type Installation, install } from './support/server.ts'

const PROMETHEUS = join(root, 'observability/prometheus')

type Panel = { readonly title: string; readonly targets?: readonly { readonly expr: string }[] }

/** As Grafana asks them, with its variables filled in. */
async function dashboardQueries(): Promise<{ readonly title: string; readonly query: string }[]> {
  const { panels } = JSON.parse(await readFile(join(root, 'observability/grafana/ociregistry.json'), 'utf8')) as { panels: Panel[] }
  return panels.flatMap(({ title, targets = [] }) =>
    targets.map(({ expr }) => ({ title, query: expr.replaceAll('$__rate_interval', '10s').replaceAll('$instance', '.+') })),
  )
}

/** Pulls in the background: an image that is new each time, one that is cached by then, and one that does not exist. @returns ends it */
function keepPulling({ url }: Installation, image: (i: number) => readonly string[]): () => Promise<void> {
  let over = false
  const pull = async () => {
    for (let i = 0; !over; i = (i + 1) % 1000) {
      for (const target of image(i)) await ask(`${url}/v2/${target}?ns=quay.io`)
      await new Promise((resolve) => setImmediate(resolve))
    }
  }
  const pulling = pull()
  return async () => {
    over = true
    await pulling
  }
}

/** A server that speaks TLS to clients, with a certificate that is good for longer than anybody is warned of. @returns the port of its metrics */
async function startTlsServer(t: TestContext): Promise<number> {
  const validity = { from: new Date(Date.now() - 86_400_000), to: new Date(Date.now() + 100 * 86_400_000) }
  const { certPath: cert, keyPath: key } = await (await makeAuthority(await testDirectory(t))).issueFor(validity, '127.0.0.1')
  const metrics = await freePort()
  const { launch } = await install(t, [], { metrics: String(metrics), serverTlsConfig: `{cert: ${cert}, key: ${key}}` })
  const server = await launch()
  await until('the server with TLS is ready', () => {
    if (server.exit() !== undefined) throw new Error(`the server ended: ${server.output()}`)
    return server.output().includes('Listening on: https://')
  })
  return metrics
}

test('The alert rules and the example configuration are good, and the rules do what their tests say', {
  skip: lacks('promtool'),
}, async () => {
  const promtool = commandPath('promtool')
  await succeed(promtool, ['check', 'rules', RULES])
  await succeed(promtool, ['check', 'config', join(PROMETHEUS, 'prometheus.yaml')])
  await succeed(promtool, ['test', 'rules', join(PROMETHEUS, 'rules.test.yaml')], { cwd: PROMETHEUS })
})

test('No query of the dashboard comes back empty, and no alert is raised, while servers are well', {
  skip: lacks('prometheus', 'openssl'),
}, async (t) => {
  const registry = await startFakeRegistry(t)
  const images = Array.from({ length: 1000 }, (_, i) => {
    const { config, layers } = registry.addImage(`team/app${i}`, '1')
    return [`team/app${i}/manifests/1`, ...[config, ...layers].map((blob) => `team/app${i}/blobs/${blob}`)]
  })
  const metrics = await freePort()
  const server = await install(t, [{ name: 'quay.io', url: registry.origin }], {
    metrics: String(metrics),
    maxSize: '1GiB',
    prefetch: 'false',
  })
  await server.start()
  const endPulling = keepPulling(server, (i) => [...(images[i] ?? []), 'team/app0/manifests/1', 'team/absent/manifests/1'])
  try {
    await until('something was removed', async () => {
      const pruned = await fetch(`${server.url}/cmd/prune?type=pattern&expr=app1:`, { method: 'DELETE' })
      return pruned.status === 200
    })
    const prometheus = await startPrometheus(t, [`127.0.0.1:${metrics}`, `127.0.0.1:${await startTlsServer(t)}`])
    for (const { title, query } of await dashboardQueries()) {
      await until(`"${title}" shows a number: ${query}`, async () => (await prometheus.query(query)).some(Number.isFinite))
    }
    for (const { name, health, state } of await prometheus.rules()) assert.deepEqual([name, health, state], [name, 'ok', 'inactive'])
  } finally {
    await endPulling()
  }
})
