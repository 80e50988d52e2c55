/**
 * The lock of a store: a Unix socket that its holder listens on. Whoever accepts a connection holds the store and says who it is;
 * a refused connection is a leftover. So it works in containers, across restarts and whatever process ids mean.
 *
 * Nobody but its holder ever moves or removes a live socket. A leftover is succeeded instead: who finds `lock` dead links its own socket under a
 * name made from the dead one's identity, which only one can do; whoever finds that one dead in turn succeeds it the same way. The live end of
 * this chain holds the store, and as the only one who may, renames itself to `lock`.
 */
import { randomBytes } from 'node:crypto'
import { type BigIntStats, existsSync } from 'node:fs'
import { lchown, link, lstat, open, readdir, rename, utimes } from 'node:fs/promises'
import { connect, createServer, type Server } from 'node:net'
import { join } from 'node:path'
import type { Clock } from '../observe/clock.ts'
import { errorCode, isMissing, removeFile } from './file.ts'
import { heirOf } from './owned-files.ts'

/** What a holder says of itself, for the message that whoever is locked out prints. */
export type LockHolder = {
  readonly program: string
  readonly version: string
  readonly pid: number
  readonly hostname: string
  /** Where its admin API is, as `http://127.0.0.1:8080`; undefined where it has none, or does not listen yet. */
  readonly admin?: string | undefined
}

export class StoreLockedError extends Error {
  constructor(
    readonly directory: string,
    readonly holder: LockHolder | undefined,
  ) {
    super(`the store ${directory} is in use by ${describeHolder(holder)}: stop it, or choose another directory with --image-path`)
    this.name = 'StoreLockedError'
  }
}

export function describeHolder(holder: LockHolder | undefined): string {
  return holder === undefined ? 'another process' : `${holder.program} ${holder.version} (pid ${holder.pid} on ${holder.hostname})`
}

const LOCK = 'lock'
const RETRY_MS = 250
const ANSWER_MS = 2_000
/** Sockets of those who wait, or waited. */
const WAITING = /^\.lock-(?:[0-9a-f]{12}|after-[0-9a-z]+-[0-9a-z]+)$/
/** One that is younger may have been bound, and not be listened on yet. */
const SETTLED_MS = 10_000
/** Nobody did when it was asked, or somebody did and went before accepting: a listener's end resets those who wait in its queue. */
const NOBODY_LISTENS: ReadonlySet<string> = new Set(['ECONNREFUSED', 'ECONNRESET'])
/** More wait to be accepted than may: somebody listens. */
const QUEUE_IS_FULL = 'EAGAIN'
/** sun_path of Linux, less the terminating NUL. */
const MAX_SOCKET_PATH = 107

export type LockOptions = {
  readonly self: LockHolder
  /** How long to wait for the holder to go. */
  readonly waitMs: number
  readonly clock: Clock
  /** Called once if it has to wait. */
  readonly onWait?: (holder: LockHolder | undefined) => void
  /** How long a holder that says nothing is listened to; it holds the lock all the same. */
  readonly answerMs?: number
}

export class StoreLock {
  readonly #directory: string
  readonly #identity: string
  readonly #server: Server

  private constructor(directory: string, identity: string, server: Server) {
    this.#directory = directory
    this.#identity = identity
    this.#server = server
  }

  /** Takes the lock of `directory`, waiting up to `waitMs` for its holder to go. @throws StoreLockedError */
  static async acquire(directory: string, options: LockOptions): Promise<StoreLock> {
    const handle = await open(directory, 'r')
    const paths = new LockPaths(directory, handle.fd)
    const own = `.lock-${randomBytes(6).toString('hex')}`
    try {
      const server = await listen(paths.address(own), options.self)
      try {
        await handOver(paths.name(own), directory)
        const identity = await makeIdentity(paths.name(own), options.clock)
        await waitForTurn(paths, { name: own, identity }, options)
        return new StoreLock(directory, identity, server)
      } catch (error) {
        await close(server)
        throw error
      }
    } finally {
      await removeFile(paths.name(own))
      await handle.close()
    }
  }

  /** Whether `lock` is still its own socket: somebody may have removed it, and another process have taken the store. What cannot be looked at counts as there. */
  async isInPlace(): Promise<boolean> {
    try {
      return (await identityAt(join(this.#directory, LOCK))) === this.#identity
    } catch {
      return true // the disk fails, which says nothing of the lock
    }
  }

  /**
   * Leaves a `lock` alone that is not its own: somebody must have removed that one by hand. Where it cannot be removed (the file system has become
   * read-only) it stays as a leftover, which whoever comes next succeeds.
   */
  async release(): Promise<void> {
    const path = join(this.#directory, LOCK)
    try {
      if ((await identityAt(path)) === this.#identity) await removeFile(path)
    } catch {
      // nobody answers behind it from now on
    }
    await close(this.#server)
  }
}

/** Who holds the lock of `directory`; undefined if nobody does. For commands that only look. */
export async function lockHolder(directory: string, answerMs = ANSWER_MS): Promise<LockHolder | 'unknown' | undefined> {
  const handle = await open(directory, 'r')
  try {
    const end = await findEnd(new LockPaths(directory, handle.fd), answerMs)
    return end.held ? (end.holder ?? 'unknown') : undefined
  } finally {
    await handle.close()
  }
}

/**
 * Removes the sockets of processes that were killed while they waited for the lock of `directory`. Only for its holder: nobody else knows that the chain
 * of sockets ends with its own. Never rejects for one that cannot be removed.
 */
export async function removeDeadSockets(directory: string, clock: Pick<Clock, 'now'>): Promise<void> {
  const handle = await open(directory, 'r')
  try {
    const paths = new LockPaths(directory, handle.fd)
    for (const name of await readdir(directory)) {
      if (WAITING.test(name) && (await isDead(paths, name, clock))) await removeFile(paths.name(name)).catch(() => {})
    }
  } finally {
    await handle.close()
  }
}

async function isDead(paths: LockPaths, name: string, clock: Pick<Clock, 'now'>): Promise<boolean> {
  const stats = await lstat(paths.name(name)).catch(() => undefined)
  if (stats?.isSocket() !== true || clock.now() - stats.mtimeMs < SETTLED_MS) return false
  return !(await ask(paths.address(name), ANSWER_MS).catch(() => ({ held: true }))).held
}

/** Names in the store's directory, and the addresses to bind and connect them by: short ones where the directory's path is too long. */
class LockPaths {
  constructor(
    readonly directory: string,
    readonly fd: number,
  ) {}

  name(file: string): string {
    return join(this.directory, file)
  }

  address(file: string): string {
    const path = this.name(file)
    if (Buffer.byteLength(path) <= MAX_SOCKET_PATH) return path
    const viaDescriptor = `/proc/self/fd/${this.fd}`
    if (existsSync(viaDescriptor)) return `${viaDescriptor}/${file}`
    throw new Error(`the path ${this.directory} is too long for the store's lock: choose a shorter one with --image-path`)
  }
}

type OwnSocket = { readonly name: string; readonly identity: string }

async function waitForTurn(paths: LockPaths, own: OwnSocket, options: LockOptions): Promise<void> {
  const { clock, waitMs, onWait, answerMs = ANSWER_MS } = options
  const deadline = clock.monotonic() + waitMs
  let waited = false
  for (;;) {
    const end = await findEnd(paths, answerMs)
    if (!end.held) {
      if (await take(paths, own, end.dead)) return
      continue
    }
    if (clock.monotonic() >= deadline) throw new StoreLockedError(paths.directory, end.holder)
    if (!waited) onWait?.(end.holder)
    waited = true
    await clock.sleep(RETRY_MS)
  }
}

/** The chain of sockets: the identities of dead ones, from `lock` on, and whether a live one follows. */
type ChainEnd =
  | { readonly held: true; readonly holder: LockHolder | undefined }
  | { readonly held: false; readonly dead: readonly string[] }

async function findEnd(paths: LockPaths, answerMs: number): Promise<ChainEnd> {
  const dead: string[] = []
  for (;;) {
    const name = nameAfter(dead)
    const identity = await identityAt(paths.name(name))
    if (identity === undefined) return { held: false, dead }
    const asked = await ask(paths.address(name), answerMs)
    if (asked.held) return asked
    if ((await identityAt(paths.name(name))) === identity) dead.push(identity)
    else dead.length = 0 // it changed while it was asked: begin again
  }
}

/** Puts the own socket at the end of a chain of dead ones, and makes it the `lock`. False if somebody else was faster. */
async function take(paths: LockPaths, own: OwnSocket, dead: readonly string[]): Promise<boolean> {
  const name = nameAfter(dead)
  if (!(await linkUnlessThere(paths.name(own.name), paths.name(name)))) return false
  if (name === LOCK) return true
  try {
    if (!(await leadsTo(paths, dead, own.identity))) {
      await removeFile(paths.name(name))
      return false
    }
    await rename(paths.name(name), paths.name(LOCK))
  } catch (error) {
    await removeFile(paths.name(name))
    throw error
  }
  for (let length = 1; length < dead.length; length++) await removeFile(paths.name(nameAfter(dead.slice(0, length))))
  return true
}

/** Whether the chain is still the one that was found: its first sockets may have been replaced by a holder before the own one was linked. */
async function leadsTo(paths: LockPaths, dead: readonly string[], own: string): Promise<boolean> {
  for (const [index, identity] of [...dead, own].entries()) {
    if ((await identityAt(paths.name(nameAfter(dead.slice(0, index))))) !== identity) return false
  }
  return true
}

function nameAfter(dead: readonly string[]): string {
  const last = dead.at(-1)
  return last === undefined ? LOCK : `.lock-after-${last}`
}

/** Undefined if nothing is there. */
async function identityAt(path: string): Promise<string | undefined> {
  try {
    return identityOf(await lstat(path, { bigint: true }))
  } catch (error) {
    if (isMissing(error)) return undefined
    throw error
  }
}

/** Whoever may not connect to a socket could not tell whether its process lives: what root leaves behind would lock the directory's owner out. */
async function handOver(path: string, directory: string): Promise<void> {
  const heir = await heirOf(directory)
  if (heir !== undefined) await lchown(path, heir.uid, heir.gid).catch(() => {}) // where nothing can be given away, all is as ever
}

/** Inode numbers come again, and file times are as coarse as the kernel's ticks: a time of its own makes a socket unlike any that was there before. */
async function makeIdentity(path: string, clock: Clock): Promise<string> {
  const seconds = Math.floor(clock.now() / 1000) + Math.random()
  await utimes(path, seconds, seconds)
  return identityOf(await lstat(path, { bigint: true }))
}

function identityOf(stats: BigIntStats): string {
  return `${stats.ino.toString(36)}-${stats.mtimeNs.toString(36)}`
}

type Asked = { readonly held: true; readonly holder: LockHolder | undefined } | { readonly held: false }

/** @throws the system's error for anything but an answer, a refusal or a missing file */
function ask(address: string, answerMs: number): Promise<Asked> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path: address })
    let text = ''
    let connected = false
    const finish = () => {
      socket.destroy()
      resolve({ held: true, holder: parseHolder(text) })
    }
    socket.setTimeout(answerMs, () => setImmediate(finish)) // what came meanwhile counts first, however busy this process was
    socket.setEncoding('utf8')
    socket.on('connect', () => {
      connected = true
    })
    socket.on('data', (chunk: string) => {
      text += chunk
      if (text.length > 4096) finish()
    })
    socket.on('end', finish)
    socket.on('error', (error) => {
      const code = errorCode(error) ?? ''
      if (isMissing(error) || NOBODY_LISTENS.has(code)) resolve({ held: false })
      else if (connected || code === QUEUE_IS_FULL) finish()
      else reject(error)
    })
  })
}

function parseHolder(text: string): LockHolder | undefined {
  try {
    const { program, version, pid, hostname, admin } = JSON.parse(text) as Record<string, unknown>
    if (typeof program !== 'string' || typeof version !== 'string' || typeof pid !== 'number' || typeof hostname !== 'string')
      return undefined
    return { program, version, pid, hostname, ...(typeof admin === 'string' ? { admin } : {}) }
  } catch {
    return undefined // an answer from something else: it holds the lock all the same
  }
}

async function linkUnlessThere(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to)
    return true
  } catch (error) {
    if (errorCode(error) === 'EEXIST') return false
    throw error
  }
}

function listen(address: string, self: LockHolder): Promise<Server> {
  const server = createServer((socket) => {
    socket.on('error', () => {}) // who asked went away
    socket.end(JSON.stringify(self), () => socket.destroy()) // who asked and does not hang up must not hold up `close`
  })
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(address, () => {
      server.off('error', reject)
      resolve(server)
    })
  })
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()))
}
