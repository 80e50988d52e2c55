/** Loads many images, some at a time. */
import { atOnce } from '../async/at-once.ts'
import { formatImageName, type ImageName } from '../oci/image-name.ts'
import type { ImageLoader } from './image-loader.ts'
import { type Amounts, BlobLedger, ImageProgress } from './image-progress.ts'

/** An image that somebody listed; without `image` it is no name, and `problem` says why. */
export type Listed = { readonly image: ImageName } | { readonly text: string; readonly problem: string }

export type LoadRunOptions<Item extends Listed> = {
  readonly loader: ImageLoader
  readonly concurrency: number
  /** Told of each image when it is over. */
  readonly onResult?: (item: Item, progress: ImageProgress) => void
}

export class LoadRun<Item extends Listed> {
  /** In the order of the list. */
  readonly images: readonly { readonly item: Item; readonly progress: ImageProgress }[]
  readonly #ledger = new BlobLedger()
  readonly #options: LoadRunOptions<Item>

  constructor(items: readonly Item[], options: LoadRunOptions<Item>) {
    this.images = items.map((item) => ({ item, progress: new ImageProgress(nameOf(item), this.#ledger) }))
    this.#options = options
  }

  /** Of all images; what they share is counted once. */
  amounts(): Amounts {
    return this.#ledger.amounts()
  }

  /** Those that are being loaded now. */
  get running(): readonly ImageProgress[] {
    return this.images.map(({ progress }) => progress).filter(({ isRunning }) => isRunning)
  }

  /** To be called once. Resolves when every image has its result; what the signal stops, or keeps from beginning, is `stopped`. */
  async run(signal: AbortSignal): Promise<void> {
    const { loader, concurrency, onResult = () => {} } = this.#options
    await atOnce(concurrency, this.images, async ({ item, progress }) => {
      if (!('image' in item)) progress.result = { is: 'failed', why: item.problem, warnings: [] }
      else if (signal.aborted) progress.result = { is: 'stopped', warnings: [] }
      else await loader.load(item.image, progress, signal)
      progress.phase = 'over'
      onResult(item, progress)
    })
  }
}

/** For people. */
export function nameOf(item: Listed): string {
  return 'image' in item ? formatImageName(item.image) : item.text
}
