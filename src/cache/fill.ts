/**
 * A fill: one download of one blob, shared by every client that wants it.
 *
 * It goes through its sources and writes to the spool as bytes arrive, hashing them on the way; what an earlier fill left there is hashed and continued.
 * Readers follow at their own pace, up to the held-back tail; their leaving stops nothing. When the digest is verified the tail goes out at once, and
 * the blob is published behind their backs.
 */
import { addAbortSignal } from 'node:stream'
import { Changes } from '../async/changes.ts'
import type { Limiter } from '../async/limiter.ts'
import { OVER } from '../async/over.ts'
import type { Metrics } from '../observe/metrics.ts'
import type { Digest } from '../oci/digest.ts'
import type { Registry } from '../oci/name.ts'
import { isSystemError } from '../store/space.ts'
import type { ReadableBlob, ReadBuffers } from '../store/store.ts'
import { UpstreamError, type UpstreamErrorKind } from '../upstream/error.ts'
import type { UpstreamBlob } from '../upstream/upstream.ts'
import { troubleOf } from './answer.ts'
import { Arrival } from './arrival.ts'
import { Asking, type AskingDeps } from './asking.ts'
import type { Budgets } from './budgets.ts'
import { fillFailureOf } from './fill-failure.ts'
import { FillSpool, type FillSpoolDeps } from './fill-spool.ts'
import { type HeldBytes, receive } from './receive.ts'
import { type Source, sourceName } from './sources.ts'

export type FillDeps = FillSpoolDeps &
  AskingDeps & {
    readonly budgets: Budgets
    readonly metrics?: Metrics | undefined
    /** Shared by all fills. */
    readonly held: HeldBytes
    /** Hashing what lies in spools, which keeps a thread and a disk busy. */
    readonly rehashes: Limiter
    /** Makes verified bytes part of the store; resolves when they are. */
    readonly publish: (fill: Fill, spool: FillSpool) => Promise<void>
  }

export class Fill {
  readonly #deps: FillDeps
  readonly #arrival: Arrival
  readonly #asking: Asking
  readonly #refused = new Map<string, Error>()
  /** Those that have begun to send it. */
  readonly #senders = new Set<string>()
  readonly #changes = new Changes()
  readonly #stopping = new AbortController()
  #spool: FillSpool | undefined
  #waitingForHeaders = 0
  #began = false
  #answered = false
  /** Somebody may have read from it: it cannot begin again. */
  #handedOut = false
  #failure: Error | undefined
  /** The last trouble that was logged: it need not be said twice. */
  #noted: Error | undefined
  #end = (): void => {}

  /** Resolves when it is stored, has failed, or will never begin. */
  readonly over = new Promise<void>((resolve) => {
    this.#end = resolve
  })

  /** Where it was asked for first. */
  readonly registry: Registry

  /**
   * @param sizeBytes what a cached manifest says; undefined where none lists the blob
   * @param startedBy the id of the request that it was begun for, if it was
   */
  constructor(
    readonly digest: Digest,
    source: Source,
    sizeBytes: number | undefined,
    deps: FillDeps,
    readonly startedBy?: string,
  ) {
    this.#deps = deps
    this.registry = source.registry
    this.#arrival = new Arrival(digest, sizeBytes)
    this.#asking = new Asking(digest, deps, this.#changes, this.#stopping.signal)
    this.#asking.sources.add(source)
  }

  /** How many requests wait for its headers or read from it. */
  waiters = 0
  /** Whether it is worth finishing though nobody waits for it. */
  inBackground = false
  /** How many fills of this blob were put off before, in the background, since the registry was in trouble. */
  putOff = 0

  /** False while it is queued. */
  get began(): boolean {
    return this.#began
  }

  /** Whether it waits for an upstream, and uses neither network nor disk. */
  get isWaiting(): boolean {
    return this.#asking.isWaiting
  }

  /** From then on nobody may join it: it has failed, or what cannot be stored of it has gone by. */
  get isClosed(): boolean {
    return this.#failure !== undefined || this.#spool?.isWhole === false
  }

  /** What it failed with, if it did. */
  get failure(): Error | undefined {
    return this.#failure
  }

  /** From then on it has all there is, and only its way into the store is left. */
  get verified(): boolean {
    return this.#arrival.progress.verified
  }

  /** How much of it lies in the spool. */
  get writtenBytes(): number {
    return this.#arrival.progress.written
  }

  /** How much of it came from registries: not what an earlier fill left, but also what was dropped again. */
  get receivedBytes(): number {
    return this.#arrival.receivedBytes
  }

  /** Undefined as long as nobody has said. */
  get sizeBytes(): number | undefined {
    return this.#arrival.sizeBytes
  }

  /** All that were brought, the first one first. */
  get sources(): readonly Source[] {
    return this.#asking.sources.all
  }

  addSource(source: Source): void {
    if (this.#asking.sources.add(source)) this.#changes.ring()
  }

  /**
   * Waits until headers may go out: the size is known and, for a blob no longer than the held-back tail, the digest verified.
   * @param source the one that this waiter brought: its refusal (401, 403, 404) fails the waiter, whatever the others do
   * @throws UpstreamError
   */
  async ready(source: Source): Promise<ReadableBlob> {
    const { clock, budgets } = this.#deps
    const over = new AbortController()
    let late = false
    void clock.sleep(budgets.firstByteMs, over.signal).then((slept) => {
      late = slept
      if (slept) this.#changes.ring()
    })
    this.waiters++
    this.#waitingForHeaders++
    try {
      for (;;) {
        const failure = this.#refused.get(sourceName(source)) ?? this.#failure
        if (failure !== undefined) throw failure
        if (this.#headersMayGo && this.#spool !== undefined) return this.#content(this.#spool)
        if (late)
          throw new UpstreamError('timeout', `${sourceName(source)} did not begin to send ${this.digest} within ${budgets.firstByteMs} ms`)
        await this.#changes.next
      }
    } finally {
      over.abort(OVER)
      this.waiters--
      if (--this.#waitingForHeaders === 0) this.#changes.ring()
      this.#stopIfPointless()
    }
  }

  /**
   * Downloads, verifies and publishes. Never rejects: what goes wrong is told to whoever waits, and logged.
   * @param before what may still hold the spool file of this digest
   */
  async run(before?: Promise<void>): Promise<void> {
    this.#began = true
    try {
      this.#stopping.signal.throwIfAborted()
      const about = () => ({ sizeBytes: this.#arrival.sizeBytes, sources: this.sources })
      const spool = await FillSpool.open(this.digest, about, this.#deps, before)
      this.#spool = spool
      try {
        await this.#fill(spool)
        if (spool.isStored) await this.#deps.publish(this, spool)
        else await spool.drop()
      } catch (error) {
        if (isSystemError(error)) this.#deps.space.failed(error)
        this.#fail(error)
        await (this.#arrival.isSuspect || this.verified || this.#arrival.progress.written === 0 ? spool.drop() : spool.keep())
      } finally {
        while (this.#waitingForHeaders > 0) await this.#changes.next // who has just been told takes hold of the file first
        await spool.release()
      }
    } catch (error) {
      this.#fail(error)
    } finally {
      this.#end()
    }
  }

  /** Ends it, running or queued: whoever waits is told at once. What is verified is published all the same. */
  stop(reason: Error = new UpstreamError('unreachable', 'the server is stopping')): void {
    this.#stopping.abort(reason)
    this.#fail(this.#stopping.signal.reason)
    if (!this.#began) this.#end()
  }

  get #headersMayGo(): boolean {
    const { progress, sizeBytes, isSmall } = this.#arrival
    return progress.verified || (this.#answered && sizeBytes !== undefined && !isSmall)
  }

  /** Until the right bytes are there. */
  async #fill(spool: FillSpool): Promise<void> {
    this.#stopIfPointless()
    this.#stopping.signal.throwIfAborted()
    if (spool.leftBytes > 0) await this.#takeUp(spool)
    for (;;) {
      if (!this.#arrival.isComplete) await this.#download(spool)
      const error = this.#arrival.verify()
      this.#changes.ring()
      if (error === undefined) return
      if (this.#handedOut || !this.#asking.sources.hasNext) throw error
      this.#deps.log.warn('wrong bytes; beginning again with another source', { digest: this.digest, error })
      await this.#startOver(spool)
    }
  }

  /** Goes on from what an earlier fill left, once it is hashed. */
  async #takeUp(spool: FillSpool): Promise<void> {
    const { log, rehashes, metrics } = this.#deps
    const { signal } = this.#stopping
    if (!this.#arrival.fits(spool)) return this.#startOver(spool)
    try {
      await rehashes.run(() => this.#arrival.takeUp(spool, signal))
      metrics?.fill('resumed')
      log.info('continuing an earlier download', { digest: this.digest, written: spool.leftBytes })
    } catch (error) {
      signal.throwIfAborted()
      log.warn('could not read what an earlier download left; beginning again', { digest: this.digest, error })
      await this.#startOver(spool)
    }
  }

  async #startOver(spool: FillSpool): Promise<void> {
    this.#answered = false
    this.#arrival.startOver()
    await spool.startOver()
  }

  async #download(spool: FillSpool): Promise<void> {
    let refusal: Error | undefined
    let trouble: Error | undefined
    for (;;) {
      const source = await this.#asking.next(this.#arrival.acceptedBytes, trouble)
      if (source === undefined) throw trouble ?? refusal ?? new UpstreamError('unreachable', `no source is left for ${this.digest}`)
      try {
        const blob = await this.#asking.open(source, this.#arrival.progress.written)
        if (blob !== undefined && (await this.#receive(blob, spool, source))) return
      } catch (error) {
        this.#stopping.signal.throwIfAborted()
        const kind = troubleOf(error)
        if (kind === undefined) throw error
        const isSender = this.#senders.has(sourceName(source))
        this.#noteTrouble(source, kind, error as Error, isSender)
        if (this.#arrival.isComplete) return
        if (isRefusal(kind) && !isSender) refusal = error as Error
        else trouble = error as Error
        if (isSender && kind !== 'corrupt') this.#asking.sources.brokeOff(source)
      }
    }
  }

  /** False if it has to be asked again from the start. */
  async #receive(blob: UpstreamBlob, spool: FillSpool, source: Source): Promise<boolean> {
    const arrival = this.#arrival
    try {
      if (!this.#handedOut && arrival.contradictsNote(blob.sizeBytes)) {
        this.#asking.sources.putBack(source)
        await this.#startOver(spool)
        return false
      }
      arrival.learnSize(blob.sizeBytes, source)
      let skip = arrival.progress.written - blob.start
      if (skip < 0) throw arrival.wrong(source, `it answered from byte ${blob.start} where ${arrival.progress.written} was asked for`)
      if (arrival.sizeBytes !== undefined) await spool.expect(arrival.sizeBytes, arrival.progress.written)
      this.#senders.add(sourceName(source))
      this.#answered = true
      this.#changes.ring()
      const accept = (chunk: Buffer) => {
        this.#deps.metrics?.received('blob', chunk.byteLength)
        const known = Math.min(skip, chunk.byteLength)
        skip -= known
        return arrival.accept(chunk.subarray(known), source)
      }
      this.#stopping.signal.throwIfAborted()
      addAbortSignal(this.#stopping.signal, blob.body)
      const over = new AbortController()
      const onTrickle = () => spool.giveRoomBack(arrival.progress.written)
      void this.#asking.watchPace(blob, source, () => arrival.acceptedBytes, onTrickle, over.signal)
      await receive(blob.body, accept, (chunks) => this.#write(spool, chunks), this.#deps.held).finally(() => over.abort(OVER))
    } finally {
      blob.body.destroy()
    }
    arrival.end(source)
    return true
  }

  async #write(spool: FillSpool, chunks: readonly Buffer[]): Promise<void> {
    await spool.write(chunks, this.#arrival.progress.written)
    this.#arrival.progress.advance(chunks.reduce((sum, chunk) => sum + chunk.byteLength, 0))
    this.#stopIfPointless()
    if (!spool.isStored) await spool.room()
  }

  /** What nobody wants and cannot be stored need not come. */
  #stopIfPointless(): void {
    if (this.#spool?.isStored !== false || this.waiters > 0 || this.verified || this.#failure !== undefined) return
    this.stop(new Error(`nobody waits for ${this.digest}, and it cannot be stored`))
  }

  #noteTrouble(source: Source, kind: UpstreamErrorKind, error: Error, isSender: boolean): void {
    this.#noted = error
    const refused = isRefusal(kind) && !isSender
    if (refused) this.#refused.set(sourceName(source), error)
    const isKnown = kind === 'circuitOpen' || kind === 'limited' // the trouble itself is in the log
    const level = isKnown ? 'debug' : refused ? 'info' : 'warn' // to be told no is no trouble
    this.#deps.log[level]('source failed', {
      source: sourceName(source),
      digest: this.digest,
      kind,
      written: this.#arrival.progress.written,
      error,
    })
    this.#changes.ring()
  }

  #fail(error: unknown): void {
    const isStopped = this.#stopping.signal.aborted
    const failure = asError(isStopped ? this.#stopping.signal.reason : error)
    if (this.#failure === undefined && !(isStopped && this.verified))
      this.#deps.metrics?.fillFailed(isStopped ? 'stopped' : fillFailureOf(failure))
    if (!this.#arrival.progress.verified) {
      this.#failure = failure
      this.#arrival.progress.fail(failure)
      this.#changes.ring()
    }
    const isKnown = failure === this.#noted || (isSystemError(failure) && this.#deps.space.trouble !== undefined)
    const level = isKnown ? 'debug' : 'error'
    if (!isStopped) this.#deps.log[level]('fill failed', { digest: this.digest, written: this.#arrival.progress.written, error: failure })
  }

  #content(spool: FillSpool): ReadableBlob {
    const cut = new AbortController()
    const reader = spool.reader((error) => cut.abort(error))
    this.waiters++
    this.#handedOut = true
    return {
      sizeBytes: this.#arrival.sizeBytes ?? 0,
      cut: cut.signal,
      ...(spool.whole && { whole: spool.whole }),
      read: (start: number, end: number, buffers: ReadBuffers) =>
        reader.read(start, end, buffers, (offset) => this.#arrival.progress.beyond(offset)),
      close: () => {
        this.waiters--
        this.#stopIfPointless()
        reader.close().catch((error: unknown) => this.#deps.log.error('could not close a spool file', { digest: this.digest, error }))
      },
    }
  }
}

/** Fails those who brought this source and no other; any other trouble may concern everybody. */
function isRefusal(kind: UpstreamErrorKind | undefined): boolean {
  return kind === 'notFound' || kind === 'denied'
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error))
}
