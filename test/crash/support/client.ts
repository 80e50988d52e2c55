/** A client that checks every byte: what is complete must be right, whatever happens to the server meanwhile. */
import { createHash } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Digest, digestOf, isDigest } from '../../../src/oci/digest.ts'
import { open } from '../../e2e/support/http-client.ts'
import type { Random } from '../../support/property.ts'
import { type Blob, MOVING, REGISTRY, type Release, type World } from './world.ts'

/** A complete answer that is not true. */
/** No range that reaches into them is complete before the digest is verified. */
const HELD_BACK_BYTES = 64 * 1024

export class WrongAnswer extends Error {}

/** No answer, an error, or a body that ended short. */
export class NoAnswer extends Error {
  /** @param status undefined where the connection broke */
  constructor(
    message: string,
    readonly status?: number,
  ) {
    super(message)
  }
}

export type AskFor = {
  readonly method?: 'HEAD'
  readonly range?: string
  /** The upstream may not be asked. */
  readonly onlyIfCached?: boolean
}

/** Longer than any limit of the server: it neither answers nor gives up. */
const LIMIT_MS = 120_000

export class Client {
  readonly #world: World
  readonly #upstreamLies: boolean
  readonly #url: string
  readonly #random: Random

  /** @param upstreamLies whether wrong bytes may come from there: a closed range of a download that runs is sent before its digest is known */
  constructor(world: World, url: string, random: Random, upstreamLies = false) {
    this.#upstreamLies = upstreamLies
    this.#world = world
    this.#url = url
    this.#random = random
  }

  /** As a container runtime does it: tag, manifests by digest, then all blobs side by side. */
  async pull({ repository, tag, digest, images }: Release): Promise<void> {
    if (this.#random.below(2) === 0) await this.manifest(repository, tag, { method: 'HEAD' })
    await this.manifest(repository, tag)
    await this.manifest(repository, digest)
    const { digest: chosen, blobs } = this.#random.pick(images)
    if (chosen !== digest) await this.manifest(repository, chosen)
    const got = await Promise.allSettled(blobs.map((blob) => this.blob(blob)))
    const failures = got.flatMap((one) => (one.status === 'rejected' ? [one.reason] : []))
    const worst = failures.find((error) => !(error instanceof NoAnswer)) ?? failures[0]
    if (worst !== undefined) throw worst
  }

  /** The tag that moves. */
  async moving({ repository }: Release): Promise<void> {
    await this.manifest(repository, MOVING)
  }

  /** @returns the digest of what came, which is what was asked for */
  async manifest(repository: string, reference: string, ask: AskFor = {}): Promise<Digest> {
    const answer = await Answer.to(this.#url, `${repository}/manifests/${reference}`, ask)
    const said = answer.header('docker-content-digest') as Digest
    const bytes = await answer.bytes()
    const digest = ask.method === 'HEAD' ? said : digestOf(bytes)
    const isRight = isDigest(reference) ? digest === reference : this.#world.couldName(repository, reference, digest)
    if (digest !== said || !isRight) throw new WrongAnswer(`${repository}:${reference} was answered with ${digest}, said to be ${said}`)
    return digest
  }

  async blob(blob: Blob, ask: AskFor = {}): Promise<void> {
    const hash = createHash('sha256')
    await (await this.#askBlob(blob, ask)).read((chunk) => void hash.update(chunk))
    const hex = hash.digest('hex')
    if (`sha256:${hex}` !== blob.digest) throw new WrongAnswer(`the complete body of ${blob.digest} hashes to ${hex}`)
  }

  /** Some of a blob, from anywhere, to its end or not. */
  async part(blob: Blob): Promise<void> {
    const start = this.#random.below(blob.sizeBytes)
    const end = this.#random.below(3) === 0 ? blob.sizeBytes : this.#random.between(start + 1, blob.sizeBytes)
    const isOpen = end === blob.sizeBytes && this.#random.below(2) === 0
    const range = `bytes=${start}-${isOpen ? '' : end - 1}`
    const answer = await this.#askBlob(blob, { range })
    const bytes = await answer.bytes()
    if (answer.status !== 206) throw new WrongAnswer(`${range} of ${blob.digest} was answered with ${answer.status}`)
    const isVerified =
      !this.#upstreamLies || isOpen || end > blob.sizeBytes - HELD_BACK_BYTES || answer.header('cache-status')?.includes('hit') === true
    if (isVerified && !bytes.equals(this.#world.bytes(blob, start, end)))
      throw new WrongAnswer(`${range} of ${blob.digest} has wrong bytes`)
  }

  /** Takes a little and goes away, without a word. */
  async leave(blob: Blob): Promise<void> {
    const enough = this.#random.below(blob.sizeBytes)
    let seen = 0
    await (await this.#askBlob(blob)).read((chunk) => {
      seen += chunk.length
      return seen < enough
    })
  }

  /** Takes all of it, with a pause after every so many bytes, until `hurry` says otherwise. */
  async slowly(blob: Blob, pauseMs: number, hurry: AbortSignal): Promise<void> {
    const hash = createHash('sha256')
    await (await this.#askBlob(blob)).read(async (chunk) => {
      hash.update(chunk)
      if (!hurry.aborted) await sleep(pauseMs, undefined, { signal: hurry }).catch(() => {})
    })
    if (`sha256:${hash.digest('hex')}` !== blob.digest) throw new WrongAnswer(`the complete body of ${blob.digest} has wrong bytes`)
  }

  /** The size, without the bytes. Of a blob that is not cached it is what the upstream says, which nobody can verify. */
  async headBlob(blob: Blob): Promise<void> {
    const answer = await this.#askBlob(blob, { method: 'HEAD' })
    await answer.bytes()
    const length = answer.header('content-length')
    if (answer.header('cache-status')?.includes('hit') && length !== String(blob.sizeBytes))
      throw new WrongAnswer(`${blob.digest}, which is cached, was said to have ${length} bytes`)
  }

  async tags({ repository }: Release): Promise<void> {
    const { tags } = JSON.parse((await (await Answer.to(this.#url, `${repository}/tags/list`, {})).bytes()).toString())
    const known = new Set(this.#world.releases.filter((release) => release.repository === repository).map(({ tag }) => tag)).add(MOVING)
    const foreign = tags.filter((tag: string) => !known.has(tag))
    if (foreign.length > 0) throw new WrongAnswer(`${repository} was said to have the tags ${foreign.join(', ')}`)
  }

  #askBlob({ repository, digest }: Blob, ask: AskFor = {}): Promise<Answer> {
    return Answer.to(this.#url, `${repository}/blobs/${digest}`, ask)
  }
}

/** An answer that is no error. */
class Answer {
  private constructor(
    private readonly what: string,
    private readonly response: IncomingMessage,
    private readonly limit: AbortSignal,
  ) {}

  static async to(url: string, path: string, { method, range, onlyIfCached }: AskFor): Promise<Answer> {
    const what = `${method ?? 'GET'} ${path}${range === undefined ? '' : ` ${range}`}`
    const headers = { ...(range && { range }), ...(onlyIfCached && { 'cache-control': 'only-if-cached' }) }
    const limit = new AbortController()
    const timer = setTimeout(() => limit.abort(), LIMIT_MS)
    const asking = open(`${url}/v2/${path}?ns=${REGISTRY}`, { method: method ?? 'GET', headers, signal: limit.signal })
    const response = await whole(asking, what, limit.signal).catch((error) => {
      clearTimeout(timer)
      throw error
    })
    response.once('close', () => clearTimeout(timer))
    const answer = new Answer(what, response, limit.signal)
    if (answer.status >= 300) throw await answer.#error()
    return answer
  }

  get status(): number {
    return this.response.statusCode ?? 0
  }

  header(name: string): string | undefined {
    return this.response.headers[name]?.toString()
  }

  /** @param take answers false when it has enough */
  read(take: (chunk: Buffer) => unknown): Promise<void> {
    const reading = async () => {
      for await (const chunk of this.response) if ((await take(chunk)) === false) break
    }
    return whole(reading(), `the body of ${this.what}`, this.limit)
  }

  async bytes(): Promise<Buffer> {
    const chunks: Buffer[] = []
    await this.read((chunk) => void chunks.push(chunk))
    return Buffer.concat(chunks)
  }

  /** 500 is a mistake of the server's own, whatever its upstream does. */
  async #error(): Promise<Error> {
    const text = `${this.what}: ${this.status} ${(await this.bytes()).toString().slice(0, 500)}`
    return this.status === 500 ? new WrongAnswer(text) : new NoAnswer(text, this.status)
  }
}

/** Says of a connection that broke what was coming. */
async function whole<T>(coming: Promise<T>, what: string, limit: AbortSignal): Promise<T> {
  try {
    return await coming
  } catch (error) {
    if (limit.aborted) throw new WrongAnswer(`${what}: it neither came nor broke off within ${LIMIT_MS / 1000} s`)
    throw new NoAnswer(`${what}: ${error instanceof Error ? error.message : error}`)
  }
}
