/** What the tests of the cache stand on: a directory store, scripted upstreams, a clock moved by hand; and nothing may be left when a test ends. */
import assert from 'node:assert/strict'
import { readdir, readlink, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { type Budgets, defaultBudgets } from '../../src/cache/budgets.ts'
import { Cache, type CacheDeps } from '../../src/cache/cache.ts'
import { Catalog } from '../../src/cache/catalog.ts'
import type { Fill } from '../../src/cache/fill.ts'
import { Fills } from '../../src/cache/fills.ts'
import { SmallBlobs } from '../../src/cache/small-blobs.ts'
import type { Source } from '../../src/cache/sources.ts'
import type { ScrubConfig } from '../../src/config/config.ts'
import { type Digest, digestFileName, digestOf } from '../../src/oci/digest.ts'
import { parseManifest } from '../../src/oci/manifest.ts'
import { OCI_MANIFEST } from '../../src/oci/media-type.ts'
import { parseRegistry, parseRepositoryOf } from '../../src/oci/name.ts'
import { parseReference, type Reference } from '../../src/oci/reference.ts'
import { DirectoryStore } from '../../src/store/directory-store.ts'
import { scrubNote } from '../../src/store/scrub-note.ts'
import { type FileSpool, SpoolDirectory, type SpoolNote } from '../../src/store/spool.ts'
import type { ReadableBlob, ReadBuffers, Store } from '../../src/store/store.ts'
import { StoreFiles } from '../../src/store/store-files.ts'
import { UpstreamError, type UpstreamErrorKind } from '../../src/upstream/error.ts'
import { CACHE_SETTINGS } from '../support/cache-settings.ts'
import { ManualClock } from '../support/clock.ts'
import { generatedBytes } from '../support/fake-registry-bytes.ts'
import { temporaryDirectory } from '../support/files.ts'
import { MemoryLog } from '../support/log.ts'
import { type ScriptedUpstream, ScriptedUpstreams } from '../support/scripted-upstream.ts'
import { TestSpace } from '../support/space.ts'
import { until } from '../support/until.ts'

export const KIB = 1024
export const MIB = 1024 * 1024
export const ANY = { onlyIfCached: false }
export const CACHED = { onlyIfCached: true }

const unhandled: unknown[] = []
process.on('unhandledRejection', (reason) => unhandled.push(reason))

export type Options = {
  readonly budgets?: Partial<Budgets>
  readonly settings?: Partial<CacheDeps['settings']>
  /** Default: nothing is read but what is asked for. */
  readonly scrub?: ScrubConfig
  /** Puts something between the cache and the store, or the spool. */
  readonly store?: (store: DirectoryStore) => Store
  readonly spools?: (...args: ConstructorParameters<typeof SpoolDirectory>) => SpoolDirectory
}

/** Where a test stands. `cache` and `fills` do not know each other: a test uses one of them. */
export class Ground {
  readonly clock = new ManualClock()
  readonly log = new MemoryLog()
  readonly space = new TestSpace()
  readonly upstreams = new ScriptedUpstreams()
  readonly catalog = new Catalog()
  readonly budgets: Budgets
  readonly spools: SpoolDirectory
  readonly store: Store
  readonly fills: Fills
  /** What a download that broke off leaves is there for the next one. */
  spoolMayBeLeft = false
  #cache: Cache | undefined

  private constructor(
    readonly path: string,
    readonly directory: DirectoryStore,
    readonly options: Options,
  ) {
    const { clock, log, upstreams, catalog } = this
    this.budgets = { ...defaultBudgets({ pullTimeoutMs: 60_000 }), ...options.budgets }
    this.spools = (options.spools ?? newSpools)(join(path, 'pulls'), { clock, log })
    this.store = options.store?.(directory) ?? directory
    this.fills = new Fills({
      upstreams,
      spools: this.spools,
      space: this.space,
      clock,
      log,
      budgets: this.budgets,
      store: this.store,
      catalog,
      smallBlobs: new SmallBlobs(),
    })
  }

  static async lay(t: TestContext, options: Options = {}): Promise<Ground> {
    const path = await temporaryDirectory(t)
    return new Ground(path, await DirectoryStore.open(path, new MemoryLog()), options)
  }

  get cache(): Cache {
    this.#cache ??= this.#newCache()
    return this.#cache
  }

  /** Stops the cache and starts another one on the same directory, as a restart does. */
  async restart(): Promise<Cache> {
    await this.#cache?.stop()
    this.#cache = this.#newCache()
    await this.#cache.start()
    return this.#cache
  }

  async start(): Promise<Cache> {
    await this.cache.start()
    return this.cache
  }

  /** Stops everything, and sees that nothing is left: no file open, no body unread, nobody asleep, nothing in the spool, no rejection unhandled. */
  async leave(): Promise<void> {
    await this.#cache?.stop()
    await this.fills.stop()
    await until(() => this.upstreams.openBodies === 0, 'every body is read or destroyed')
    await until(() => this.clock.sleeping === 0, 'nobody sleeps any more')
    await until(async () => (await openFiles(this.path)).length === 0, 'every file is closed')
    if (!this.spoolMayBeLeft) assert.deepEqual(await readdir(join(this.path, 'pulls')), [], 'the spool is empty')
    assert.deepEqual(unhandled, [], 'no rejection was unhandled')
  }

  hub(name = 'quay.io'): ScriptedUpstream {
    return this.upstreams.named(name)
  }

  /** The names of the files in one of the store's directories. */
  async files(directory: 'blobs' | 'img' | 'fat' | 'refs' | 'pulls' | 'quarantine'): Promise<string[]> {
    return (await readdir(join(this.path, directory))).sort()
  }

  blobPath(digest: Digest): string {
    return join(this.path, 'blobs', digestFileName(digest))
  }

  async stored(digest: Digest): Promise<void> {
    await until(async () => (await this.files('blobs')).includes(digestFileName(digest)), `${digest} is in the store`)
  }

  #newCache(): Cache {
    const { store, spools, space, upstreams, budgets, clock, log } = this
    const { scrub } = this.options
    const settings = { ...CACHE_SETTINGS, ...this.options.settings, ...(scrub && { scrub }) }
    const reading = scrub && { files: new StoreFiles(this.path, log), notes: scrubNote(this.path, log) }
    return new Cache({ store, spools, space, upstreams, settings, budgets, clock, log, ...(reading && { scrub: reading }) })
  }
}

/** A test on fresh ground, which must be empty again afterwards. */
export function cacheTest(name: string, run: (ground: Ground) => Promise<void>, options: Options = {}): void {
  test(name, { timeout: 30_000 }, async (t) => {
    unhandled.length = 0
    const ground = await Ground.lay(t, options)
    const awake = setInterval(() => {}, 1000) // what waits for ever fails by its own timeout, and takes no other test with it
    try {
      await run(ground)
      await ground.leave()
    } finally {
      clearInterval(awake)
    }
  })
}

/** Has a manifest of that registry say how long a blob is, so that its fill knows before the first byte. */
export function listBlob(ground: Ground, registry: string, digest: Digest, sizeBytes: number): void {
  const config = { mediaType: 'application/vnd.oci.image.config.v1+json', digest, size: sizeBytes }
  const content = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: OCI_MANIFEST, config, layers: [], annotations: { registry } }))
  const supplied = { ...source(registry), imageUrl: `${registry}/some/app:1`, createdMs: 0, pulledMs: 0 }
  ground.catalog.addManifest(
    { digest: digestOf(content), mediaType: OCI_MANIFEST, bytes: content, ...supplied },
    parseManifest(content, OCI_MANIFEST),
  )
}

/** Asks for a blob as a client does: starts or joins its fill, and waits for the headers. */
export function ask(
  ground: Ground,
  digest: Digest,
  from: Source = source(),
): { readonly fill: Fill; readonly ready: Promise<ReadableBlob> } {
  const { fill } = ground.fills.start(digest, from, 'client')
  return { fill, ready: later(fill.ready(from).finally(() => ground.fills.abandonIfQueued(fill))) }
}

export async function over(ground: Ground, digest: Digest): Promise<void> {
  await until(() => ground.fills.of(digest) === undefined, 'the fill is over')
}

export function isKind(...kinds: readonly UpstreamErrorKind[]): (error: unknown) => boolean {
  return (error) => error instanceof UpstreamError && kinds.includes(error.kind)
}

export function source(registry = 'quay.io', repository = 'some/app'): Source {
  const parsed = parseRegistry(registry)
  return { registry: parsed, repository: parseRepositoryOf(parsed, repository) }
}

export function ref(text: string): Reference {
  return parseReference(text)
}

/** Bytes that do not compress and do not repeat. */
export function bytes(seed: string, sizeBytes: number): Buffer {
  return Buffer.concat([...generatedBytes(seed, sizeBytes).read(0, sizeBytes)])
}

/** Lets other work have its turn, so many times. */
export async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve))
}

/** Lets everything come about that needs no time to pass: some dozens of steps, each with its turn at the disk. */
export async function settle(): Promise<void> {
  for (let step = 0; step < 40; step++) {
    await stat('/')
    await turns(2)
  }
}

/** Whether a promise has settled by now. */
export async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  let settled = false
  const note = () => {
    settled = true
  }
  promise.then(note, note)
  await turns(5)
  return settled
}

/** Of a promise that a test looks at later, after it may have failed. */
export function later<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {})
  return promise
}

/** Lends two buffers and reads ahead, as the server does for a fast client; counts what was not given back. */
export class CountedBuffers implements ReadBuffers {
  lent = 0

  constructor(private readonly sizeBytes = 64 * KIB) {}

  take(): Buffer {
    this.lent++
    return Buffer.alloc(this.sizeBytes)
  }

  takeAhead(): Buffer | undefined {
    return this.lent < 2 ? this.take() : undefined
  }

  give(): void {
    this.lent--
  }
}

/** One client's way through a blob, at its own pace. */
export class Reader {
  /** Bytes received. */
  received = 0
  readonly done: Promise<Buffer>
  readonly #buffers = new CountedBuffers()
  #leaving = false
  #resume = (): void => {}

  /** @param slow takes one chunk per `step` */
  constructor(
    readonly blob: ReadableBlob,
    private readonly slow = false,
    start = 0,
    end = blob.sizeBytes,
  ) {
    this.done = later(this.#read(start, end))
  }

  step(): void {
    this.#resume()
  }

  /** Goes away after the chunk that it has. */
  leave(): void {
    this.#leaving = true
    this.#resume()
  }

  async #read(start: number, end: number): Promise<Buffer> {
    const chunks: Buffer[] = []
    try {
      for await (const chunk of this.blob.read(start, end, this.#buffers)) {
        chunks.push(Buffer.from(chunk)) // it is valid until the next one is asked for
        this.received += chunk.byteLength
        if (this.slow && !this.#leaving) {
          await new Promise<void>((resolve) => {
            this.#resume = resolve
          })
        }
        if (this.#leaving) break
      }
    } finally {
      this.blob.close()
      assert.equal(this.#buffers.lent, 0, 'every buffer was given back')
    }
    return Buffer.concat(chunks)
  }
}

export async function readAll(blob: ReadableBlob): Promise<Buffer> {
  return new Reader(blob).done
}

/** A store with some of its methods replaced. */
export function overriding(store: Store, replaced: Partial<Store>): Store {
  return new Proxy(store, {
    get(target, name) {
      const method = (replaced as Record<PropertyKey, unknown>)[name] ?? (target as unknown as Record<PropertyKey, unknown>)[name]
      return typeof method === 'function' && !(name in replaced) ? method.bind(target) : method
    },
  })
}

function newSpools(...args: ConstructorParameters<typeof SpoolDirectory>): SpoolDirectory {
  return new SpoolDirectory(...args)
}

/** A spool on a disk that a test makes slow, or full. */
export class ScriptedSpools extends SpoolDirectory {
  beforeCreate = async (): Promise<void> => {}
  beforeWrite = async (): Promise<void> => {}
  beforeDrop = async (): Promise<void> => {}

  override async open(digest: Digest, about: () => SpoolNote): Promise<FileSpool> {
    await this.beforeCreate()
    const spool = await super.open(digest, about)
    const [write, drop] = [spool.write.bind(spool), spool.drop.bind(spool)]
    spool.write = (chunks, position) => this.beforeWrite().then(() => write(chunks, position))
    spool.drop = () => this.beforeDrop().then(drop)
    return spool
  }
}

/** As the operating system says it. */
export function systemError(code: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${code}: scripted`), { code, syscall: 'write', errno: -1 })
}

async function openFiles(under: string): Promise<string[]> {
  const found: string[] = []
  for (const fd of await readdir('/proc/self/fd')) {
    const target = await readlink(`/proc/self/fd/${fd}`).catch(() => '')
    if (target.startsWith(under)) found.push(target)
  }
  return found
}
