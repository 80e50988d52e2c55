/** Everything an end-to-end pull needs, ready: seeded upstreams, the server in front of them, and the proxy that must stay empty. */
import type { TestContext } from 'node:test'
import type { Certificate } from '../../support/certificates.ts'
import { type ConnectLog, openConnectLog } from './connect-log.ts'
import { startDockerRegistry } from './docker-registry.ts'
import type { Running } from './processes.ts'
import { testDirectory } from './run-directory.ts'
import { type RegistryName, registryNames, type SeededImage, type SeedName, seeds } from './seeds.ts'
import { type Installation, install } from './server.ts'

export type Stage = Installation & {
  readonly server: Running
  readonly outside: ConnectLog
  /** For the clients' own files. */
  readonly directory: string
  /** What a registry holds under the name of a seed. */
  image(registry: RegistryName, name: SeedName): SeededImage
  /** Everything that a registry holds. */
  images(registry: RegistryName): SeededImage[]
  /** From here on only the cache can answer. */
  stopUpstreams(): Promise<void>
}

/** How the upstreams speak TLS. */
export type UpstreamTls = {
  readonly certificate: Certificate
  /** The authority that the server is configured to trust for them; undefined: the system's. */
  readonly caPath?: string
}

/** @param tls undefined: the upstreams speak plain http */
export async function openStage(t: TestContext, tls?: UpstreamTls): Promise<Stage> {
  const seeded = await seeds(t)
  const directory = await testDirectory(t)
  const outside = await openConnectLog(t)
  const upstreams = await Promise.all(registryNames.map((name) => startDockerRegistry(t, seeded[name].storage, tls?.certificate)))
  const installation = await install(
    t,
    registryNames.map((name, i) => ({ name, url: upstreams[i]?.url ?? '', caPath: tls?.caPath })),
  )
  const server = await installation.start()
  return {
    ...installation,
    server,
    outside,
    directory,
    image(registry, name) {
      const image = seeded[registry].images[name]
      if (image === undefined) throw new Error(`${registry} holds no ${name}`)
      return image
    },
    images: (registry) => Object.values(seeded[registry].images),
    async stopUpstreams() {
      await Promise.all(upstreams.map((upstream) => upstream.process.stop()))
    },
  }
}
