/** Sees that a blob lies in the store, whole and right: looks at what is there, and has it downloaded where it is not. */
import { abortable } from '../async/abortable.ts'
import { OVER } from '../async/over.ts'
import type { Clock } from '../observe/clock.ts'
import { type Digest, isDigestOf } from '../oci/digest.ts'
import { sizeText } from '../store/size-text.ts'
import { isSystemError, type Space } from '../store/space.ts'
import type { Store } from '../store/store.ts'
import { UpstreamError } from '../upstream/error.ts'
import type { UpstreamDirectory, Urgency } from '../upstream/upstream.ts'
import { troubleOf } from './answer.ts'
import type { BlobUse } from './catalog.ts'
import type { Fill } from './fill.ts'
import type { Fills } from './fills.ts'
import { readWhole } from './small-blobs.ts'
import type { Source } from './sources.ts'
import type { Verifications } from './verification.ts'

export type SupplyDeps = {
  readonly store: Store
  readonly space: Pick<Space, 'trouble' | 'shortage'>
  /** The directory of the store, for people. */
  readonly where: string
  readonly fills: Fills
  readonly verifications: Verifications
  readonly upstreams: UpstreamDirectory
  readonly clock: Clock
}

/** What came could not be stored: no registry can help that. */
export class NotStoredError extends Error {}

const NOT_THEN = 'the store did not take it a moment ago, and takes it by now: try again'

/** How often a download that has not begun is asked whether its registry is in trouble. */
const LOOK_MS = 1000

export class Supply {
  readonly #deps: SupplyDeps

  constructor(deps: SupplyDeps) {
    this.#deps = deps
  }

  /**
   * Whether it is stored. What was verified once is trusted if its length is right; anything else is hashed, and is out of the way if it is wrong.
   * @param hashes false: a right length is enough for what nobody has verified yet. It is hashed before it is served.
   */
  async has({ digest, sizeBytes }: BlobUse, hashes: boolean): Promise<boolean> {
    const { store, verifications } = this.#deps
    const stored = await store.openBlob(digest)
    if (stored === undefined) return false
    const isDamaged = verifications.isDamaged(digest, stored)
    if (isDamaged || (stored.sizeBytes === sizeBytes && (stored.verified || !hashes))) {
      stored.close()
      return !isDamaged
    }
    const right = await verifications.confirmed(digest, stored)
    right?.close()
    return right !== undefined
  }

  /** What is stored, whole, for whoever can do without it: undefined where it cannot be read, is not right, or has more bytes than that. */
  async bytesOf(digest: Digest, mostBytes: number): Promise<Buffer | undefined> {
    const stored = await this.#deps.store.openBlob(digest).catch(() => undefined)
    if (stored === undefined) return undefined
    try {
      const bytes = stored.sizeBytes > mostBytes ? undefined : await readWhole(stored)
      return bytes !== undefined && isDigestOf(digest, bytes) ? bytes : undefined
    } catch (error) {
      if (isSystemError(error)) return undefined
      throw error
    } finally {
      stored.close()
    }
  }

  /**
   * Joins the download that runs, or starts one, and waits until it is stored.
   * @param sources where to ask, the first one first
   * @param onFill told what to look at meanwhile
   * @throws UpstreamError; NotStoredError; the signal's reason, while the download goes on
   */
  async fetch(
    use: BlobUse,
    sources: readonly [Source, ...Source[]],
    urgency: Urgency,
    signal: AbortSignal,
    onFill: (fill: Fill) => void,
  ): Promise<void> {
    const { fills } = this.#deps
    const { fill } = fills.start(use.digest, sources[0], urgency)
    for (const source of sources) fill.addSource(source)
    fill.inBackground = true // clients that join it and leave again take nobody with them
    onFill(fill)
    await this.#end(fill, urgency, signal)
    if (troubleOf(fill.failure) !== undefined) throw fill.failure
    if (fill.failure === undefined && (await this.has(use, false))) return
    throw this.notStored(`the blob ${use.digest}`, use.sizeBytes, isSystemError(fill.failure) ? fill.failure.message : NOT_THEN)
  }

  /**
   * What happened, to what, and what to do.
   * @param what could not be stored. @param otherwise why, where the store takes so much by now
   */
  notStored(what: string, sizeBytes: number, otherwise: string): NotStoredError {
    const { space, where } = this.#deps
    const { trouble } = space
    const isForWantOfRoom = trouble === undefined || trouble.kind === 'full'
    const why = (isForWantOfRoom ? space.shortage(sizeBytes) : undefined) ?? trouble?.why ?? otherwise
    return new NotStoredError(`cannot store ${what} (${sizeText(sizeBytes)}) in ${where}: ${why}`)
  }

  /** In the background a download does not begin while its registry is in trouble: that is said rather than waited for. */
  async #end(fill: Fill, urgency: Urgency, signal: AbortSignal): Promise<void> {
    const { clock, upstreams } = this.#deps
    for (;;) {
      const over = new AbortController()
      const slept = clock.sleep(LOOK_MS, over.signal)
      const isOver = await abortable(Promise.race([fill.over.then(() => true), slept.then(() => false)]), signal).finally(() =>
        over.abort(OVER),
      )
      if (isOver) return
      if (fill.began || urgency === 'client') continue
      const upstream = upstreams.of(fill.registry)
      if (!upstream.mayBeAsked('background'))
        throw new UpstreamError(
          'circuitOpen',
          `${fill.registry} is in trouble${upstream.health().why === undefined ? '' : `: ${upstream.health().why}`}`,
        )
    }
  }
}
