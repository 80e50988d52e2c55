/** How much is measured: enough to trust the numbers, or just enough to see that all of it works. */

const MIB = 2 ** 20

export type Sizes = {
  readonly largeBlobBytes: number
  readonly largeBlobRuns: number
  readonly smallBlobBytes: number
  readonly wrkSeconds: number
  /** Not counted: a JIT compiles meanwhile. 0: none. */
  readonly wrkWarmUpSeconds: number
  readonly joinedClients: number
  readonly linkBytesPerSecond: number
  /** Of a blob that no warm cache has: what is measured cold, and what cannot be told from its size. */
  readonly mediumBlobBytes: number
  /** Fresh stores of that blob. */
  readonly coldRuns: number
  readonly images: number
  readonly imageLayerBytes: number
  readonly pullers: number
  /** Fresh stores of all images. */
  readonly pullRuns: number
  readonly pullSeconds: number
  readonly slowClients: number
  readonly slowSeconds: number
  /** Of `images`, those that are pulled while the upstream fails. */
  readonly outageImages: number
  readonly outagePulls: number
  /** However few pulls that were. */
  readonly outageSeconds: number
  /** Not counted: a JIT compiles meanwhile. */
  readonly outageWarmUpSeconds: number
  /** Of each kind of trouble, for ours by default. */
  readonly outageRuns: number
  readonly storedImages: number
  readonly storedStarts: number
  /** Of each command. */
  readonly storedRuns: number
  /** Stores of so many images. */
  readonly sizingImages: readonly number[]
  readonly starts: number
  /** What the temporary directory must have room for. */
  readonly diskBytes: number
}

export const fullSizes: Sizes = {
  largeBlobBytes: 1024 * MIB,
  largeBlobRuns: 9,
  smallBlobBytes: 16 * 1024,
  wrkSeconds: 5,
  wrkWarmUpSeconds: 2,
  joinedClients: 20,
  linkBytesPerSecond: 50 * MIB,
  mediumBlobBytes: 256 * MIB,
  coldRuns: 5,
  images: 300,
  imageLayerBytes: 1440,
  pullers: 10,
  pullRuns: 3,
  pullSeconds: 4,
  slowClients: 200,
  slowSeconds: 10,
  outageImages: 50,
  outagePulls: 1000,
  outageSeconds: 12,
  outageWarmUpSeconds: 3,
  outageRuns: 5,
  storedImages: 10_000,
  storedStarts: 5,
  storedRuns: 5,
  sizingImages: [1500, 10_000],
  starts: 9,
  diskBytes: 6 * 1024 * MIB,
}

export const quickSizes: Sizes = {
  ...fullSizes,
  largeBlobBytes: 64 * MIB,
  largeBlobRuns: 3,
  wrkSeconds: 1,
  wrkWarmUpSeconds: 0,
  mediumBlobBytes: 16 * MIB,
  coldRuns: 2,
  images: 30,
  pullRuns: 1,
  pullSeconds: 0.5,
  slowClients: 20,
  slowSeconds: 2,
  outageImages: 10,
  outagePulls: 100,
  outageSeconds: 1,
  outageWarmUpSeconds: 0.2,
  outageRuns: 1,
  storedImages: 500,
  storedStarts: 2,
  storedRuns: 2,
  sizingImages: [100, 500],
  starts: 2,
  diskBytes: 512 * MIB,
}

/** `1 GiB`, `16 KiB`. */
export function sizeText(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB']
  const power = Math.min(units.length - 1, Math.floor(Math.log2(bytes) / 10))
  return `${bytes / 1024 ** power} ${units[power]}`
}
