/** The store of a command: that it is one, and that no other process holds it while the command writes to it. */
import { stat } from 'node:fs/promises'
import { hostname } from 'node:os'
import { reasonOf } from '../config/errno.ts'
import { ConfigError } from '../config/error.ts'
import { isMissing } from '../store/file.ts'
import { type LockHolder, lockHolder, StoreLockedError } from '../store/lock.ts'
import type { StoreParts } from '../store/store-parts.ts'
import { VERSION } from './build-info.ts'
import type { Io } from './io.ts'

/** What a command says of itself to whoever it locks out. @param command `ociregistry prune` */
export function holderOf(command: string, { process }: Io): LockHolder {
  return { program: command, version: VERSION, pid: process.pid, hostname: hostname() }
}

/**
 * @param doing the verb, for messages: `repair`
 * @param advice what to do while a server holds it
 * @throws ConfigError while another process holds the store, or it cannot be written
 */
export async function takeStore(
  { path, hold, space }: StoreParts,
  doing: string,
  advice: (holder: LockHolder | undefined) => string,
): Promise<void> {
  const fail = (cause: unknown): never => {
    throw new ConfigError(`cannot ${doing}: ${path}: ${reasonOf(cause)}`, { cause })
  }
  // a directory that is not there is made by whoever takes it
  const holder = await lockHolder(path).catch((error: unknown) => (isMissing(error) ? undefined : fail(error)))
  if (holder === undefined && (await hold.begin().catch(fail))) return
  await hold.release()
  if (holder === undefined) throw new ConfigError(`cannot ${doing}: ${space.closed?.why}`)
  const known = holder === 'unknown' ? undefined : holder
  throw new ConfigError(`cannot ${doing}: ${new StoreLockedError(path, known).message}; ${advice(known)}`)
}

/** To find nothing in a directory that is not there, or is another one, would be a dangerous answer. @param doing `verify` */
export async function refuseOtherThanStore(imagePath: string, doing: string): Promise<void> {
  const want = 'want the directory of a store, with --image-path or --config-file'
  const stats = await stat(imagePath).catch((cause: unknown) => {
    throw new ConfigError(`cannot ${doing} ${imagePath}: ${reasonOf(cause)}, ${want}`, { cause })
  })
  if (!stats.isDirectory()) throw new ConfigError(`cannot ${doing} ${imagePath}: found no directory, ${want}`)
  const parts = await Promise.all(['blobs', 'img'].map((name) => stat(`${imagePath}/${name}`).catch(() => undefined)))
  if (parts.every((part) => part?.isDirectory() !== true))
    throw new ConfigError(`cannot ${doing} ${imagePath}: found no store in it, ${want}`)
}
