/** The real server in this process: a store in a temporary directory, the cache, the pull API, a listener; upstream of it, fake registries. */
import { readdirSync, readlinkSync } from 'node:fs'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { type Budgets, defaultBudgets } from '../../src/cache/budgets.ts'
import { Cache, type CacheSettings } from '../../src/cache/cache.ts'
import type { NameRules, RegistryConfig } from '../../src/config/config.ts'
import { type Clock, systemClock } from '../../src/observe/clock.ts'
import { parseRegistry, type Registry } from '../../src/oci/name.ts'
import { BufferPool } from '../../src/server/buffers.ts'
import { Listener } from '../../src/server/listener.ts'
import { PullApi } from '../../src/server/pull-api.ts'
import { DirectoryStore } from '../../src/store/directory-store.ts'
import { SpoolDirectory } from '../../src/store/spool.ts'
import type { Budgets as UpstreamBudgets } from '../../src/upstream/budgets.ts'
import type { Resolve } from '../../src/upstream/lookup.ts'
import { Upstreams } from '../../src/upstream/upstreams.ts'
import { CACHE_SETTINGS } from './cache-settings.ts'
import type { FakeRegistry } from './fake-registry.ts'
import { MemoryLog } from './log.ts'
import { RawConnection, type RawRequest, type RawResponse } from './raw-http.ts'
import { TestSpace } from './space.ts'
import { until } from './until.ts'

/** What is left out is as `CACHE_SETTINGS` has it, where it has it. */
export type ServerOptions = Partial<Omit<CacheSettings, 'registries'>> & {
  /** Entries of `registries`; a function where the entry needs to know where this server listens. */
  readonly registries?: readonly RegistryConfig[] | ((port: number) => readonly RegistryConfig[])
  /** Default: a directory of its own, which vanishes with the test. */
  readonly imagePath?: string
  readonly allowUnconfigured?: boolean
  readonly rules?: NameRules
  readonly defaultNs?: string
  readonly pullTimeoutMs?: number
  readonly budgets?: Partial<Budgets>
  readonly upstreamBudgets?: Partial<UpstreamBudgets>
  readonly resolve?: Resolve
  readonly clock?: Clock
  /** Whether the catalog is loaded at once; otherwise by `load()`. Default true. */
  readonly loaded?: boolean
}

type After = Pick<TestContext, 'after'>

/** The entry that makes a fake registry live under a name that tests can write down. */
export function entry(registry: FakeRegistry, name: string, ...aliases: string[]): RegistryConfig {
  return {
    name: parseRegistry(name),
    aliases: aliases.map(parseRegistry),
    scheme: registry.origin.startsWith('https:') ? 'https' : 'http',
    address: registry.host,
    tls: { insecureSkipVerify: false },
  }
}

/** Listens when this resolves; stopped, with everything it holds, when the test ends. */
export async function startServer(t: After, options: ServerOptions = {}): Promise<TestServer> {
  const imagePath = options.imagePath ?? (await mkdtemp(join(tmpdir(), 'ociregistry-test-')))
  const log = new MemoryLog()
  const buffers = new CountingPool()
  const clock = options.clock ?? systemClock
  const viaName = 'ociregistry-under-test'
  let api: PullApi | undefined
  const listener = new Listener({ handle: (req, res, note) => api?.handle(req, res, note), clock, log })
  const port = await listener.start('127.0.0.1', 0)
  const registries = typeof options.registries === 'function' ? options.registries(port) : (options.registries ?? [])
  const { allowUnconfigured = true, pullTimeoutMs = 5_000 } = options
  const upstreams = new Upstreams({
    registries,
    allowUnconfigured,
    pullTimeoutMs,
    via: `1.1 ${viaName}`,
    userAgent: 'ociregistry/test',
    clock,
    log,
    env: {},
    ...(options.resolve === undefined ? {} : { resolve: options.resolve }),
    ...(options.upstreamBudgets === undefined ? {} : { budgets: options.upstreamBudgets }),
  })
  const store = await DirectoryStore.open(imagePath, log)
  const cache = new Cache({
    store,
    spools: new SpoolDirectory(join(imagePath, 'pulls'), { clock, log, bigSyncs: store.bigSyncs }),
    space: new TestSpace(),
    upstreams,
    settings: { ...CACHE_SETTINGS, ...options, registries },
    budgets: { ...defaultBudgets({ pullTimeoutMs }), ...options.budgets },
    clock,
    log,
  })
  const configured = new Map<string, Registry>()
  for (const { name, aliases } of registries) for (const known of [name, ...aliases]) configured.set(known, name)
  const defaultNs = parseRegistry(options.defaultNs ?? 'docker.io')
  const names = { configured, defaultNs: configured.get(defaultNs) ?? defaultNs }
  api = new PullApi({
    cache,
    names,
    settings: { nameRules: options.rules ?? { allow: [], deny: [] } },
    isSelf: (host, hostHeader) => host === hostHeader?.toLowerCase(),
    viaName,
    buffers,
    log,
  })
  const server = new TestServer({ port, imagePath, log, buffers, viaName, listener, cache, upstreams })
  t.after(async () => {
    await server.stop()
    if (options.imagePath === undefined) await rm(imagePath, { recursive: true, force: true })
  })
  if (options.loaded !== false) await server.load()
  return server
}

/** The real pool, which also counts. */
export class CountingPool extends BufferPool {
  readonly #lent = new Set<Buffer>()
  /** How many were lent in all. */
  taken = 0
  /** The most big ones that were lent at once. */
  mostBigLent = 0

  get lent(): number {
    return this.#lent.size
  }

  get bigLent(): number {
    return [...this.#lent].filter(({ byteLength }) => byteLength > 64 * 1024).length
  }

  override small(): Buffer {
    return this.#count(super.small())
  }

  override big(): Buffer | undefined {
    const buffer = super.big()
    return buffer === undefined ? undefined : this.#count(buffer)
  }

  override give(buffer: Buffer): void {
    if (!this.#lent.delete(buffer)) throw new Error('a buffer came back that was not lent')
    super.give(buffer)
  }

  #count(buffer: Buffer): Buffer {
    if (this.#lent.has(buffer)) throw new Error('a buffer was lent twice')
    this.#lent.add(buffer)
    this.taken++
    this.mostBigLent = Math.max(this.mostBigLent, this.bigLent)
    return buffer
  }
}

type Parts = {
  readonly port: number
  readonly imagePath: string
  readonly log: MemoryLog
  readonly buffers: CountingPool
  readonly viaName: string
  readonly listener: Listener
  readonly cache: Cache
  readonly upstreams: Upstreams
}

export class TestServer {
  readonly port: number
  readonly imagePath: string
  readonly log: MemoryLog
  readonly buffers: CountingPool
  readonly viaName: string
  readonly #parts: Parts
  readonly #connections: RawConnection[] = []
  #stopped: Promise<void> | undefined

  constructor(parts: Parts) {
    this.#parts = parts
    this.port = parts.port
    this.imagePath = parts.imagePath
    this.log = parts.log
    this.buffers = parts.buffers
    this.viaName = parts.viaName
  }

  /** Loads the catalog. */
  load(): Promise<void> {
    return this.#parts.cache.start()
  }

  /** Downloads at this moment. */
  fills(): ReturnType<Cache['fills']> {
    return this.#parts.cache.fills()
  }

  /** Stops listening; resolves when every answer has ended or the grace is over. */
  stopListening(graceMs: number): Promise<void> {
    return this.#parts.listener.stop(graceMs)
  }

  /** Stops everything, cutting what is under way. Clients that a test has left behind are closed. */
  stop(): Promise<void> {
    this.#stopped ??= this.#stop()
    return this.#stopped
  }

  /** A connection that is closed with the server. */
  async connect(): Promise<RawConnection> {
    const connection = await RawConnection.open(this.port)
    this.#connections.push(connection)
    return connection
  }

  /** One request on a connection of its own. */
  async ask(request: RawRequest): Promise<RawResponse> {
    const connection = await this.connect()
    try {
      return await connection.ask(request)
    } finally {
      connection.close()
    }
  }

  get(target: string, headers: RawRequest['headers'] = {}): Promise<RawResponse> {
    return this.ask({ target, headers })
  }

  head(target: string, headers: RawRequest['headers'] = {}): Promise<RawResponse> {
    return this.ask({ method: 'HEAD', target, headers })
  }

  /** Resolves when nothing is being downloaded or published any more. */
  settled(): Promise<void> {
    return until(async () => (await readdir(join(this.imagePath, 'pulls'))).length === 0, 'spool empty')
  }

  /** Files of the store and the spool that this process has open. */
  openFiles(): string[] {
    return readdirSync('/proc/self/fd').flatMap((fd) => {
      try {
        const path = readlinkSync(`/proc/self/fd/${fd}`)
        return path.startsWith(this.imagePath) ? [path.slice(this.imagePath.length + 1)] : []
      } catch {
        return [] // closed meanwhile
      }
    })
  }

  /** What lies in the store: paths of all files, sorted. */
  async files(): Promise<string[]> {
    const entries = await readdir(this.imagePath, { recursive: true, withFileTypes: true })
    return entries
      .filter((file) => !file.isDirectory())
      .map((file) => join(file.parentPath, file.name).slice(this.imagePath.length + 1))
      .sort()
  }

  async #stop(): Promise<void> {
    const { listener, cache, upstreams } = this.#parts
    await listener.stop(0)
    for (const connection of this.#connections) connection.close()
    await cache.stop()
    await upstreams.close()
  }
}
