/** How far the loading of images has come: what the loader says while it works, and what whoever shows it reads. It decides nothing. */
import type { Digest } from '../oci/digest.ts'
import type { Fill } from './fill.ts'

/** `retrying`: a registry is in trouble, and it is waited for. */
export type LoadPhase = 'waiting' | 'manifests' | 'blobs' | 'referrers' | 'retrying' | 'over'

/** `complete`: everything was there already. `stopped`: nobody waited for its end. */
export type LoadResult = { readonly warnings: readonly string[] } & (
  | { readonly is: 'loaded' | 'complete'; readonly digest: Digest }
  | { readonly is: 'failed'; readonly why: string }
  | { readonly is: 'stopped' }
)

/** Of all images that somebody wants to have loaded; those that are none of these wait for their turn. */
export type LoadCounts = {
  readonly listed: number
  readonly complete: number
  /** When they were tried last. */
  readonly failed: number
  readonly running: number
}

export type Amounts = {
  /** Of all that is known to be needed. */
  readonly totalBytes: number
  /** Of that, what was there already; of a blob that an earlier run left unfinished, what that had fetched. */
  readonly presentBytes: number
  /** Of that, what came from a registry. */
  readonly fetchedBytes: number
}

/** A download, as far as it is of interest here. */
export type Download = Pick<Fill, 'writtenBytes' | 'receivedBytes'>

/** One blob, of however many images. */
export class BlobProgress {
  is: 'wanted' | 'fetching' | 'fetched' | 'there' = 'wanted'
  #download: Download | undefined
  /** By downloads before that one: what they left is there, but not from before. */
  #receivedBytes = 0

  constructor(readonly sizeBytes: number) {}

  /** It is fetched by that from now on; images that share it may say so more than once. */
  follow(download: Download): void {
    this.is = 'fetching'
    if (download === this.#download) return
    this.#receivedBytes += this.#download?.receivedBytes ?? 0
    this.#download = download
  }

  /** While it is fetched. */
  get writtenBytes(): number {
    return this.#download?.writtenBytes ?? 0
  }

  amounts(): Amounts {
    const { sizeBytes: totalBytes } = this
    const doneBytes = this.#doneBytes
    const fetchedBytes = this.is === 'there' ? 0 : Math.min(this.#receivedBytes + (this.#download?.receivedBytes ?? 0), doneBytes)
    return { totalBytes, presentBytes: doneBytes - fetchedBytes, fetchedBytes }
  }

  get #doneBytes(): number {
    if (this.is === 'wanted') return 0
    return this.is === 'fetching' ? Math.min(this.writtenBytes, this.sizeBytes) : this.sizeBytes
  }
}

/** Blobs that images share are one. */
export class BlobLedger {
  readonly #blobs = new Map<Digest, BlobProgress>()

  blob(digest: Digest, sizeBytes: number): BlobProgress {
    const known = this.#blobs.get(digest)
    if (known !== undefined) return known
    const blob = new BlobProgress(sizeBytes)
    this.#blobs.set(digest, blob)
    return blob
  }

  amounts(): Amounts {
    return amountsOf(this.#blobs.values())
  }
}

export class ImageProgress {
  phase: LoadPhase = 'waiting'
  /** Set when it is over. */
  result: LoadResult | undefined
  readonly #ledger: BlobLedger
  readonly #blobs = new Set<BlobProgress>()

  /** @param name for people */
  constructor(
    readonly name: string,
    ledger: BlobLedger,
  ) {
    this.#ledger = ledger
  }

  /** Whether it is being loaded now. */
  get isRunning(): boolean {
    return this.phase !== 'waiting' && this.phase !== 'over'
  }

  /** From now on that blob counts. */
  needs(digest: Digest, sizeBytes: number): BlobProgress {
    const blob = this.#ledger.blob(digest, sizeBytes)
    this.#blobs.add(blob)
    return blob
  }

  amounts(): Amounts {
    return amountsOf(this.#blobs)
  }
}

function amountsOf(blobs: Iterable<BlobProgress>): Amounts {
  let [totalBytes, presentBytes, fetchedBytes] = [0, 0, 0]
  for (const blob of blobs) {
    const amounts = blob.amounts()
    totalBytes += amounts.totalBytes
    presentBytes += amounts.presentBytes
    fetchedBytes += amounts.fetchedBytes
  }
  return { totalBytes, presentBytes, fetchedBytes }
}
