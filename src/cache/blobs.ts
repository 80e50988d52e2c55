/** Blobs: from the store, from a fill that runs, or from a fill that starts. */
import type { Config } from '../config/config.ts'
import type { Clock } from '../observe/clock.ts'
import type { Log } from '../observe/log.ts'
import type { Digest } from '../oci/digest.ts'
import { OciError } from '../oci/error.ts'
import type { ReadableBlob, Store, StoredBlob } from '../store/store.ts'
import { UpstreamError } from '../upstream/error.ts'
import type { UpstreamDirectory } from '../upstream/upstream.ts'
import { type CacheStatus, COLLAPSED, type Demand, HIT, MISS } from './answer.ts'
import type { Budgets } from './budgets.ts'
import type { Catalog } from './catalog.ts'
import type { Fill } from './fill.ts'
import type { Fills } from './fills.ts'
import type { InUse } from './in-use.ts'
import { blobName, type NegativeAnswers } from './negative.ts'
import type { Presence } from './presence.ts'
import type { SmallBlobs } from './small-blobs.ts'
import { type Source, sourceName } from './sources.ts'
import type { Verifications } from './verification.ts'
import { momentToRecover, within } from './within.ts'

export type BlobAnswer = { readonly blob: ReadableBlob; readonly status: CacheStatus }
export type BlobSizeAnswer = { readonly sizeBytes: number; readonly status: CacheStatus }

export type BlobsDeps = {
  readonly catalog: Catalog
  /** Resolves when the catalog is complete. */
  readonly catalogReady: Promise<void>
  readonly store: Store
  readonly fills: Fills
  readonly verifications: Verifications
  readonly smallBlobs: SmallBlobs
  readonly presence: Presence
  readonly inUse: InUse
  readonly negative: NegativeAnswers
  readonly upstreams: UpstreamDirectory
  /** Read each time: they may change. */
  readonly settings: Pick<Config, 'airGapped'>
  readonly budgets: Pick<Budgets, 'firstByteMs' | 'circuitMs'>
  readonly clock: Clock
  readonly log: Log
}

export class Blobs {
  readonly #deps: BlobsDeps

  constructor(deps: BlobsDeps) {
    this.#deps = deps
  }

  /** What `open` would answer, where it is in memory: so that it can be answered in this turn. */
  atHand(digest: Digest, source: Source, demand: Demand): BlobAnswer | undefined {
    const kept = this.#deps.smallBlobs.get(digest)
    if (kept === undefined || this.#deps.catalog.manifest(digest) !== undefined) return undefined
    this.#deps.presence.lookFor(digest)
    this.#deps.inUse.touch(digest)
    return this.#hit(kept, source, digest, demand)
  }

  /** For GET. @throws OciError, UpstreamError */
  async open(digest: Digest, source: Source, demand: Demand): Promise<BlobAnswer> {
    const kept = this.atHand(digest, source, demand)
    if (kept !== undefined) return kept
    await this.#refuseManifests(digest)
    const hit = (blob: ReadableBlob) => this.#hit(this.#deps.inUse.lend(digest, blob), source, digest, demand)
    return this.#storedOr(digest, source, hit, () => this.#fill(digest, source, demand))
  }

  #hit(blob: ReadableBlob, source: Source, digest: Digest, { request }: Demand): BlobAnswer {
    const { log } = this.#deps
    if (log.isOn('debug')) log.debug('serving from cache', { reference: nameOf(source, digest), request })
    return { blob, status: HIT }
  }

  /** For HEAD: nothing is downloaded for it. @throws OciError, UpstreamError */
  async size(digest: Digest, source: Source, demand: Demand): Promise<BlobSizeAnswer> {
    await this.#refuseManifests(digest)
    const hit = (blob: ReadableBlob): BlobSizeAnswer => {
      blob.close()
      return { sizeBytes: blob.sizeBytes, status: HIT }
    }
    return this.#storedOr(digest, source, hit, () => this.#sizeUpstream(digest, source, demand))
  }

  async #fill(digest: Digest, source: Source, demand: Demand): Promise<BlobAnswer> {
    const { fills, inUse, log } = this.#deps
    const { fill, joined } = this.#startOrJoin(digest, source, demand)
    if (!joined) log.info('pulling from upstream', { reference: nameOf(source, digest), startedBy: demand.request })
    try {
      const isHit = fill.verified
      const blob = inUse.lend(digest, await fill.ready(source))
      return isHit ? this.#hit(blob, source, digest, demand) : { blob, status: joined ? COLLAPSED : MISS }
    } catch (error) {
      return this.#fail(digest, source, demand, error)
    } finally {
      fills.abandonIfQueued(fill)
    }
  }

  /** Where the upstream may not be asked, a fill that runs for others is joined all the same, but is brought no source. */
  #startOrJoin(digest: Digest, source: Source, demand: Demand): { readonly fill: Fill; readonly joined: boolean } {
    const { fills } = this.#deps
    const running = fills.of(digest)
    if (running !== undefined && demand.onlyIfCached) return { fill: running, joined: true }
    if (running === undefined) this.#mayAskUpstream(digest, source, demand)
    return fills.start(digest, source, 'client', demand.request)
  }

  async #sizeUpstream(digest: Digest, source: Source, demand: Demand): Promise<BlobSizeAnswer> {
    const { fills, upstreams, catalog, clock, budgets } = this.#deps
    const fill = fills.of(digest)
    if (fill?.began === true) {
      if (!demand.onlyIfCached) fill.addSource(source)
      const status = fill.verified ? HIT : COLLAPSED
      const blob = await fill.ready(source)
      blob.close()
      return { sizeBytes: blob.sizeBytes, status }
    }
    this.#mayAskUpstream(digest, source, demand)
    const upstream = upstreams.of(source.registry)
    const silence = `${sourceName(source)} did not say how long ${digest} is`
    const sizeBytes = await within(clock, budgets.firstByteMs, silence, async (signal) => {
      await momentToRecover(upstream, clock, budgets.circuitMs, signal)
      return upstream.blobSize(source.repository, digest, signal)
    }).catch((error: unknown) => this.#fail(digest, source, demand, error))
    const listed = catalog.blobSize(digest, source.registry)
    if (listed !== undefined && listed !== sizeBytes) {
      throw new UpstreamError('corrupt', `${source.registry} has ${sizeBytes} bytes for ${digest}, but its manifest says ${listed}`)
    }
    return { sizeBytes, status: MISS }
  }

  /**
   * What is stored; else `miss`. A fill is looked for first: what is being filled is not stored, and one that is published between two looks would
   * otherwise be downloaded again.
   */
  async #storedOr<T>(digest: Digest, source: Source, hit: (blob: ReadableBlob) => T, miss: () => Promise<T>): Promise<T> {
    const { fills, store } = this.#deps
    for (;;) {
      if (fills.of(digest) !== undefined) return miss()
      const stored = await store.openBlob(digest)
      if (stored === undefined) return miss()
      if (this.#deps.verifications.isDamaged(digest, stored)) {
        stored.close()
        return miss()
      }
      const readable = await this.#trustworthy(digest, stored, source)
      if (readable !== undefined) return hit(readable)
    }
  }

  /** A blob that was verified once is trusted, unless its length contradicts the manifests: a copy may have been cut short and kept its mode. */
  #trustworthy(digest: Digest, stored: StoredBlob, source: Source): ReadableBlob | Promise<ReadableBlob | undefined> {
    const { catalog, verifications } = this.#deps
    const listed = catalog.blobSize(digest, source.registry)
    if (listed !== undefined && listed !== stored.sizeBytes) return verifications.confirmed(digest, stored)
    if (!stored.verified) return verifications.readable(digest, stored)
    return this.#deps.smallBlobs.isSmall(stored) ? this.#remember(digest, stored) : stored
  }

  /** Undefined if the bytes are wrong: then they are out of the way, and the next look finds none. */
  async #remember(digest: Digest, stored: StoredBlob): Promise<ReadableBlob | undefined> {
    try {
      const kept = await this.#deps.smallBlobs.take(digest, stored)
      if (kept === undefined) await this.#deps.verifications.setAside(digest, stored, 'its bytes changed after they were verified')
      return kept
    } finally {
      stored.close()
    }
  }

  /** A manifest served as a blob gets stuck in older containerd's content store under the wrong type. */
  async #refuseManifests(digest: Digest): Promise<void> {
    if (this.#deps.catalog.manifest(digest) === undefined) await this.#deps.catalogReady
    if (this.#deps.catalog.manifest(digest) === undefined) return
    throw new OciError(404, 'BLOB_UNKNOWN', `${digest} is a manifest: it is to be had under /manifests/`)
  }

  #mayAskUpstream(digest: Digest, source: Source, demand: Demand): void {
    if (this.#deps.settings.airGapped)
      throw new OciError(404, 'BLOB_UNKNOWN', `${nameOf(source, digest)} is not cached, and the server is air-gapped`)
    if (demand.onlyIfCached)
      throw new OciError(504, 'BLOB_UNKNOWN', `${nameOf(source, digest)} is not cached, and only-if-cached was asked for`)
    this.#deps.negative.refuse(blobName(source, digest))
  }

  /** Where it is not there: remembered, unless that is what a download for others said, which knows nothing of this source. */
  #fail(digest: Digest, source: Source, { onlyIfCached }: Demand, error: unknown): never {
    if (!onlyIfCached) this.#deps.negative.note(blobName(source, digest), error)
    throw error
  }
}

function nameOf(source: Source, digest: Digest): string {
  return `${source.registry}/${source.repository}@${digest}`
}
