/** Blobs: from the store, from a fill that runs, or from a fill that starts (design §3). */
import type { Log } from '../observe/log.ts'
import type { Digest } from '../oci/digest.ts'
import { OciError } from '../oci/error.ts'
import { formatReference } from '../oci/reference.ts'
import type { ReadableBlob, Store } from '../store/store.ts'
import { UpstreamError } from '../upstream/error.ts'
import type { UpstreamDirectory } from '../upstream/upstream.ts'
import { type CacheStatus, COLLAPSED, type Demand, HIT, MISS } from './answer.ts'
import type { Catalog } from './catalog.ts'
import type { Fills } from './fills.ts'
import type { Source } from './sources.ts'
import type { Verifications } from './verification.ts'

export type BlobAnswer = { readonly blob: ReadableBlob; readonly status: CacheStatus }
export type BlobSizeAnswer = { readonly sizeBytes: number; readonly status: CacheStatus }

export type BlobsDeps = {
  readonly catalog: Catalog
  /** Resolves when the catalog is complete. */
  readonly catalogReady: Promise<void>
  readonly store: Store
  readonly fills: Fills
  readonly verifications: Verifications
  readonly upstreams: UpstreamDirectory
  readonly airGapped: boolean
  readonly log: Log
}

export class Blobs {
  readonly #deps: BlobsDeps

  constructor(deps: BlobsDeps) {
    this.#deps = deps
  }

  /** For GET. @throws OciError, UpstreamError */
  async open(digest: Digest, source: Source, demand: Demand): Promise<BlobAnswer> {
    await this.#refuseManifests(digest)
    const stored = await this.#openStored(digest)
    if (stored !== undefined) {
      this.#deps.log.info('serving from cache', { reference: nameOf(source, digest) })
      return { blob: stored, status: HIT }
    }
    return this.#fill(digest, source, demand)
  }

  /** For HEAD: nothing is downloaded for it. @throws OciError, UpstreamError */
  async size(digest: Digest, source: Source, demand: Demand): Promise<BlobSizeAnswer> {
    const { fills, upstreams, catalog } = this.#deps
    await this.#refuseManifests(digest)
    const stored = await this.#openStored(digest)
    if (stored !== undefined) {
      stored.close()
      return { sizeBytes: stored.sizeBytes, status: HIT }
    }
    const fill = fills.of(digest)
    if (fill !== undefined) {
      const blob = await fill.ready(source)
      blob.close()
      return { sizeBytes: blob.sizeBytes, status: COLLAPSED }
    }
    this.#mayAskUpstream(digest, source, demand)
    const sizeBytes = await upstreams.of(source.registry).blobSize(source.repository, digest)
    const listed = catalog.blobSize(digest)
    if (listed !== undefined && listed !== sizeBytes) {
      throw new UpstreamError('corrupt', `${source.registry} has ${sizeBytes} bytes for ${digest}, but its manifest says ${listed}`)
    }
    return { sizeBytes, status: MISS }
  }

  async #fill(digest: Digest, source: Source, demand: Demand): Promise<BlobAnswer> {
    const { fills, log } = this.#deps
    if (fills.of(digest) === undefined) this.#mayAskUpstream(digest, source, demand)
    const { fill, joined } = fills.start(digest, source, 'client')
    if (!joined) log.info('pulling from upstream', { reference: nameOf(source, digest) })
    try {
      return { blob: await fill.ready(source), status: joined ? COLLAPSED : MISS }
    } finally {
      fills.abandonIfQueued(fill)
    }
  }

  /** A fill that is published between the two looks would otherwise be downloaded again. */
  async #openStored(digest: Digest): Promise<ReadableBlob | undefined> {
    const { fills } = this.#deps
    for (;;) {
      const filling = fills.of(digest)
      const stored = await this.#deps.store.openBlob(digest)
      if (stored !== undefined) return stored.verified ? stored : this.#deps.verifications.readable(digest, stored)
      if (filling === fills.of(digest)) return undefined
    }
  }

  /** A manifest served as a blob gets stuck in older containerd's content store under the wrong type (clients.md A.1.4). */
  async #refuseManifests(digest: Digest): Promise<void> {
    if (this.#deps.catalog.manifest(digest) === undefined) await this.#deps.catalogReady
    if (this.#deps.catalog.manifest(digest) === undefined) return
    throw new OciError(404, 'BLOB_UNKNOWN', `${digest} is a manifest: it is to be had under /manifests/`)
  }

  #mayAskUpstream(digest: Digest, source: Source, demand: Demand): void {
    if (this.#deps.airGapped)
      throw new OciError(404, 'BLOB_UNKNOWN', `${nameOf(source, digest)} is not cached, and the server is air-gapped`)
    if (demand.onlyIfCached)
      throw new OciError(504, 'BLOB_UNKNOWN', `${nameOf(source, digest)} is not cached, and only-if-cached was asked for`)
  }
}

function nameOf(source: Source, digest: Digest): string {
  return formatReference({ ...source, digest })
}
