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
  readonly joinedBlobBytes: number
  readonly linkBytesPerSecond: number
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
  joinedBlobBytes: 256 * MIB,
  linkBytesPerSecond: 50 * MIB,
  starts: 9,
  diskBytes: 6 * 1024 * MIB,
}

export const quickSizes: Sizes = {
  ...fullSizes,
  largeBlobBytes: 64 * MIB,
  largeBlobRuns: 3,
  wrkSeconds: 1,
  wrkWarmUpSeconds: 0,
  joinedBlobBytes: 16 * MIB,
  starts: 2,
  diskBytes: 512 * MIB,
}

/** `1 GiB`, `16 KiB`. */
export function sizeText(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB']
  const power = Math.min(units.length - 1, Math.floor(Math.log2(bytes) / 10))
  return `${bytes / 1024 ** power} ${units[power]}`
}
