/** Kills the built program again and again, at random instants, on one store; and writes down what was not as it was promised. */
import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Digest, digestFileName } from '../../../src/oci/digest.ts'
import { parseReference } from '../../../src/oci/reference.ts'
import type { Cleanup } from '../../e2e/support/cleanup.ts'
import { until } from '../../e2e/support/poll.ts'
import type { Running } from '../../e2e/support/processes.ts'
import { testDirectory } from '../../e2e/support/run-directory.ts'
import { type Installation, install } from '../../e2e/support/server.ts'
import { startFakeRegistry } from '../../support/fake-registry.ts'
import { throttle } from '../../support/fake-registry-faults.ts'
import { Random } from '../../support/property.ts'
import { Client } from './client.ts'
import { compareDownloads, lostBetween, strangeRefs } from './comparison.ts'
import { emptySpool } from './empty-spool.ts'
import { Load, ORDINARY } from './load.ts'
import { inspectStore, leftoversIn, type StoreState } from './store-state.ts'
import { verdictOf } from './verdict.ts'
import { type Blob, REGISTRY, World } from './world.ts'

const MIB = 1024 * 1024
const LARGEST_LAYER_BYTES = 24 * MIB
/** The largest layers take a second or two: most instants lie in the middle of some download. */
const UPSTREAM_BYTES_PER_SECOND = 16 * MIB
/** More, and blobs are taken away while nobody looks: what the next run has to download, and what this test takes of the disk. */
const STORE_BYTES = 128 * MIB
const CLIENTS = 6
/** One of so many is killed before it answers, or as soon as it does. */
const KILLED_AT_START = 5
const START_MS = 500
const LOAD_MS = 1_500
const CLEARED_MS = 5_000
/** Of each kind, that are asked for after each start. */
const SAMPLES = 12

/** A line for each thing that was not as promised; the lists of a good run are empty. */
export type Findings = {
  readonly notStarted: string[]
  /** Answers that were not true. */
  readonly wrongAnswers: string[]
  /** No answer, though server and upstream were there. */
  readonly noAnswers: string[]
  /** In the store. */
  readonly wrongContent: string[]
  /** Stored before the kill, and gone or not served after it. */
  readonly lost: string[]
  /** Bytes that the upstream had to send again. */
  readonly again: string[]
  readonly leftovers: string[]
}

export type Tally = {
  readonly findings: Findings
  kills: number
  /** Kills that hit at least one download in the middle. */
  midway: number
  /** Downloads that went on from more than one write. */
  continued: number
  complete: number
}

export type KillOptions = { readonly kills: number; readonly seed: number }

export async function killAgainAndAgain(t: Cleanup, { kills, seed }: KillOptions): Promise<Tally> {
  const logFile = join(await testDirectory(t), 'server.log')
  const registry = await startFakeRegistry(t)
  const slow = registry.fault({ match: { kind: 'blob' }, do: [throttle(UPSTREAM_BYTES_PER_SECOND)] })
  const quiet = { after: t.after.bind(t), diagnostic: () => {} } // each kill would have something to say
  const server = await install(quiet, [{ name: REGISTRY, url: registry.origin }], { alwaysPullLatest: 'true', logLevel: 'info', logFile })
  const run = new Run(server, new World(registry, new Random(seed), LARGEST_LAYER_BYTES), seed)
  const { tally } = run
  while (tally.kills < kills && tally.findings.notStarted.length === 0) await run.kill()
  slow.remove()
  if (tally.findings.notStarted.length === 0) await run.finish()
  if (Object.values(tally.findings).some((lines) => lines.length > 0)) t.diagnostic(`the server's log ends so:\n${await tailOf(logFile)}`)
  return tally
}

class Run {
  readonly tally: Tally = {
    findings: { notStarted: [], wrongAnswers: [], noAnswers: [], wrongContent: [], lost: [], again: [], leftovers: [] },
    kills: 0,
    midway: 0,
    continued: 0,
    complete: 0,
  }
  readonly #server: Installation
  readonly #world: World
  readonly #seed: number
  readonly #random: Random
  /** As the last kill left it. */
  #state: StoreState | undefined

  constructor(server: Installation, world: World, seed: number) {
    this.#server = server
    this.#world = world
    this.#seed = seed
    this.#random = new Random(seed + 1)
  }

  /** Starts it, kills it, and compares what lies there with what lay there before. */
  async kill(): Promise<void> {
    const before = await this.#makeRoom()
    this.#world.publish()
    this.#world.publish()
    this.#world.registry.ledger.clear()
    const server = await this.#server.launch()
    if (this.#random.below(KILLED_AT_START) === 0) {
      await sleep(this.#random.below(START_MS))
      await server.stop('SIGKILL')
    } else {
      await this.#underLoad(server, before)
    }
    const after = await this.#inspect()
    if ([...after.spools].some(([digest, bytes]) => bytes !== before.spools.get(digest))) this.tally.midway++
    for (const line of lostBetween(before, after)) this.#say('lost', line)
    for (const line of after.wrong) this.#say('wrongContent', line)
    for (const line of strangeRefs(after, this.#world)) this.#say('wrongContent', line)
    const { again, continued } = compareDownloads(before, after, this.#world)
    for (const line of again) this.#say('again', line)
    this.tally.continued += continued
    this.tally.kills++
  }

  /** Nobody kills it any more: what is on its way comes to an end, and nothing is left of it. */
  async finish(): Promise<void> {
    const server = await this.#server.launch()
    const before = this.#state ?? (await this.#inspect())
    if (!(await this.#answers(server))) return
    await this.#checkStart(before)
    const client = this.#client(this.#random)
    try {
      for (const digest of before.spools.keys()) await client.blob(this.#blob(digest))
      for (const release of this.#world.releases.slice(-3)) await client.pull(release)
    } catch (error) {
      this.#say('noAnswers', `without a kill: ${messageOf(error)}`)
    }
    for (const line of await emptySpool(client, this.#world, this.#server.imagePath)) this.#say('leftovers', line)
    const exit = await server.stop()
    if (exit.code !== 0) this.#say('noAnswers', `asked to end, it did so with ${exit.code ?? exit.signal}`)
    const { leftovers } = await this.#inspect()
    for (const path of leftovers) this.#say('leftovers', `${path} is there at the end`)
    for (const line of await verdictOf(this.#server)) this.#say('wrongContent', line)
  }

  async #underLoad(server: Running, before: StoreState): Promise<void> {
    if (!(await this.#answers(server))) return
    await this.#checkStart(before)
    const { registry } = this.#world
    const load = new Load({
      world: this.#world,
      acts: ORDINARY,
      clients: CLIENTS,
      client: (_, random) => this.#client(random),
      random: (i) => new Random(this.#seed + 1000 * (this.tally.kills + 1) + i),
      onNoAnswer: (error) => this.#say('noAnswers', error.message),
    })
    await until('a download begins', () => registry.count({ kind: 'blob', method: 'GET' }) > 0).catch((error) =>
      this.#say('noAnswers', messageOf(error)),
    )
    await sleep(this.#random.below(LOAD_MS))
    const stopped = load.stop()
    await server.stop('SIGKILL')
    await stopped
    this.tally.complete += load.complete
    for (const line of load.wrong) this.#say('wrongAnswers', line)
  }

  async #answers(server: Running): Promise<boolean> {
    try {
      await this.#server.ready(server)
      return true
    } catch (error) {
      this.#say('notStarted', messageOf(error))
      await server.stop('SIGKILL')
      return false
    }
  }

  /** What lies there is served, without the upstream. */
  async #checkStart(before: StoreState): Promise<void> {
    await this.#checkLeftovers(before)
    const client = this.#client(this.#random)
    const onlyIfCached = true
    for (const [text, digest] of this.#some(before.refs)) {
      const { repository, tag } = parseReference(text)
      await this.#isServed(text, async () => {
        const got = await client.manifest(repository, tag ?? digest, { onlyIfCached })
        if (got !== digest) throw new Error(`it is ${got}, and was ${digest}`)
      })
    }
    for (const [digest] of this.#some(before.blobs.entries()))
      await this.#isServed(digest, () => client.blob(this.#blob(digest), { onlyIfCached }))
  }

  /** What nobody will ask for goes with a start, or soon after it. */
  async #checkLeftovers(before: StoreState): Promise<void> {
    let still: string[] = []
    const areGone = async () => {
      const now = new Set(await leftoversIn(this.#server.imagePath))
      still = before.leftovers.filter((path) => now.has(path))
      return still.length === 0
    }
    await until('leftovers are gone', areGone, CLEARED_MS).catch(() => {
      for (const path of still) this.#say('leftovers', `${path} is still there ${CLEARED_MS / 1000} s after a start`)
    })
  }

  async #isServed(what: string, ask: () => Promise<void>): Promise<void> {
    try {
      await ask()
    } catch (error) {
      this.#say('lost', `${what} was stored, and after a start: ${messageOf(error)}`)
    }
  }

  /** Takes blobs away, as somebody would who needs the room. @returns what lies there then */
  async #makeRoom(): Promise<StoreState> {
    const state = this.#state ?? (await this.#inspect())
    const blobs = new Set(state.blobs)
    let bytes = 0
    for (const digest of blobs) bytes += this.#blob(digest).sizeBytes
    for (const digest of blobs) {
      if (bytes <= STORE_BYTES) break
      await rm(join(this.#server.imagePath, 'blobs', digestFileName(digest)))
      bytes -= this.#blob(digest).sizeBytes
      blobs.delete(digest)
    }
    return { ...state, blobs }
  }

  async #inspect(): Promise<StoreState> {
    this.#state = await inspectStore(this.#server.imagePath)
    return this.#state
  }

  #blob(digest: Digest): Blob {
    return this.#world.blob(digest) ?? { repository: 'unknown', digest, sizeBytes: 0 }
  }

  #client(random: Random): Client {
    return new Client(this.#world, this.#server.url, random)
  }

  #some<K, V>(entries: Iterable<readonly [K, V]>): (readonly [K, V])[] {
    const all = [...entries]
    return Array.from({ length: Math.min(SAMPLES, all.length) }, () => this.#random.pick(all))
  }

  /** Once for each thing: what is wrong in the store stays so. */
  #say(what: keyof Findings, line: string): void {
    const lines = this.tally.findings[what]
    if (!lines.some((known) => known.endsWith(line))) lines.push(`kill ${this.tally.kills + 1}: ${line}`)
  }
}

async function tailOf(path: string): Promise<string> {
  const text = await readFile(path, 'utf8').catch(() => '')
  return text.slice(-4000)
}

const messageOf = (error: unknown) => (error instanceof Error ? error.message : String(error))
