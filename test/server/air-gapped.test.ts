/** airGapped: no registry is contacted and no name is looked up, whatever is asked for and whatever else is switched on. */
import assert from 'node:assert/strict'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import type { TagRule } from '../../src/config/config.ts'
import { parseExpression } from '../../src/config/expression.ts'
import { digestFileName } from '../../src/oci/digest.ts'
import { parseReferenceGlob, type ReferenceGlob } from '../../src/oci/reference-glob.ts'
import { ManualClock } from '../support/clock.ts'
import { startFakeRegistry } from '../support/fake-registry.ts'
import { temporaryDirectory } from '../support/files.ts'
import { entry, startServer } from '../support/server.ts'
import { get, serve } from '../support/service.ts'
import { until } from '../support/until.ts'

const NAME = '/v2/library/alpine'
const EACH_TIME: TagRule = { match: parseReferenceGlob('**') as ReferenceGlob, revalidate: 'always' }
const SIGNATURE = `sha256-${'b'.repeat(64)}.sig`
const UNKNOWN = `sha256:${'a'.repeat(64)}`

/** A store with an image of which a layer, and an index of which an image is missing. */
async function incomplete(t: TestContext) {
  const hub = await startFakeRegistry(t)
  const imagePath = await temporaryDirectory(t)
  const online = await startServer(t, { imagePath, registries: [entry(hub, 'docker.io')] })
  const image = hub.addImage('library/alpine', 'latest', { layers: [Buffer.alloc(200_000, 'a'), Buffer.alloc(200_000, 'b')] })
  const other = hub.addImage('library/alpine', undefined, { config: { other: true } })
  const index = hub.addIndex('library/alpine', '3', [{ digest: image.digest }, { digest: other.digest }])
  for (const path of ['manifests/latest', 'manifests/3', `blobs/${image.config}`, ...image.layers.map((layer) => `blobs/${layer}`)])
    assert.equal((await online.get(`${NAME}/${path}`)).status, 200)
  await online.settled()
  await online.stop()
  const [kept, lost] = image.layers
  assert.ok(kept !== undefined && lost !== undefined)
  await rm(join(imagePath, 'blobs', digestFileName(lost)))
  const has = ['latest', '3', image.digest, index]
    .map((target) => `manifests/${target}`)
    .concat(`blobs/${kept}`, `blobs/${image.config}`, 'tags/list')
  const hasNot = [
    'manifests/2',
    `manifests/${SIGNATURE}`,
    `manifests/${other.digest}`,
    `blobs/${lost}`,
    `blobs/${UNKNOWN}`,
    `referrers/${image.digest}`,
    `manifests/latest?ns=elsewhere.example`,
    `blobs/${UNKNOWN}?ns=elsewhere.example`,
    'tags/list?ns=elsewhere.example',
  ]
  return { hub, imagePath, has, hasNot }
}

test('an air-gapped server opens no connection and looks no name up, with everything switched on that would', async (t) => {
  const { hub, imagePath, has, hasNot } = await incomplete(t)
  const accepted = hub.accepted
  const lookedUp: string[] = []
  const server = await startServer(t, {
    imagePath,
    registries: [{ ...entry(hub, 'docker.io'), address: `hub.test:${hub.port}` }],
    resolve: async (name) => {
      lookedUp.push(name)
      return [{ address: '127.0.0.1', family: 4 }]
    },
    airGapped: true,
    alwaysPullLatest: true,
    cacheManifests: false,
    tagPolicy: [EACH_TIME],
    skipTags: await parseExpression(''),
    negativeTtlMs: 0,
    prefetch: true,
  })
  for (const method of ['GET', 'HEAD'] as const) {
    for (const path of has) assert.equal((await server.ask({ method, target: `${NAME}/${path}` })).status, 200, path)
    for (const path of hasNot) assert.equal((await server.ask({ method, target: `${NAME}/${path}` })).status, 404, path)
  }
  await server.settled()
  await server.stop()
  assert.deepEqual([hub.accepted - accepted, lookedUp], [0, []])
})

test('the whole service, air-gapped, opens no connection either, from its start to its end', async (t) => {
  const { hub, imagePath, has, hasNot } = await incomplete(t)
  const accepted = hub.accepted
  const clock = new ManualClock()
  const registries = [entry(hub, 'docker.io')]
  const all = { alwaysPullLatest: true, prefetch: true, scrub: { everyMs: 1000, bytesPerSecond: 2 ** 30 } }
  const service = await serve(t, { imagePath, registries, airGapped: true, ...all }, { clock })
  for (const path of has) assert.equal((await get(service, `${NAME}/${path}`)).status, 200, path)
  for (const path of hasNot) assert.equal((await get(service, `${NAME}/${path}`)).status, 404, path)
  await until(async () => {
    await clock.advance(60_000)
    return service.log.lines.some(({ message }) => message === 'scrub finished')
  }, 'all that is stored was read')
  await service.stop()
  assert.equal(hub.accepted, accepted)
})
