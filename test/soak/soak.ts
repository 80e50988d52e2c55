/** One soak: everything that happens to a server at a bad site, at once and for long; and what is left of its promises at the end. */
import { setMaxListeners } from 'node:events'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Scope } from '../../bench/steps.ts'
import { Client, WrongAnswer } from '../crash/support/client.ts'
import { emptySpool } from '../crash/support/empty-spool.ts'
import { type Act, Load, ORDINARY, someBlob } from '../crash/support/load.ts'
import { inspectStore } from '../crash/support/store-state.ts'
import { verdictOf } from '../crash/support/verdict.ts'
import { MOVING, REGISTRY, World } from '../crash/support/world.ts'
import { until } from '../e2e/support/poll.ts'
import { testDirectory } from '../e2e/support/run-directory.ts'
import { type Installation, install } from '../e2e/support/server.ts'
import { startFakeRegistry } from '../support/fake-registry.ts'
import { throttle } from '../support/fake-registry-faults.ts'
import { Random } from '../support/property.ts'
import type { Options } from './options.ts'
import { countDescriptors, most, type Sample, sample } from './samples.ts'
import { ServerLife } from './server-life.ts'
import { UpstreamFaults } from './upstream-faults.ts'
import { Vandal } from './vandal.ts'

const MIB = 1024 * 1024
/** Tags that move are seen to, and the scrub is always about. */
const SETTINGS = { alwaysPullLatest: 'true', logLevel: 'warn', scrub: '{every: 10s, rate: 64MiB}' }
const LARGEST_LAYER_BYTES = 6 * MIB
const UPSTREAM_BYTES_PER_SECOND = 32 * MIB
/** Then only tags move: the store stays below a GiB. */
const RELEASES = 60
const CLIENTS = 12
/** More than a server that has just begun to work may be open when nobody asks any more: connections to the upstream, for a while. */
const MORE_DESCRIPTORS = 16
/**
 * Node with the program in it: 70 MiB. Its own bounds: 32 MiB of downloads that wait for the disk, 32 MiB of windows, 16 MiB of buffers for
 * answers, 8 MiB of small blobs, 32 MiB of manifests. The rest is what V8 has not collected yet.
 */
const MEMORY_BYTES = 384 * MIB
/** The last process has so much of the time for itself, so that what grows can be seen to. */
const UNDISTURBED = 0.3
/** An upstream that was down is tried again once a minute at least. */
const WELL_AGAIN_MS = 90_000
/** Memory of the last process: the last third of its life may have so much more than the middle one, if it lived long enough to tell. */
const GROWTH = { factor: 1.2, bytes: 24 * MIB, samples: 300 }
/**
 * What a container runtime may see of an upstream's trouble. 416: the upstream declared another length than the blob has, and no cached manifest
 * knows better until the digest tells.
 */
const HONEST: ReadonlySet<number | undefined> = new Set([undefined, 403, 416, 502, 503, 504])

export type Report = {
  /** A line for each thing that was not as promised. */
  readonly findings: readonly string[]
  readonly figures: ReadonlyMap<string, string | number>
}

/**
 * @param interrupted ends it early, with a report
 * @param tell what it does now
 */
export async function soak(
  scope: Scope,
  { minutes, seed }: Options,
  interrupted: AbortSignal,
  tell: (step: string) => void,
): Promise<Report> {
  const registry = await startFakeRegistry(scope)
  registry.fault({ match: { kind: 'blob' }, do: [throttle(UPSTREAM_BYTES_PER_SECOND)] })
  const logFile = join(await testDirectory(scope), 'server.log')
  const installation = await install(scope, [{ name: REGISTRY, url: registry.origin }], { ...SETTINGS, logFile })
  const one = new Soak(new World(registry, new Random(seed), LARGEST_LAYER_BYTES), installation, seed, tell)
  await one.rough(minutes * 60_000, interrupted)
  await one.calm()
  return one.report()
}

class Soak {
  readonly #world: World
  readonly #installation: Installation
  readonly #seed: number
  readonly #random: Random
  readonly #life: ServerLife
  readonly #faults: UpstreamFaults
  readonly #vandal: Vandal
  readonly #findings = new Set<string>()
  readonly #samples: Sample[] = []
  /** By status; undefined: the connection broke. */
  readonly #noAnswers = new Map<number | undefined, number>()
  readonly #over = new AbortController()
  readonly #tell: (step: string) => void
  #complete = 0
  #descriptorsAtStart = 0

  constructor(world: World, installation: Installation, seed: number, tell: (step: string) => void) {
    this.#tell = tell
    this.#world = world
    this.#installation = installation
    this.#seed = seed
    this.#random = new Random(seed + 1)
    setMaxListeners(0, this.#over.signal) // everybody who waits listens
    this.#life = new ServerLife(installation, (line) => this.#find(line))
    this.#faults = new UpstreamFaults(world.registry, new Random(seed + 2))
    this.#vandal = new Vandal(installation.imagePath, new Random(seed + 3))
  }

  /** Clients, faults, deletions and restarts, all at once. */
  async rough(ms: number, interrupted: AbortSignal): Promise<void> {
    const end = () => this.#over.abort()
    interrupted.addEventListener('abort', end, { once: true })
    const timer = setTimeout(end, ms)
    for (let i = 0; i < 3; i++) this.#world.publish()
    await this.#life.start()
    await this.#client(this.#random).pull(this.#world.recent())
    this.#descriptorsAtStart = countDescriptors(this.#life.pid ?? 0)
    const load = this.#load()
    await Promise.all([
      this.#again([1_000, 5_000], () => {
        if (this.#world.releases.length < RELEASES) this.#world.publish()
      }),
      this.#again([300, 3_000], () => this.#faults.once((forMs) => this.#wait(forMs))),
      this.#again([1_000, 6_000], () => this.#vandal.strike()),
      this.#restarts(ms),
      this.#again([1_000, 1_000], () => this.#sample()),
    ])
    clearTimeout(timer)
    this.#tell('enough: clients come to an end')
    await load.stop()
    this.#complete = load.complete
    for (const line of load.wrong) this.#find(line)
  }

  /** The upstream is well, and nobody breaks anything: now everything there is comes whole, and nothing is left of what was on its way. */
  async calm(): Promise<void> {
    if (this.#life.pid === undefined) await this.#life.start()
    const client = this.#client(this.#random)
    const fresh = this.#world.publish()
    const isWell = () =>
      client.pull(fresh).then(
        () => true,
        (error) => this.#isWrong(error),
      )
    this.#tell('the upstream is well: it is asked again')
    await this.#expect('a new image can be pulled again', isWell, WELL_AGAIN_MS)
    this.#tell('what was on its way comes to an end')
    await this.#emptySpool(client)
    const atRest = this.#descriptorsAtStart + MORE_DESCRIPTORS
    const pid = this.#life.pid ?? 0
    await this.#expect(`of its descriptors no more than ${atRest} are open`, () => countDescriptors(pid) <= atRest, WELL_AGAIN_MS)
    await this.#sample()
    this.#judgeMemory()
    this.#tell('everything is pulled once more')
    await this.#life.stop()
    await this.#life.start() // what was deleted may be in its memory
    await this.#pullEverything(client)
    await this.#emptySpool(client)
    await this.#life.stop()
    this.#tell('the store is looked at')
    const { wrong, leftovers } = await inspectStore(this.#installation.imagePath)
    for (const line of wrong) this.#find(line)
    for (const path of leftovers) this.#find(`${path} is left over`)
    for (const line of await verdictOf(this.#installation)) this.#find(line)
  }

  report(): Report {
    const mib = (bytes: number) => `${Math.round(bytes / MIB)} MiB`
    const last = this.#samples.at(-1)
    const figures = new Map<string, string | number>([
      ['seed', this.#seed],
      ['things done by clients, to the end', this.#complete],
      ...[...this.#noAnswers].map(([status, times]) => [`answered with ${status ?? 'a broken connection'}`, times] as const),
      ['restarts', this.#life.restarts],
      ['kills', this.#life.kills],
      ['files removed', this.#vandal.removedFiles],
      ['directories removed', this.#vandal.removedDirectories],
      ...[...this.#faults.applied].map(([name, times]) => [`fault: ${name}`, times] as const),
      [
        'descriptors at start / most / at the end',
        `${this.#descriptorsAtStart} / ${most(this.#samples, (s) => s.descriptors)} / ${last?.descriptors}`,
      ],
      ['memory: most / at the end', `${mib(most(this.#samples, (s) => s.residentBytes))} / ${mib(last?.residentBytes ?? 0)}`],
      ['spool: most / at the end', `${mib(most(this.#samples, (s) => s.spoolBytes))} / ${mib(last?.spoolBytes ?? 0)}`],
    ])
    return { findings: [...this.#findings], figures }
  }

  #load(): Load {
    const slowly: Act = (client, world, random) => client.slowly(someBlob(world, random), random.between(1, 30), this.#over.signal)
    return new Load({
      world: this.#world,
      acts: [
        ...ORDINARY,
        slowly,
        (client, world, random) => client.headBlob(someBlob(world, random)),
        (client, world) => client.tags(world.recent()),
      ],
      clients: CLIENTS,
      client: (_, random) => this.#client(random),
      random: (i) => new Random(this.#seed + 1000 + i),
      onNoAnswer: async ({ status, message }) => {
        this.#noAnswers.set(status, (this.#noAnswers.get(status) ?? 0) + 1)
        if (!HONEST.has(status)) this.#find(message)
        await sleep(50) // a port that is closed would be asked thousands of times a second
      },
    })
  }

  async #restarts(ms: number): Promise<void> {
    const endMs = performance.now() + ms * (1 - UNDISTURBED)
    while (!this.#over.signal.aborted) {
      await this.#wait(Math.max(5_000, this.#random.between(ms / 24, ms / 8)))
      if (this.#over.signal.aborted || performance.now() > endMs) return
      if (this.#random.below(2) === 0) await this.#life.stop()
      else await this.#life.kill()
      try {
        await this.#life.start()
      } catch (error) {
        this.#find(`it does not start again: ${messageOf(error)}`)
        this.#over.abort()
      }
    }
  }

  async #emptySpool(client: Client): Promise<void> {
    for (const line of await emptySpool(client, this.#world, this.#installation.imagePath)) this.#find(line)
  }

  async #pullEverything(client: Client): Promise<void> {
    for (const { repository, tag, digest, images } of this.#world.releases) {
      try {
        for (const reference of [tag, MOVING, digest, ...images.map((image) => image.digest)]) await client.manifest(repository, reference)
        await Promise.all(images.flatMap(({ blobs }) => blobs).map((blob) => client.blob(blob)))
      } catch (error) {
        this.#find(`at the end, ${repository}:${tag}: ${messageOf(error)}`)
      }
    }
  }

  #judgeMemory(): void {
    const highest = most(this.#samples, (s) => s.residentBytes)
    if (highest > MEMORY_BYTES) this.#find(`the server held ${highest} bytes of memory, more than ${MEMORY_BYTES}`)
    const lastPid = this.#samples.at(-1)?.pid
    const own = this.#samples.filter(({ pid }) => pid === lastPid)
    if (own.length < GROWTH.samples) return
    const third = Math.floor(own.length / 3)
    const middle = most(own.slice(third, 2 * third), (s) => s.residentBytes)
    const end = most(own.slice(2 * third), (s) => s.residentBytes)
    if (end > middle * GROWTH.factor + GROWTH.bytes) this.#find(`memory grows: ${middle} bytes at most in the middle, ${end} at the end`)
  }

  async #sample(): Promise<void> {
    const { pid } = this.#life
    const one = pid === undefined ? undefined : await sample(pid, this.#installation.imagePath)
    if (one !== undefined) this.#samples.push(one)
    this.#world.registry.ledger.clear() // it would grow for hours
  }

  /** Until the rough part is over. @param betweenMs the shortest and the longest pause before each time */
  async #again([least, longest]: readonly [number, number], act: () => Promise<void> | void): Promise<void> {
    while (!this.#over.signal.aborted) {
      await this.#wait(this.#random.between(least, longest))
      if (!this.#over.signal.aborted) await act()
    }
  }

  #wait(ms: number): Promise<void> {
    return sleep(ms, undefined, { signal: this.#over.signal }).catch(() => {})
  }

  async #expect(what: string, isSo: () => boolean | Promise<boolean>, withinMs = 60_000): Promise<void> {
    await until(what, isSo, withinMs).catch((error) => this.#find(messageOf(error)))
  }

  /** @returns false, for an answer that may come later */
  #isWrong(error: unknown): false {
    if (error instanceof WrongAnswer) this.#find(error.message)
    return false
  }

  #client(random: Random): Client {
    return new Client(this.#world, this.#installation.url, random, true)
  }

  #find(line: string): void {
    this.#findings.add(line)
  }
}

const messageOf = (error: unknown) => (error instanceof Error ? error.message : String(error))
