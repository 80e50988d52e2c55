/** The running service: makes every part, starts them in order, and stops them in the opposite one. */
import { randomBytes } from 'node:crypto'
import { hostname, networkInterfaces, tmpdir } from 'node:os'
import { defaultBudgets } from '../cache/budgets.ts'
import { Cache } from '../cache/cache.ts'
import type { Config } from '../config/config.ts'
import { parseCredsFile } from '../config/creds-file.ts'
import type { Clock } from '../observe/clock.ts'
import type { Log } from '../observe/log.ts'
import type { Registry } from '../oci/name.ts'
import { ScrubNotes } from '../store/scrub-note.ts'
import { StoreFiles } from '../store/store-files.ts'
import { type StorePartsOptions, storeParts } from '../store/store-parts.ts'
import { Upstreams } from '../upstream/upstreams.ts'
import { BufferPool } from './buffers.ts'
import { answerHealth, type HealthState, isForHealth } from './health.ts'
import { HealthListener } from './health-listener.ts'
import { helloWorldConfig, makeHelloWorldStore, removeHelloWorldStore } from './hello-world.ts'
import { Listener, type ListenerDeps } from './listener.ts'
import { PullApi } from './pull-api.ts'
import type { RegistryNames } from './which-registry.ts'

export type Service = {
  /** Where it listens. */
  readonly port: number
  /** Lets answers end for a while, publishes what is verified, lets go of the store. */
  stop(): Promise<void>
}

export type ServiceDeps = {
  readonly config: Config
  readonly clock: Clock
  readonly log: Log
  readonly version: string
  /** For tests: another disk, other waits. */
  readonly storage?: Partial<Pick<StorePartsOptions, 'files' | 'budgets'>>
}

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

async function startOnStore({ config, clock, log, version, storage = {} }: ServiceDeps): Promise<Service> {
  const { imagePath, minFree } = config
  const self = { program: 'ociregistry', version, pid: process.pid, hostname: hostname() }
  const onRecovered = () => cache.storeAgain()
  const { path, store, spools, space, hold, files } = storeParts({ imagePath, minFree, self, clock, log, onRecovered, ...storage })
  const viaName = `ociregistry-${randomBytes(4).toString('hex')}`
  const upstreams = configuredUpstreams({ config, clock, log, version }, viaName)
  const scrub = { settings: config.scrub, files: new StoreFiles(path, log, files), notes: new ScrubNotes(path, log, files) }
  const budgets = defaultBudgets(config.pullTimeoutMs)
  const cache = new Cache({ store, spools, space, upstreams, settings: config, scrub, budgets, clock, log })
  let port = config.port
  const isSelf = (host: string, hostHeader: string | undefined) =>
    host === hostHeader?.toLowerCase() || (host.endsWith(`:${port}`) && ownAddresses(port).has(host))
  const api = new PullApi({ cache, names: namesOf(config), isSelf, viaName, buffers: new BufferPool(), log })
  const look = async (): Promise<HealthState> => {
    await space.look()
    return { isLoaded: cache.isLoaded, storage: space.trouble, upstreams: upstreams.all() }
  }
  const pull: ListenerDeps['handle'] = (req, res, note) => api.handle(req, res, note)
  const pullOrHealth: ListenerDeps['handle'] = (req, res, note) =>
    isForHealth(req.url) ? answerHealth(req, res, look) : pull(req, res, note)
  const sharesPort = config.health !== 0 && config.health === config.port
  const listener = new Listener({ handle: sharesPort ? pullOrHealth : pull, clock, log })
  const healthListener = config.health === 0 || sharesPort ? undefined : new HealthListener((req, res) => answerHealth(req, res, look), log)
  await hold.begin()
  try {
    port = await listener.start(config.host, config.port)
    await healthListener?.start(config.host, config.health)
  } catch (error) {
    await listener.stop(0)
    await hold.release()
    throw error
  }
  const loading = cache.start()
  log.info('server is running', { port })
  hold.keep(() => loading.then(() => cache.reload())) // then the store recovers
  space.start()
  return {
    port,
    async stop() {
      await Promise.all([listener.stop(DRAIN_MS), hold.giveUp()])
      await healthListener?.stop()
      await loading
      await cache.stop()
      await upstreams.close()
      await space.stop()
      await hold.release()
    },
  }
}

/** The registries, as the configuration has them. @param viaName by which this program knows its own requests */
export function configuredUpstreams({ config, clock, log, version }: Omit<ServiceDeps, 'storage'>, viaName: string): Upstreams {
  const { registries, proxies, allowUnconfigured, pullTimeoutMs, credsFile, dockerConfig } = config
  const credentials = { credsFile: credsFile === undefined ? undefined : { path: credsFile, parse: parseCredsFile }, dockerConfig }
  const [via, userAgent] = [`1.1 ${viaName}`, `ociregistry/${version}`]
  return new Upstreams({ registries, proxies, credentials, allowUnconfigured, pullTimeoutMs, via, userAgent, clock, log })
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
