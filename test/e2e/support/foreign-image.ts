/** An image with a foreign layer: its `urls` name a host that has the layer, and remembers who came for it. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type Cleanup, onEnd } from './cleanup.ts'
import { type DockerRegistry, startDockerRegistry } from './docker-registry.ts'
import { type Image, image, type Layer, oci, randomLayer } from './image.ts'
import { push } from './push.ts'
import { testDirectory } from './run-directory.ts'
import { describe, type SeededImage } from './seeds.ts'

export type ForeignHost = { readonly url: string /** User agents. */; readonly requests: readonly string[] }
export type ForeignImage = {
  readonly seeded: SeededImage
  readonly layer: Layer
  readonly host: ForeignHost
  readonly upstream: DockerRegistry
}

/** Pushed to a registry of its own, because the host's address is another one in every test. */
export async function pushForeignImage(t: Cleanup): Promise<ForeignImage> {
  const upstream = await startDockerRegistry(t, await testDirectory(t))
  const layer = randomLayer('foreign', 100_000, 'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip')
  const host = await openForeignHost(t, layer.bytes)
  const made: Image = image([randomLayer('beside the foreign one', 100_000, oci.layer)], { foreign: [{ layer, urls: [host.url] }] })
  const [repository, tag] = ['edge/foreign', '1']
  await push(upstream.url, repository, tag, made)
  return { seeded: { repository, tag, ...describe(made) }, layer, host, upstream }
}

async function openForeignHost(t: Cleanup, layer: Buffer): Promise<ForeignHost> {
  const requests: string[] = []
  const server = createServer((request, response) => {
    requests.push(request.headers['user-agent'] ?? 'somebody')
    response.writeHead(200, { 'content-length': layer.length }).end(layer)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onEnd(t, () => new Promise((resolve) => server.close(resolve).closeAllConnections()))
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/layer`, requests }
}
