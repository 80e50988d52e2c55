/** The upstream of one registry: what the cache may ask it for, as URLs, headers and checks of the answers. */

import { Readable } from 'node:stream'
import { withDeadline } from '../async/deadline.ts'
import { Limiter } from '../async/limiter.ts'
import { OVER } from '../async/over.ts'
import type { Clock } from '../observe/clock.ts'
import type { Metrics, ReceivedKind } from '../observe/metrics.ts'
import { type Digest, isDigest } from '../oci/digest.ts'
import { MAX_MANIFEST_BYTES } from '../oci/manifest.ts'
import { MANIFEST_ACCEPT, OCI_INDEX } from '../oci/media-type.ts'
import type { Registry, Repository, Tag } from '../oci/name.ts'
import { parseContentRange, totalOfUnsatisfied } from '../oci/range.ts'
import type { Advice } from './advice.ts'
import type { Answer } from './answer.ts'
import type { Budgets } from './budgets.ts'
import type { Circuits } from './circuits.ts'
import { UpstreamError } from './error.ts'
import type { Hops } from './hops.ts'
import { readPages } from './pages.ts'
import { refusalOf } from './refusal.ts'
import type { Ask, Asked, Requester } from './requester.ts'
import type { Transport } from './transport.ts'
import type { Refusal, Upstream, UpstreamBlob, UpstreamHealth, UpstreamManifest, Urgency } from './upstream.ts'

export type RegistryClientOptions = {
  readonly registry: Registry
  /** `https://host:port` */
  readonly origin: URL
  readonly requester: Requester
  readonly hops: Hops
  readonly transport: Transport
  readonly circuits: Circuits
  readonly advice: Advice
  readonly clock: Clock
  readonly metrics?: Pick<Metrics, 'received'> | undefined
  readonly budgets: Budgets
  /** For the headers of an answer: redirects, challenges and tokens together. */
  readonly pullTimeoutMs: number
}

/** With which servers refuse a client certificate, or the lack of one, after the handshake (nginx: 400). */
const CLIENT_CERTIFICATE_STATUSES: ReadonlySet<number> = new Set([400, 403, 495, 496])

/** A question as the methods below put it. */
type Question = {
  /** For messages: `manifest library/alpine:3`. */
  readonly what: string
  readonly repository: Repository
  /** Behind `/v2/<repository>/`, with its query. Made of checked parts only. */
  readonly path: string
  readonly method?: 'GET' | 'HEAD'
  readonly headers?: Ask['headers']
  readonly bulk?: boolean
  /** Statuses that are answers; any other is an error. */
  readonly accept?: readonly number[]
  /** Who gives it up may have been in a hurry, or it takes long by nature: that says nothing of the registry. */
  readonly mayTakeLong?: boolean
  readonly signal: AbortSignal | undefined
}

export class RegistryClient implements Upstream {
  readonly registry: Registry
  readonly #options: RegistryClientOptions
  readonly #parsing = new Limiter(1)
  #refused: Refusal | undefined

  constructor(options: RegistryClientOptions) {
    this.registry = options.registry
    this.#options = options
  }

  getManifest(repository: Repository, target: Tag | Digest, signal?: AbortSignal): Promise<UpstreamManifest> {
    return this.#ask({ ...manifestQuestion(repository, target, signal), mayTakeLong: true }, async (answer) => ({
      bytes: await this.#read('manifest', answer, MAX_MANIFEST_BYTES, signal),
      contentType: answer.header('content-type'),
      digest: digestHeader(answer),
    }))
  }

  /** A registry that refuses the method says nothing of the tag. */
  headManifest(repository: Repository, target: Tag | Digest, signal?: AbortSignal): Promise<Digest | undefined> {
    const question: Question = { ...manifestQuestion(repository, target, signal), method: 'HEAD', accept: [200, 405, 501] }
    return this.#ask(question, async (answer) => {
      this.#options.hops.discard(answer)
      return answer.status === 200 ? digestHeader(answer) : undefined
    })
  }

  openBlob(repository: Repository, digest: Digest, offset: number, signal?: AbortSignal): Promise<UpstreamBlob> {
    const partial = offset === 0 ? {} : { headers: { range: `bytes=${offset}-` }, accept: [200, 206, 416] }
    return this.#ask({ accept: [200, 206], ...blobQuestion(repository, digest, signal), ...partial, mayTakeLong: true }, async (answer) => {
      if (answer.status === 416) return this.#nothingFrom(offset, answer)
      const place = placeOf(answer, offset)
      if (place === undefined) throw dropped(answer, `it answered with '${answer.header('content-range')}' for the bytes from ${offset} on`)
      return { ...place, body: answer.body }
    })
  }

  /** 416 with `bytes * /0` (without the blank) is the answer for an empty blob; of a 200 only the length is taken. */
  blobSize(repository: Repository, digest: Digest, signal?: AbortSignal): Promise<number> {
    const question: Question = { ...blobQuestion(repository, digest, signal), headers: { range: 'bytes=0-0' }, accept: [200, 206, 416] }
    return this.#ask(question, async (answer) => {
      const size = answer.status === 416 ? totalOfUnsatisfied(answer.header('content-range')) : placeOf(answer, 0)?.sizeBytes
      if (size === undefined) throw dropped(answer, `it answered ${answer.status} without the size of the blob`)
      if (answer.status === 200) answer.body.destroy()
      else this.#options.hops.discard(answer)
      return size
    })
  }

  async listTags(repository: Repository, signal?: AbortSignal): Promise<string[]> {
    const pages = readPages(`${repository}/tags/list`, 'tags', this.#options.budgets, this.#parsing, (path, maxBytes) => {
      return this.#askPage({ what: `the tags of ${repository}`, repository, path, mayTakeLong: true, signal }, maxBytes)
    })
    return ((await pages) ?? []).filter((tag) => typeof tag === 'string')
  }

  listReferrers(repository: Repository, digest: Digest, signal?: AbortSignal): Promise<unknown[] | undefined> {
    const what = `the referrers of ${repository}@${digest}`
    const accept = [200, 404]
    return readPages(`${repository}/referrers/${digest}`, 'manifests', this.#options.budgets, this.#parsing, (path, maxBytes) => {
      return this.#askPage({ what, repository, path, headers: { accept: OCI_INDEX }, accept, mayTakeLong: true, signal }, maxBytes)
    })
  }

  mayBeAsked(urgency: Urgency): boolean {
    return this.#options.circuits.mayBeAsked(urgency)
  }

  untilMayBeAsked(urgency: Urgency, signal?: AbortSignal): Promise<void> {
    return this.#options.circuits.untilMayBeAsked(urgency, signal)
  }

  health(): UpstreamHealth {
    const health = this.#options.circuits.health()
    return this.#refused === undefined ? health : { ...health, refused: this.#refused }
  }

  /** Lets go of its connections; those in use end with what they are used for. It can be asked again. */
  retire(): void {
    this.#options.transport.retire()
  }

  /** Nobody asks it any more: who waits for it is told so, and what is under way goes on to its end. */
  leave(): void {
    this.#options.circuits.stop()
    this.#options.transport.retire()
  }

  /** Ends whatever is under way. */
  close(): Promise<void> {
    this.#options.circuits.stop()
    return this.#options.transport.destroy()
  }

  /** There is no byte at `offset` where the blob ends there; any other reason makes it another blob. */
  #nothingFrom(offset: number, answer: Answer): UpstreamBlob {
    const said = answer.header('content-range')
    if (totalOfUnsatisfied(said) !== offset) throw dropped(answer, `it answered 416 with '${said ?? ''}' for the bytes from ${offset} on`)
    this.#options.hops.discard(answer)
    return { sizeBytes: offset, start: offset, body: Readable.from([]) }
  }

  /** Undefined for a 404 that the question accepts. */
  #askPage(question: Question, maxBytes: number): Promise<{ answer: Answer; body: Buffer } | undefined> {
    return this.#ask(question, async (answer) => {
      if (answer.status === 200) return { answer, body: await this.#read('list', answer, maxBytes, question.signal) }
      this.#options.hops.discard(answer)
      return undefined
    })
  }

  #read(kind: ReceivedKind, answer: Answer, maxBytes: number, signal: AbortSignal | undefined): Promise<Buffer> {
    const { hops, metrics } = this.#options
    return hops.read(answer, maxBytes, signal, (bytes) => metrics?.received(kind, bytes))
  }

  /** Puts a question and hands an accepted answer to `use`. Every error says what was wanted, and of whom. */
  async #ask<T>(question: Question, use: (answer: Answer) => Promise<T>): Promise<T> {
    const { what, accept = [200], signal } = question
    try {
      const asked = await this.#headers(question)
      if (!accept.includes(asked.answer.status)) throw await this.#refusal(asked, signal)
      if (asked.answer.status < 300) this.#refused = undefined // a 404 grants nothing: many say it of what one may not see
      refuseEncoding(asked.answer)
      return await use(asked.answer)
    } catch (error) {
      if (signal?.aborted) throw signal.reason
      if (!(error instanceof UpstreamError)) throw error
      const explained = this.#explain(what, error)
      if (error.kind === 'denied') this.#refused = { at: this.#options.clock.now(), why: explained.message }
      throw explained
    }
  }

  #explain(what: string, error: UpstreamError): UpstreamError {
    const { kind, message, retryAfterMs, challenges } = error
    const details = { challenges, cause: error, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) }
    return new UpstreamError(kind, `cannot get ${what} from ${this.registry}: ${message}`, details)
  }

  async #headers({
    what,
    repository,
    path,
    method = 'GET',
    headers = {},
    bulk = false,
    mayTakeLong = false,
    signal,
  }: Question): Promise<Asked> {
    const { clock, origin, pullTimeoutMs, requester } = this.#options
    const bodyError = (error: UpstreamError): UpstreamError => (bulk ? this.#explain(what, error) : error)
    const ask: Ask = { repository, url: new URL(`/v2/${path}`, origin), method, headers, bulk, bodyError }
    const timeoutError = (): UpstreamError => new UpstreamError('timeout', `${origin.origin} did not answer within ${pullTimeoutMs} ms`)
    signal?.throwIfAborted()
    const ended = new AbortController()
    const end = (): void => ended.abort(mayTakeLong ? OVER : signal?.reason)
    signal?.addEventListener('abort', end, { once: true })
    try {
      return await withDeadline({ clock, ms: pullTimeoutMs, signal: ended.signal, timeoutError }, (bounded) => requester.ask(ask, bounded))
    } finally {
      signal?.removeEventListener('abort', end)
    }
  }

  #refusal({ answer, note, sent, challenges }: Asked, signal: AbortSignal | undefined): Promise<UpstreamError> {
    const { clock, budgets, advice } = this.#options
    const suspicion = CLIENT_CERTIFICATE_STATUSES.has(answer.status) ? advice.outdatedClient : undefined
    return refusalOf(answer, { clock, idleMs: budgets.bodyIdleMs, signal, note, sent, challenges, suspicion })
  }
}

function manifestQuestion(repository: Repository, target: Tag | Digest, signal: AbortSignal | undefined): Question {
  const what = `manifest ${repository}${isDigest(target) ? '@' : ':'}${target}`
  return { what, repository, path: `${repository}/manifests/${target}`, headers: { accept: MANIFEST_ACCEPT }, signal }
}

function blobQuestion(repository: Repository, digest: Digest, signal: AbortSignal | undefined): Question {
  return { what: `blob ${repository}@${digest}`, repository, path: `${repository}/blobs/${digest}`, bulk: true, signal }
}

/** Whatever is encoded is not the bytes that the digest names. */
function refuseEncoding(answer: Answer): void {
  const encoding = answer.header('content-encoding')?.trim().toLowerCase() ?? ''
  if (encoding === '' || encoding === 'identity') return
  throw dropped(answer, `it sent the answer as ${encoding}, though asked for identity`)
}

/** Where in the blob the body begins and how big the blob is; undefined for a part that was not asked for. */
function placeOf(answer: Answer, offset: number): Pick<UpstreamBlob, 'sizeBytes' | 'start'> | undefined {
  if (answer.status === 200) return { sizeBytes: lengthOf(answer), start: 0 }
  const range = parseContentRange(answer.header('content-range'))
  return range?.start === offset ? { sizeBytes: range.total, start: offset } : undefined
}

function lengthOf(answer: Answer): number | undefined {
  const text = answer.header('content-length') ?? ''
  return /^\d{1,15}$/.test(text) ? Number(text) : undefined
}

function digestHeader(answer: Answer): Digest | undefined {
  const text = answer.header('docker-content-digest')?.trim() ?? ''
  return isDigest(text) ? text : undefined
}

/** The body ends here: what it is part of is no answer. */
function dropped(answer: Answer, message: string): UpstreamError {
  answer.body.destroy()
  return new UpstreamError('corrupt', message)
}
