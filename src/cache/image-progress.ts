/** How far the loading of images has come: what the loader says while it works, and what whoever shows it reads. It decides nothing. */
import type { Digest } from '../oci/digest.ts'

/** `retrying`: a registry is in trouble, and it is waited for. */
export type LoadPhase = 'waiting' | 'manifests' | 'blobs' | 'referrers' | 'retrying' | 'over'

/** `complete`: everything was there already. `stopped`: nobody waited for its end. */
export type LoadResult = { readonly warnings: readonly string[] } & (
  | { readonly is: 'loaded' | 'complete'; readonly digest: Digest }
  | { readonly is: 'failed'; readonly why: string }
  | { readonly is: 'stopped' }
)

/** One blob, of however many images. */
export type BlobProgress = {
  readonly sizeBytes: number
  is: 'wanted' | 'fetching' | 'fetched' | 'there'
  /** While it is fetched. */
  written: () => number
}

export type Amounts = {
  /** Of all that is known to be needed. */
  readonly totalBytes: number
  /** Of that, what was there already. */
  readonly presentBytes: number
  readonly fetchedBytes: number
}

/** Blobs that images share are one. */
export class BlobLedger {
  readonly #blobs = new Map<Digest, BlobProgress>()

  blob(digest: Digest, sizeBytes: number): BlobProgress {
    const known = this.#blobs.get(digest)
    if (known !== undefined) return known
    const blob: BlobProgress = { sizeBytes, is: 'wanted', written: () => 0 }
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
  for (const { sizeBytes, is, written } of blobs) {
    totalBytes += sizeBytes
    if (is === 'there') presentBytes += sizeBytes
    else if (is === 'fetched') fetchedBytes += sizeBytes
    else if (is === 'fetching') fetchedBytes += Math.min(written(), sizeBytes)
  }
  return { totalBytes, presentBytes, fetchedBytes }
}
