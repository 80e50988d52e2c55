/** Fifty images, pulled by many clients at once through a server that may use 300 MiB, pages of files included: it is not killed, and nobody gets a wrong byte. */
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import type { Digest } from '../../src/oci/digest.ts'
import { type FakeRegistry, startFakeRegistry } from '../support/fake-registry.ts'
import { type MemoryGroup, memoryGroup } from './support/control-group.ts'
import { digestOfBody, open } from './support/http-client.ts'
import { until } from './support/poll.ts'
import { freePort } from './support/ports.ts'
import { start } from './support/processes.ts'
import { testDirectory } from './support/run-directory.ts'
import { installProgram } from './support/server.ts'

const MIB = 2 ** 20
const limitBytes = 300 * MIB
const clients = 10

/** From hundreds of bytes to hundreds of megabytes: together half as much again as the limit. */
const layerBytes = [
  ...Array.from({ length: 30 }, (_, i) => 300 + 1000 * i),
  ...Array.from({ length: 18 }, () => 5 * MIB),
  120 * MIB,
  240 * MIB,
]

type Pulled = { readonly path: string; readonly digest: Digest }
/** Manifest, config and layers: what one pull asks for. */
type Pull = readonly Pulled[]

function fill({ content }: FakeRegistry): Pull[] {
  return layerBytes.map((bytes, i) => {
    const repository = `site/app-${i}`
    const layers = [`a ${i}`, `b ${i}`].map((seed) => content.addGeneratedBlob(seed, bytes / 2))
    const { digest, config } = content.addImage(repository, '1', { layers })
    const blobs = [config, ...layers].map((blob) => ({ path: `/v2/${repository}/blobs/${blob}?ns=docker.io`, digest: blob }))
    return [{ path: `/v2/${repository}/manifests/1?ns=docker.io`, digest }, ...blobs]
  })
}

/** The server, with its store on the disk. @returns its address */
async function startWithin(t: TestContext, group: MemoryGroup, upstream: FakeRegistry): Promise<string> {
  const directory = await testDirectory(t)
  const configFile = join(directory, 'config.yaml')
  const port = await freePort()
  const settings = `imagePath: ${join(directory, 'images')}\nhost: 127.0.0.1\nport: ${port}\nregistries:\n  - name: docker.io\n    url: ${upstream.origin}\n`
  await writeFile(configFile, settings)
  const [command, args] = group.within(process.execPath, [await installProgram(t), 'serve', '--config-file', configFile])
  start(t, 'ociregistry', command, args)
  const url = `http://127.0.0.1:${port}`
  await until('the server answers', async () => (await fetch(`${url}/v2/`).catch(() => undefined))?.ok)
  return url
}

/** Every image once; each client begins elsewhere, so that some pull what others are just downloading, and some what is cached. */
async function pullAll(url: string, pulls: readonly Pull[], offset: number): Promise<void> {
  for (const pull of [...pulls.slice(offset), ...pulls.slice(0, offset)]) {
    for (const { path, digest } of pull) {
      const response = await open(`${url}${path}`)
      assert.equal(response.statusCode, 200, path)
      assert.equal(await digestOfBody(response), digest)
    }
  }
}

test('fifty images are pulled by many clients within a memory limit of 300 MiB', async (t) => {
  const group = await memoryGroup(t, limitBytes)
  if (typeof group === 'string') return t.skip(group)
  const upstream = await startFakeRegistry(t)
  const pulls = fill(upstream)
  const url = await startWithin(t, group, upstream)
  await Promise.all(Array.from({ length: clients }, (_, client) => pullAll(url, pulls, client * 5)))
  assert.equal(await group.kills(), 0)
  const peakBytes = await group.peakBytes()
  t.diagnostic(`the most that counted against the limit: ${peakBytes === undefined ? 'unknown' : `${Math.round(peakBytes / MIB)} MiB`}`)
})
