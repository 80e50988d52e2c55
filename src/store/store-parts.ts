/** The parts of a store in a directory, put together so that nothing reaches its disk while the store is closed. */
import { constants } from 'node:fs'
import { join, resolve } from 'node:path'
import type { Reserve } from '../config/config.ts'
import type { Clock } from '../observe/clock.ts'
import type { Log } from '../observe/log.ts'
import { DirectoryStore } from './directory-store.ts'
import { type Disk, diskOf } from './disk.ts'
import { DiskSpace, type SpaceBudgets } from './disk-space.ts'
import { isMissing } from './file.ts'
import { type FileSystem, systemFiles } from './file-system.ts'
import { guardedFiles } from './guarded-files.ts'
import { type HoldBudgets, StoreHold } from './hold.ts'
import { type LockHolder, removeDeadSockets } from './lock.ts'
import { ownedFiles } from './owned-files.ts'
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
  readonly budgets?: Partial<SpaceBudgets & HoldBudgets>
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
  const { minFree, self, clock, log, files: unguarded = ownedFiles(systemFiles) } = options
  const path = resolve(options.imagePath)
  const { onRecovered = () => {}, budgets = {} } = options
  const disk = keptDisk(diskOf(path, unguarded), () => hold.look())
  const space = new DiskSpace({ disk, reserve: minFree, clock, log, onRecovered, budgets })
  const whyClosed = () => space.closed?.why
  const files = guardedFiles(unguarded, { refusal: () => whyClosed() ?? hold.assure()?.then(whyClosed), term: () => hold.term })
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
    budgets,
  })
  const store = DirectoryStore.at(path, log, files)
  const spools = new SpoolDirectory(join(path, 'pulls'), { clock, log, files, bigSyncs: store.bigSyncs })
  return { path, store, spools, space, hold, files }
}

/** A store to look at: another process may hold it, and nothing of it changes. */
export function storeToRead(imagePath: string, log: Log): DirectoryStore {
  const files = guardedFiles(systemFiles, { refusal: () => 'this command only reads', term: () => 0 })
  return DirectoryStore.at(resolve(imagePath), log, files)
}

/** The directory of a store that somebody has removed is made again by its holder, who has lost the lock with it. */
function keptDisk(disk: Disk, look: () => Promise<void>): Disk {
  const kept = <T>(ask: () => Promise<T>): Promise<T> =>
    ask().catch(async (error: unknown) => {
      if (!isMissing(error)) throw error
      await look()
      return ask()
    })
  return { room: () => kept(() => disk.room()), tryToWrite: () => kept(() => disk.tryToWrite()) }
}

async function isReadable(directory: string, files: FileSystem): Promise<boolean> {
  try {
    await files.access(directory, constants.R_OK | constants.X_OK)
    return true
  } catch {
    return false
  }
}
