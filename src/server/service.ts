/** The running service: makes every part, starts them in order, and stops them in the opposite one. */
import { randomBytes } from 'node:crypto'
import { hostname, networkInterfaces, tmpdir } from 'node:os'
import { join } from 'node:path'
import { defaultBudgets } from '../cache/budgets.ts'
import { Cache } from '../cache/cache.ts'
import type { Config } from '../config/config.ts'
import { parseCredsFile } from '../config/creds-file.ts'
import type { Clock } from '../observe/clock.ts'
import type { Log } from '../observe/log.ts'
import type { Registry } from '../oci/name.ts'
import { DirectoryStore } from '../store/directory-store.ts'
import { StoreLock } from '../store/lock.ts'
import { SpoolDirectory } from '../store/spool.ts'
import { Upstreams } from '../upstream/upstreams.ts'
import { BufferPool } from './buffers.ts'
import { helloWorldConfig, makeHelloWorldStore, removeHelloWorldStore } from './hello-world.ts'
import { Listener } from './listener.ts'
import { PullApi } from './pull-api.ts'
import type { RegistryNames } from './which-registry.ts'

export type Service = {
  /** Where it listens. */
  readonly port: number
  /** Lets answers end for a while, publishes what is verified, lets go of the store. */
  stop(): Promise<void>
}

export type ServiceDeps = { readonly config: Config; readonly clock: Clock; readonly log: Log; readonly version: string }

const LOCK_WAIT_MS = 45_000
const DRAIN_MS = 10_000

/** @throws Error that says in one line what cannot be used, or the system's error for an address that cannot be listened on */
export function startService(deps: ServiceDeps): Promise<Service> {
  return deps.config.helloWorld ? startHelloWorld(deps) : startOnStore(deps)
}

/** The same service, on a store of its own that goes when it goes. */
async function startHelloWorld(deps: ServiceDeps): Promise<Service> {
  const imagePath = await makeHelloWorldStore(tmpdir(), deps.clock, deps.log)
  try {
    const { port, stop } = await startOnStore({ ...deps, config: helloWorldConfig(deps.config, imagePath) })
    return { port, stop: () => stop().finally(() => removeHelloWorldStore(imagePath)) }
  } catch (error) {
    await removeHelloWorldStore(imagePath)
    throw error
  }
}

async function startOnStore({ config, clock, log, version }: ServiceDeps): Promise<Service> {
  const store = await DirectoryStore.open(config.imagePath, log)
  const lock = await StoreLock.acquire(config.imagePath, {
    self: { program: 'ociregistry', version, pid: process.pid, hostname: hostname() },
    waitMs: LOCK_WAIT_MS,
    clock,
    onWait: (holder) => log.error('waiting for the store: another process holds it', { imagePath: config.imagePath, ...holder }),
  })
  await store.removeLeftovers()
  const viaName = `ociregistry-${randomBytes(4).toString('hex')}`
  const { registries, proxies, allowUnconfigured, pullTimeoutMs, credsFile, dockerConfig } = config
  const userAgent = `ociregistry/${version}`
  const via = `1.1 ${viaName}`
  const credentials = { credsFile: credsFile === undefined ? undefined : { path: credsFile, parse: parseCredsFile }, dockerConfig }
  const upstreams = new Upstreams({ registries, proxies, credentials, allowUnconfigured, pullTimeoutMs, via, userAgent, clock, log })
  const spools = new SpoolDirectory(join(config.imagePath, 'pulls'))
  const cache = new Cache({ store, spools, upstreams, settings: config, budgets: defaultBudgets(pullTimeoutMs), clock, log })
  let port = config.port
  const isSelf = (host: string, hostHeader: string | undefined) =>
    host === hostHeader?.toLowerCase() || (host.endsWith(`:${port}`) && ownAddresses(port).has(host))
  const api = new PullApi({ cache, names: namesOf(config), isSelf, viaName, buffers: new BufferPool(), log })
  const listener = new Listener({ handle: (req, res, note) => api.handle(req, res, note), clock, log })
  try {
    port = await listener.start(config.host, config.port)
  } catch (error) {
    await lock.release()
    throw error
  }
  const loading = cache.start()
  log.info('server is running', { port })
  return {
    port,
    async stop() {
      await listener.stop(DRAIN_MS)
      await loading
      await cache.stop()
      await upstreams.close()
      await lock.release()
    },
  }
}

/** Every configured name and alias, and the registry that it stands for. */
function namesOf(config: Config): RegistryNames {
  const configured = new Map<string, Registry>()
  for (const { name, aliases } of config.registries) for (const known of [name, ...aliases]) configured.set(known, name)
  return { configured, defaultNs: configured.get(config.defaultNs) ?? config.defaultNs }
}

/** How clients may spell this very server: an `ns` that says so names no upstream. */
function ownAddresses(port: number): ReadonlySet<string> {
  const addresses = Object.values(networkInterfaces()).flatMap((list) =>
    (list ?? []).map(({ address, family }) => (family === 'IPv6' ? `[${address}]` : address)),
  )
  return new Set(['localhost', hostname().toLowerCase(), ...addresses].map((host) => `${host}:${port}`))
}
