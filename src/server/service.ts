/** The running service: makes every part, starts them in order, and stops them in the opposite one. */
import { randomBytes } from 'node:crypto'
import type { AddressInfo } from 'node:net'
import { hostname, networkInterfaces, tmpdir } from 'node:os'
import { Renewable } from '../async/renewable.ts'
import { defaultBudgets } from '../cache/budgets.ts'
import { Cache } from '../cache/cache.ts'
import { Census } from '../cache/census.ts'
import { FILL_FAILURES } from '../cache/fill-failure.ts'
import { ImageLoadQueue, type ImageLoads } from '../cache/image-loads.ts'
import { Preload } from '../cache/preload.ts'
import type { Prunes } from '../cache/prune-report.ts'
import type { Config, ServerTlsConfig } from '../config/config.ts'
import { parseCredsFile } from '../config/creds-file.ts'
import { ConfigError } from '../config/error.ts'
import { parsePatterns } from '../config/expression.ts'
import { LiveConfig, serverTlsOf } from '../config/live-config.ts'
import { size } from '../config/sizes.ts'
import { duration } from '../config/value-types.ts'
import { BoundedNames } from '../observe/bounded-names.ts'
import type { Clock } from '../observe/clock.ts'
import { Counts } from '../observe/counts.ts'
import { Prometheus } from '../observe/exposition.ts'
import type { Log } from '../observe/log.ts'
import type { Metrics } from '../observe/metrics.ts'
import type { DiskSpace } from '../store/disk-space.ts'
import type { LockHolder } from '../store/lock.ts'
import { pruneNote } from '../store/prune-note.ts'
import { countQuarantined } from '../store/quarantine.ts'
import { scrubNote } from '../store/scrub-note.ts'
import { StoreFiles } from '../store/store-files.ts'
import { type StorePartsOptions, storeParts } from '../store/store-parts.ts'
import { type UpstreamSettings, Upstreams } from '../upstream/upstreams.ts'
import { localUrlOf, urlOf } from './admin/access.ts'
import { AdminApi } from './admin/admin-api.ts'
import type { AdminParts, ParameterReaders } from './admin/parts.ts'
import { isForAdmin } from './admin/routes.ts'
import { AdminToken } from './admin/token.ts'
import { BufferPool } from './buffers.ts'
import { limitPerClient } from './client-limit.ts'
import { ConfiguredNames } from './configured-names.ts'
import { answerHealth, type HealthState, isForHealth } from './health.ts'
import { helloWorldConfig, makeHelloWorldStore, removeHelloWorldStore } from './hello-world.ts'
import { listedImages } from './image-files.ts'
import { Listener } from './listener.ts'
import { LiveServerTls } from './live-server-tls.ts'
import { answerMetrics, isForMetrics } from './metrics-api.ts'
import { type ObservedParts, observe } from './observed.ts'
import { PullApi } from './pull-api.ts'
import { besidePulls, type SideApi, SideListeners } from './side-apis.ts'
import { type GivenSockets, type SocketRole, socketText } from './sockets.ts'
import { configuredNames } from './which-registry.ts'

export type Service = {
  /** Where it listens; 0 for a Unix socket. */
  readonly port: number
  /** The sockets that it was given, for people. */
  readonly sockets: Readonly<Partial<Record<SocketRole, string>>>
  /** The longest that a stop lets answers go on. */
  drainMs(): number
  /** Resolves when somebody has asked the admin API to stop it. */
  readonly stopRequested: Promise<void>
  /** Goes by another configuration from now on, as far as that is possible without a restart. Resolves when all parts do. @throws ConfigError: nothing has changed */
  reload(config: Config): Promise<void>
  /** Lets answers end for a while, publishes what is verified, lets go of the store. */
  stop(): Promise<void>
}

export type ServiceDeps = {
  readonly config: Config
  readonly clock: Clock
  readonly log: Log
  readonly version: string
  /** Sockets that listen, and go on to when this service ends: each in place of `host` and a port. */
  readonly sockets?: GivenSockets | undefined
  /** For tests: what removes and loads images for the admin API in place of what does. */
  readonly pruner?: Prunes | undefined
  readonly loads?: ImageLoads | undefined
  /** For tests: another disk, other waits. */
  readonly storage?: Partial<Pick<StorePartsOptions, 'files' | 'budgets'>>
}

const DRAIN_MS = 30_000
/** Clients wait for the next process in the queue of a socket that is kept open: none of them for longer than it takes to give up, which some do after 20 s. */
const DRAIN_KEPT_SOCKET_MS = 15_000
/** Of what is answered beside pulls on other ports. */
const SIDE_DRAIN_MS = 2_000
/** How many registries that nobody configured have their own name in metrics. */
const MEASURED_REGISTRIES = 50

/** @throws Error that says in one line what cannot be used, or the system's error for an address that cannot be listened on */
export function startService(deps: ServiceDeps): Promise<Service> {
  return deps.config.helloWorld ? startHelloWorld(deps) : startOnStore(deps)
}

/** The same service, on a store of its own that goes when it goes. */
async function startHelloWorld(deps: ServiceDeps): Promise<Service> {
  const imagePath = await makeHelloWorldStore(tmpdir(), deps.clock, deps.log)
  try {
    const { stop, reload, ...service } = await startOnStore({ ...deps, config: helloWorldConfig(deps.config, imagePath) })
    const reloadHello = (config: Config) => reload(helloWorldConfig(config, imagePath))
    return { ...service, reload: reloadHello, stop: () => stop().finally(() => removeHelloWorldStore(imagePath)) }
  } catch (error) {
    await removeHelloWorldStore(imagePath)
    throw error
  }
}

async function startOnStore(deps: ServiceDeps): Promise<Service> {
  const { config, clock, log, version, sockets = {}, storage = {} } = deps
  const live = new LiveConfig(config)
  const settings = live.view
  const { imagePath, minFree } = config
  const at: Place = { host: config.host, port: config.port, sockets: {}, admin: undefined }
  const tls = config.serverTls && new LiveServerTls({ settings: config.serverTls, env: process.env, clock, log })
  const tlsSettings = tls && { material: await tls.read(), clientAuth: tls.clientAuth }
  const self: LockHolder = {
    program: 'ociregistry',
    version,
    pid: process.pid,
    hostname: hostname(),
    get admin() {
      return at.admin && urlOf(at.admin.host, at.admin.port, at.admin.scheme)
    },
  }
  const onRecovered = () => {
    cache.storeAgain()
    preload.current?.again()
  }
  const { path, store, spools, space, hold, files } = storeParts({ imagePath, minFree, self, clock, log, onRecovered, ...storage })
  const viaName = `ociregistry-${randomBytes(4).toString('hex')}`
  const scrub = { files: new StoreFiles(path, log, files), notes: scrubNote(path, log, files) }
  const prune = { note: pruneNote(path, log, files) }
  const measures = config.metrics === 0 && sockets.metrics === undefined ? undefined : newMeasures(config)
  const metrics = measures?.counts
  const upstreams = configuredUpstreams({ config, clock, log, version, metrics }, viaName)
  const budgets = defaultBudgets(settings)
  const cache = new Cache({ store, spools, space, upstreams, settings, scrub, prune, budgets, clock, log, metrics })
  const names = new ConfiguredNames(settings)
  const drainMs = () => settings.drainTimeoutMs ?? (sockets.pulls === undefined ? DRAIN_MS : DRAIN_KEPT_SOCKET_MS)
  const isSelf = (host: string, hostHeader: string | undefined) =>
    host === hostHeader?.toLowerCase() || (host.endsWith(`:${at.port}`) && ownAddresses(at.port).has(host))
  const api = new PullApi({ cache, names, settings, isSelf, viaName, buffers: new BufferPool(), log })
  const end = wish()
  const preload = new Renewable(() => newPreload(cache, settings, clock, log))
  const queue = new ImageLoadQueue({ newLoader: (options) => cache.newLoader(options), settings, log })
  const census = new Census({ store, quarantined: () => countQuarantined(path, files), clock, log })
  const certificateExpiryMs = () => tls?.expiresMs
  const loads = { loads: deps.loads ?? queue, preload: () => preload.current?.progress }
  const sideParts = { cache, upstreams, names, space, census, certificateExpiryMs, ...loads, stop: end.make }
  const sides = sideApis({ ...deps, config: settings }, sideParts, measures, at)
  const { maxConnections } = config.limits
  const pull = limitPerClient(
    (req, res, note) => api.handle(req, res, note),
    () => settings.limits.maxRequestsPerClient,
  )
  const listener = new Listener({ handle: besidePulls(pull, sides, config.port), tls: tlsSettings, maxConnections, clock, log, metrics })
  const sideListeners = new SideListeners(sides, config.port, { clock, log, metrics })
  measures?.prometheus.start()
  await hold.begin()
  try {
    await listen(at, listener, sideListeners, deps)
  } catch (error) {
    await sideListeners.stop(0)
    await listener.stop(0)
    await hold.release()
    throw error
  }
  tls?.watch((material) => listener.renewTls(material))
  const loading = cache.start()
  log.info('server is running', at.sockets.pulls === undefined ? { port: at.port } : { socket: at.sockets.pulls })
  hold.keep(() => loading.then(() => cache.reload())) // then the store recovers
  space.start()
  preload.start()
  return {
    port: at.port,
    sockets: at.sockets,
    drainMs,
    stopRequested: end.made,
    async reload(next) {
      const takeTls = await otherTls(tls, serverTlsOf(settings.serverTls, next.serverTls))
      const changed = live.replace(next)
      takeTls?.()
      names.reconfigure(settings)
      upstreams.reconfigure(upstreamSettings(settings))
      space.keepFree(settings.minFree)
      listener.limitConnections(settings.limits.maxConnections)
      await Promise.all([cache.reconfigure(changed), preload.renew()]) // the lists may have changed, too
    },
    async stop() {
      await Promise.all([listener.stop(drainMs()), tls?.stop(), cache.prefetch?.stop(), preload.stop(), queue.stop(), hold.giveUp()])
      await sideListeners.stop(SIDE_DRAIN_MS)
      await loading
      await cache.stop()
      await upstreams.close()
      await space.stop()
      await hold.release()
    },
  }
}

/** Where the service listens; the ports are known for sure when it does. */
type Place = {
  host: string
  port: number
  /** For people. */
  sockets: Partial<Record<SocketRole, string>>
  /** Where the admin API is to be had; undefined before it is, and by a Unix socket. */
  admin: { readonly host: string; readonly port: number; readonly scheme: Scheme } | undefined
}

type Scheme = 'http' | 'https'

/** On the sockets that it was given, and on its own for the rest. @throws the system's error, or one in one line for a socket */
async function listen(at: Place, listener: Listener, sides: SideListeners, { config, sockets = {} }: ServiceDeps): Promise<void> {
  const scheme: Scheme = config.serverTls === undefined ? 'http' : 'https'
  if (sockets.pulls === undefined) at.port = await listener.start(config.host, config.port)
  else {
    const address = await listener.adopt(sockets.pulls, 'pulls')
    at.host = address?.address ?? config.host
    at.port = address?.port ?? 0
    at.sockets.pulls = socketText(address, scheme)
  }
  const adopted = await sides.start(config.host)
  for (const role of ['health', 'metrics', 'admin'] as const) {
    const socket = sockets[role]
    if (socket !== undefined) at.sockets[role] = socketText(adopted.get(socket), 'http')
  }
  at.admin = adminPlace(at, scheme, config, sockets.admin === undefined ? undefined : { address: adopted.get(sockets.admin) })
}

/** What is answered on the port of pulls speaks TLS with it; other ports speak plain HTTP. @param own the socket that it has for itself */
function adminPlace(
  { host, port }: Place,
  scheme: Scheme,
  { admin, port: pullPort }: Config,
  own: { readonly address: AddressInfo | undefined } | undefined,
): Place['admin'] {
  if (own !== undefined) return own.address && { host: own.address.address, port: own.address.port, scheme: 'http' }
  if (admin.port !== 0 && admin.port !== pullPort) return { host, port: admin.port, scheme: 'http' }
  return port === 0 ? undefined : { host, port, scheme }
}

/** @throws ConfigError where its files cannot be used */
function otherTls(tls: LiveServerTls | undefined, settings: ServerTlsConfig | undefined): Promise<() => void> | undefined {
  if (settings === undefined) return undefined
  return tls?.prepare(settings).catch((cause: Error) => {
    throw new ConfigError(`serverTlsConfig: ${cause.message}`, { cause })
  })
}

type SideParts = Pick<AdminParts, 'names' | 'loads' | 'preload' | 'stop'> & {
  readonly cache: Cache
  readonly upstreams: Upstreams
  readonly space: DiskSpace
  readonly census: Census
  readonly certificateExpiryMs: () => number | undefined
}

/** What is answered beside pulls. */
function sideApis(deps: ServiceDeps, parts: SideParts, measures: Measures | undefined, at: Place): SideApi[] {
  const { config, clock, log, version, sockets = {}, pruner = parts.cache.pruner } = deps
  const { cache, upstreams, space, census, certificateExpiryMs } = parts
  const storage = () => space.look().then(() => space.trouble)
  const token = new AdminToken(config, log)
  const localUrl = () => at.admin && localUrlOf(at.admin.host, at.admin.port, at.admin.scheme)
  const startedMs = clock.monotonic()
  const admin = new AdminApi({ ...parts, config, version, startedMs, read: READERS, pruner, storage, token, localUrl, clock, log })
  const look = async (): Promise<HealthState> => ({ isLoaded: cache.isLoaded, storage: await storage(), upstreams: upstreams.all() })
  const health: SideApi = {
    name: 'health',
    route: 'health',
    port: config.health,
    socket: sockets.health,
    isFor: isForHealth,
    handle: (req, res) => answerHealth(req, res, look),
    level: 'debug',
  }
  const budgetBytes = () => config.budget.maxBytes
  const observed: ObservedParts = { version, cache, census, pruner, upstreams, budgetBytes, storage, certificateExpiryMs }
  return [
    {
      name: 'the admin API',
      route: 'admin',
      port: config.admin.port,
      socket: sockets.admin,
      isFor: isForAdmin,
      handle: (req, res) => admin.handle(req, res),
      level: 'info',
    },
    ...(config.health === 0 && sockets.health === undefined ? [] : [health]),
    ...(measures === undefined ? [] : [metricsApi(config.metrics, sockets.metrics, measures.prometheus, observed)]),
  ]
}

function metricsApi(port: number, socket: number | undefined, prometheus: Prometheus, parts: ObservedParts): SideApi {
  const expose = async () => prometheus.expose(await observe(parts))
  return {
    name: 'metrics',
    route: 'metrics',
    port,
    socket,
    isFor: isForMetrics,
    handle: (req, res) => answerMetrics(req, res, expose),
    level: 'debug',
  }
}

/** What counts, and what writes that down. */
type Measures = { readonly counts: Counts; readonly prometheus: Prometheus }

function newMeasures({ registries }: Config): Measures {
  const names = new BoundedNames(configuredNames(registries).values(), MEASURED_REGISTRIES)
  const counts = new Counts(names, FILL_FAILURES)
  return { counts, prometheus: new Prometheus(counts, names) }
}

/** The parameters of the admin API are read as the configuration file is. */
const READERS: ParameterReaders = {
  patterns: parsePatterns,
  duration: (text) => duration.parse({ text, quoted: false, isText: true }),
  size: (text) => size.parse({ text, quoted: false, isText: true }),
}

/** Something that may be wished for once, from afar. */
function wish(): { readonly made: Promise<void>; readonly make: () => void } {
  let make = () => {}
  const made = new Promise<void>((resolve) => {
    make = resolve
  })
  return { made, make }
}

/** The registries, as the configuration has them. @param viaName by which this program knows its own requests */
export function configuredUpstreams(
  { config, clock, log, version, metrics }: Omit<ServiceDeps, 'storage' | 'pruner' | 'loads'> & { readonly metrics?: Metrics | undefined },
  viaName: string,
): Upstreams {
  const [via, userAgent] = [`1.1 ${viaName}`, `ociregistry/${version}`]
  return new Upstreams({ ...upstreamSettings(config), proxies: config.proxies, via, userAgent, clock, log, metrics })
}

function upstreamSettings(config: Config): UpstreamSettings {
  const { registries, airGapped, allowUnconfigured, pullTimeoutMs, credsFile, dockerConfig } = config
  const credentials = { credsFile: credsFile === undefined ? undefined : { path: credsFile, parse: parseCredsFile }, dockerConfig }
  return { registries, airGapped, allowUnconfigured, pullTimeoutMs, credentials }
}

function newPreload(cache: Cache, config: Config, clock: Clock, log: Log): Preload | undefined {
  const { preloadImages, platforms, referrers, concurrency } = config.load
  if (preloadImages === undefined) return undefined
  const loader = cache.newLoader({ platforms, referrers, urgency: 'background' })
  const list = () => listedImages(preloadImages, configuredNames(config.registries))
  return new Preload({ loader, list, concurrency, airGapped: config.airGapped, clock, log })
}

/** How clients may spell this very server: an `ns` that says so names no upstream. */
function ownAddresses(port: number): ReadonlySet<string> {
  const addresses = Object.values(networkInterfaces()).flatMap((list) =>
    (list ?? []).map(({ address, family }) => (family === 'IPv6' ? `[${address}]` : address)),
  )
  return new Set(['localhost', hostname().toLowerCase(), ...addresses].map((host) => `${host}:${port}`))
}
