/** The parts of a store in a directory, put together so that nothing reaches its disk while the store is closed. */
import { constants } from 'node:fs'
import { join, resolve } from 'node:path'
import type { Reserve } from '../config/config.ts'
import type { Clock } from '../observe/clock.ts'
import type { Log } from '../observe/log.ts'
import { DirectoryStore } from './directory-store.ts'
import { diskOf } from './disk.ts'
import { DiskSpace, type SpaceBudgets } from './disk-space.ts'
import { type FileSystem, systemFiles } from './file-system.ts'
import { guardedFiles } from './guarded-files.ts'
import { StoreHold } from './hold.ts'
import { type LockHolder, removeDeadSockets } from './lock.ts'
import { SpoolDirectory } from './spool.ts'

export type StorePartsOptions = {
  readonly imagePath: string
  readonly minFree: Reserve
  /** What is said to whoever is locked out. */
  readonly self: LockHolder
  readonly clock: Clock
  readonly log: Log
  /** Called each time that the store takes writes again. */
  readonly onRecovered?: () => void
  readonly budgets?: Partial<SpaceBudgets>
  readonly files?: FileSystem
}

export type StoreParts = {
  readonly path: string
  readonly store: DirectoryStore
  readonly spools: SpoolDirectory
  readonly space: DiskSpace
  readonly hold: StoreHold
  /** For whatever else writes to the store. */
  readonly files: FileSystem
}

/** Touches nothing yet: `hold` makes what is missing, or closes the store. */
export function storeParts(options: StorePartsOptions): StoreParts {
  const { minFree, self, clock, log, files: unguarded = systemFiles } = options
  const path = resolve(options.imagePath)
  const { onRecovered = () => {}, budgets = {} } = options
  const space = new DiskSpace({ disk: diskOf(path, unguarded), reserve: minFree, clock, log, onRecovered, budgets })
  const files = guardedFiles(unguarded, () => space.closed?.why)
  const hold = new StoreHold({
    directory: path,
    self,
    space,
    isStore: () => isReadable(join(path, 'blobs'), unguarded),
    makeReady: async () => {
      await DirectoryStore.open(path, log, unguarded)
    },
    tidy: async () => {
      await DirectoryStore.at(path, log, unguarded).removeLeftovers()
      await removeDeadSockets(path, clock)
    },
    clock,
    log,
  })
  const store = DirectoryStore.at(path, log, files)
  const spools = new SpoolDirectory(join(path, 'pulls'), { clock, log, files, bigSyncs: store.bigSyncs })
  return { path, store, spools, space, hold, files }
}

async function isReadable(directory: string, files: FileSystem): Promise<boolean> {
  try {
    await files.access(directory, constants.R_OK | constants.X_OK)
    return true
  } catch {
    return false
  }
}
