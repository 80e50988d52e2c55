/**
 * Upstreams in this process that answer as a test says: content by digest, answers held back, cut, wrong or refused, every call and every byte
 * counted. No network; a healthy registry is what they are unless a plan says otherwise.
 */
import { Readable } from 'node:stream'
import type { Digest } from '../../src/oci/digest.ts'
import { isDigest } from '../../src/oci/digest.ts'
import { parseRegistry, type Registry } from '../../src/oci/name.ts'
import { UpstreamError, type UpstreamErrorKind } from '../../src/upstream/error.ts'
import type { Upstream, UpstreamBlob, UpstreamDirectory, UpstreamHealth, UpstreamManifest, Urgency } from '../../src/upstream/upstream.ts'
import { type ByteSource, bytesOf } from './fake-registry-bytes.ts'
import { FakeContent } from './fake-registry-content.ts'

export type Method = 'getManifest' | 'headManifest' | 'openBlob' | 'blobSize' | 'listTags' | 'listReferrers'
export type Call = { readonly method: Method; readonly repository: string; readonly target: string; readonly offset: number }

/** How one call is answered. What is left out is as a healthy registry does it. */
export type Plan = {
  /** Only for this tag or digest. */
  readonly of?: string
  /** The answer waits for it. */
  readonly after?: Promise<unknown>
  /** The answer comes even to a call that was given up. */
  readonly deaf?: boolean
  /** The answer is this error. */
  readonly error?: Error | UpstreamErrorKind
  /** Of a manifest or a blob, in place of the content. */
  readonly bytes?: Buffer
  /** Of a manifest; null: the answer has none. */
  readonly contentType?: string | null
  /** What `Docker-Content-Digest` says; null: the answer has none. */
  readonly digest?: Digest | null
  /** What the answer says of a blob's size; null: nothing. */
  readonly sizeBytes?: number | null
  /** The whole blob comes, whatever offset was asked for. */
  readonly ignoreOffset?: boolean
  /** The blob's body gives no more than the tap lets through. */
  readonly tap?: Tap
  /** The blob's body fails after so many bytes (of this answer), with `cutBy`. */
  readonly cutAfter?: number
  /** Default: unreachable. */
  readonly cutBy?: UpstreamErrorKind
  /** The blob's body ends after so many bytes (of this answer) as if that were all. */
  readonly endAfter?: number
}

/** Lets a body through by the byte. */
export class Tap {
  allowed = 0
  onChange = (): void => {}

  allow(bytes: number): void {
    this.allowed += bytes
    this.onChange()
  }

  open(): void {
    this.allow(Number.POSITIVE_INFINITY)
  }
}

/** A promise that a test resolves. */
export class Gate {
  open = (): void => {}
  readonly opened = new Promise<void>((resolve) => {
    this.open = resolve
  })
}

/** An answer that never comes, unless it is given up. */
export const NEVER: Plan = { after: new Promise(() => {}) }

export class ScriptedUpstreams implements UpstreamDirectory {
  readonly #upstreams = new Map<Registry, ScriptedUpstream>()
  /** Registries that the configuration closes: `of` throws this. */
  readonly closed = new Map<Registry, Error>()

  of(registry: Registry): ScriptedUpstream {
    const closed = this.closed.get(registry)
    if (closed !== undefined) throw closed
    const known = this.#upstreams.get(registry)
    if (known !== undefined) return known
    const upstream = new ScriptedUpstream(registry)
    this.#upstreams.set(registry, upstream)
    return upstream
  }

  named(registry: string): ScriptedUpstream {
    return this.of(parseRegistry(registry))
  }

  all(): Iterable<ScriptedUpstream> {
    return this.#upstreams.values()
  }

  /** All calls of all registries. */
  get calls(): number {
    return [...this.#upstreams.values()].reduce((sum, upstream) => sum + upstream.calls.length, 0)
  }

  /** Bodies that were neither read to their end nor destroyed. */
  get openBodies(): number {
    return [...this.#upstreams.values()].reduce((sum, upstream) => sum + upstream.openBodies, 0)
  }
}

export class ScriptedUpstream implements Upstream {
  readonly content = new FakeContent()
  readonly calls: Call[] = []
  /** Bodies that were neither read to their end nor destroyed. */
  openBodies = 0
  readonly #plans = new Map<Method, Plan[]>()
  readonly #standing = new Map<Method, Plan>()
  readonly #served = new Map<string, number>()
  readonly #waiting = new Set<() => void>()
  #health: UpstreamHealth = { state: 'well' }

  constructor(readonly registry: Registry) {}

  /** Plans for the next calls of a method, one each, in order. */
  plan(method: Method, ...plans: readonly Plan[]): void {
    this.#plans.set(method, [...(this.#plans.get(method) ?? []), ...plans])
  }

  /** The plan for every call that has none of its own; undefined: healthy again. */
  always(method: Method, plan: Plan | undefined): void {
    if (plan === undefined) this.#standing.delete(method)
    else this.#standing.set(method, plan)
  }

  /** Every method fails so; undefined: healthy again. */
  down(error: Error | UpstreamErrorKind | undefined): void {
    for (const method of ['getManifest', 'headManifest', 'openBlob', 'blobSize', 'listTags', 'listReferrers'] as const)
      this.always(method, error === undefined ? undefined : { error })
  }

  callsOf(method: Method): readonly Call[] {
    return this.calls.filter((call) => call.method === method)
  }

  /** Bytes of a blob that bodies gave out. */
  served(digest: Digest): number {
    return this.#served.get(digest) ?? 0
  }

  async getManifest(repository: string, target: string, signal?: AbortSignal): Promise<UpstreamManifest> {
    const plan = await this.#begin('getManifest', repository, target, signal)
    const stored = this.content.manifest(repository, target)
    const bytes = plan.bytes ?? stored?.bytes
    if (bytes === undefined) throw this.#error('notFound')
    return {
      bytes,
      contentType: plan.contentType === null ? undefined : (plan.contentType ?? stored?.mediaType),
      digest: plan.digest === null ? undefined : (plan.digest ?? stored?.digest),
    }
  }

  async headManifest(repository: string, target: string, signal?: AbortSignal): Promise<Digest | undefined> {
    const plan = await this.#begin('headManifest', repository, target, signal)
    const digest = plan.digest ?? this.content.manifest(repository, target)?.digest
    if (digest === undefined) throw this.#error('notFound')
    return plan.digest === null ? undefined : digest
  }

  async openBlob(repository: string, digest: Digest, offset: number, signal?: AbortSignal): Promise<UpstreamBlob> {
    const plan = await this.#begin('openBlob', repository, digest, signal, offset)
    const source = plan.bytes === undefined ? this.content.blob(repository, digest) : bytesOf(plan.bytes)
    if (source === undefined) throw this.#error('notFound')
    const start = plan.ignoreOffset === true ? 0 : offset
    return {
      sizeBytes: plan.sizeBytes === null ? undefined : (plan.sizeBytes ?? source.sizeBytes),
      start,
      body: this.#body(digest, source, start, plan),
    }
  }

  async blobSize(repository: string, digest: Digest, signal?: AbortSignal): Promise<number> {
    const plan = await this.#begin('blobSize', repository, digest, signal)
    const size = plan.sizeBytes ?? this.content.blob(repository, digest)?.sizeBytes
    if (size === undefined) throw this.#error('notFound')
    return size
  }

  async listTags(repository: string, signal?: AbortSignal): Promise<string[]> {
    await this.#begin('listTags', repository, '', signal)
    const tags = this.content.tags(repository)
    if (tags === undefined) throw this.#error('notFound')
    return tags
  }

  /** The referrers API is there only while `referrersApi` says so. */
  async listReferrers(repository: string, digest: Digest, signal?: AbortSignal): Promise<unknown[] | undefined> {
    await this.#begin('listReferrers', repository, digest, signal)
    return this.referrersApi ? this.content.referrers(repository, digest) : undefined
  }

  referrersApi = false

  /** A test says how the registry is doing; those who wait go on when it is well enough for them. Calls are answered by their plans all the same. */
  set state(health: UpstreamHealth) {
    this.#health = health
    for (const look of this.#waiting) look()
  }

  /** Clients may ask as long as it is not down and asks for no pause. */
  mayBeAsked(urgency: Urgency): boolean {
    const { state, retryInMs } = this.#health
    return urgency === 'background' ? state === 'well' : state !== 'down' && retryInMs === undefined
  }

  async untilMayBeAsked(urgency: Urgency, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted()
    if (this.mayBeAsked(urgency)) return
    let look = (): void => {}
    const well = new Promise<void>((resolve) => {
      look = () => this.mayBeAsked(urgency) && resolve()
    })
    this.#waiting.add(look)
    await abortable(well, signal).finally(() => this.#waiting.delete(look))
  }

  health(): UpstreamHealth {
    return this.#health
  }

  async #begin(method: Method, repository: string, target: string, signal: AbortSignal | undefined, offset = 0): Promise<Plan> {
    this.calls.push({ method, repository, target, offset })
    const plan = this.#takePlan(method, target) ?? this.#standing.get(method) ?? {}
    await abortable(plan.after ?? new Promise((resolve) => setImmediate(resolve)), plan.deaf === true ? undefined : signal)
    if (plan.error instanceof Error) throw plan.error
    if (plan.error !== undefined) throw this.#error(plan.error, isDigest(target) ? target.slice(0, 15) : target)
    return plan
  }

  #takePlan(method: Method, target: string): Plan | undefined {
    const plans = this.#plans.get(method) ?? []
    const found = plans.findIndex(({ of }) => of === undefined || of === target)
    return found < 0 ? undefined : plans.splice(found, 1)[0]
  }

  #body(digest: Digest, source: ByteSource, start: number, plan: Plan): Readable {
    this.openBodies++
    const body = new ScriptedBody(source, start, plan, {
      served: (bytes) => this.#served.set(digest, this.served(digest) + bytes),
      cut: () => this.#error(plan.cutBy ?? 'unreachable'),
    })
    body.once('close', () => this.openBodies--)
    return body
  }

  #error(kind: UpstreamErrorKind, what = ''): UpstreamError {
    return new UpstreamError(kind, `${this.registry}: ${kind} ${what}`.trim())
  }
}

type BodyEvents = { readonly served: (bytes: number) => void; readonly cut: () => UpstreamError }

class ScriptedBody extends Readable {
  readonly #chunks: Iterator<Buffer>
  readonly #plan: Plan
  readonly #events: BodyEvents
  #rest: Buffer = Buffer.alloc(0)
  #given = 0
  #wanted = false

  constructor(source: ByteSource, start: number, plan: Plan, events: BodyEvents) {
    super({ highWaterMark: 64 * 1024 })
    this.#chunks = source.read(start, source.sizeBytes)[Symbol.iterator]()
    this.#plan = plan
    this.#events = events
    if (plan.tap !== undefined) plan.tap.onChange = () => this.#wanted && this.#give()
  }

  override _read(): void {
    this.#wanted = true
    this.#give()
  }

  #give(): void {
    const { cutAfter = Number.POSITIVE_INFINITY, endAfter = Number.POSITIVE_INFINITY } = this.#plan
    if (this.destroyed) return
    if (this.#given >= cutAfter) this.destroy(this.#events.cut())
    else if (this.#given >= endAfter || !this.#refill()) this.#end()
    else this.#next(Math.min(cutAfter, endAfter) - this.#given)
  }

  #next(left: number): void {
    const { tap } = this.#plan
    const most = Math.min(64 * 1024, tap?.allowed ?? left, left)
    if (most <= 0) return
    const chunk = this.#rest.subarray(0, most)
    this.#rest = this.#rest.subarray(chunk.byteLength)
    if (tap !== undefined) tap.allowed -= chunk.byteLength
    this.#given += chunk.byteLength
    this.#events.served(chunk.byteLength)
    this.#wanted = false
    this.push(chunk)
  }

  /** A tap that is shut holds back the end as well. */
  #end(): void {
    if (this.#plan.tap?.allowed === 0) return
    this.push(null)
  }

  /** @returns whether there is more */
  #refill(): boolean {
    if (this.#rest.byteLength > 0) return true
    const next = this.#chunks.next()
    if (next.done === true) return false
    this.#rest = next.value
    return true
  }
}

async function abortable<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work
  signal.throwIfAborted()
  let abort = (): void => {}
  const aborted = new Promise<never>((_resolve, reject) => {
    abort = () => reject(signal.reason)
    signal.addEventListener('abort', abort, { once: true })
  })
  try {
    return await Promise.race([work, aborted])
  } finally {
    signal.removeEventListener('abort', abort)
  }
}
