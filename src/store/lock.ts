/**
 * The lock of a store: a Unix socket that its holder listens on (design §5). Whoever accepts a connection holds the store and says who it is;
 * a refused connection is a leftover. So it works in containers, across restarts and whatever process ids mean.
 */
import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { link, open, rename } from 'node:fs/promises'
import { connect, createServer, type Server } from 'node:net'
import { join } from 'node:path'
import type { Clock } from '../observe/clock.ts'
import { errorCode, isMissing, removeFile } from './file.ts'

/** What a holder says of itself, for the message that whoever is locked out prints. */
export type LockHolder = { readonly program: string; readonly version: string; readonly pid: number; readonly hostname: string }

export class StoreLockedError extends Error {
  constructor(
    readonly directory: string,
    readonly holder: LockHolder | undefined,
  ) {
    const who = holder === undefined ? 'another process' : `${holder.program} ${holder.version} (pid ${holder.pid} on ${holder.hostname})`
    super(`the store ${directory} is in use by ${who}: stop it, or choose another directory with --image-path`)
    this.name = 'StoreLockedError'
  }
}

const RETRY_MS = 250
const ANSWER_MS = 2_000
/** sun_path of Linux, less the terminating NUL. */
const MAX_SOCKET_PATH = 107

export class StoreLock {
  readonly #directory: string
  readonly #server: Server

  private constructor(directory: string, server: Server) {
    this.#directory = directory
    this.#server = server
  }

  /**
   * Takes the lock of `directory`, waiting up to `waitMs` for its holder to go.
   * @param onWait called once if it has to wait. @throws StoreLockedError
   */
  static async acquire(
    directory: string,
    options: { self: LockHolder; waitMs: number; clock: Clock; onWait?: (holder: LockHolder | undefined) => void },
  ): Promise<StoreLock> {
    const handle = await open(directory, 'r')
    const paths = new LockPaths(directory, handle.fd)
    const own = `.lock-${randomBytes(6).toString('hex')}`
    const server = await listen(paths.address(own), options.self)
    try {
      await waitForTurn(paths, own, options)
      return new StoreLock(directory, server)
    } catch (error) {
      await close(server)
      throw error
    } finally {
      await removeFile(paths.name(own))
      await handle.close()
    }
  }

  async release(): Promise<void> {
    await removeFile(join(this.#directory, 'lock'))
    await close(this.#server)
  }
}

/** Who holds the lock of `directory`; undefined if nobody does. For commands that only look. */
export async function lockHolder(directory: string): Promise<LockHolder | 'unknown' | undefined> {
  const handle = await open(directory, 'r')
  try {
    const asked = await ask(new LockPaths(directory, handle.fd).address('lock'))
    return asked.held ? (asked.holder ?? 'unknown') : undefined
  } finally {
    await handle.close()
  }
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

async function waitForTurn(
  paths: LockPaths,
  own: string,
  options: { waitMs: number; clock: Clock; onWait?: (holder: LockHolder | undefined) => void },
): Promise<void> {
  const { clock, waitMs, onWait } = options
  const deadline = clock.monotonic() + waitMs
  let waited = false
  for (;;) {
    const asked = await ask(paths.address('lock'))
    if (!asked.held) {
      if (asked.stale) await removeStale(paths)
      if (await linkUnlessThere(paths.name(own), paths.name('lock'))) return
      continue
    }
    if (clock.monotonic() >= deadline) throw new StoreLockedError(paths.directory, asked.holder)
    if (!waited) onWait?.(asked.holder)
    waited = true
    await clock.sleep(RETRY_MS)
  }
}

type Asked = { readonly held: true; readonly holder: LockHolder | undefined } | { readonly held: false; readonly stale: boolean }

/** @throws the system's error for anything but an answer, a refusal or a missing file */
function ask(address: string): Promise<Asked> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path: address })
    let text = ''
    let connected = false
    const finish = () => {
      socket.destroy()
      resolve({ held: true, holder: parseHolder(text) })
    }
    socket.setTimeout(ANSWER_MS, () => (connected ? finish() : socket.destroy(new Error(`no answer from the lock ${address}`))))
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
      if (connected) finish()
      else if (isMissing(error)) resolve({ held: false, stale: false })
      else if (errorCode(error) === 'ECONNREFUSED') resolve({ held: false, stale: true })
      else reject(error)
    })
  })
}

function parseHolder(text: string): LockHolder | undefined {
  try {
    const { program, version, pid, hostname } = JSON.parse(text) as Record<string, unknown>
    if (typeof program !== 'string' || typeof version !== 'string' || typeof pid !== 'number' || typeof hostname !== 'string')
      return undefined
    return { program, version, pid, hostname }
  } catch {
    return undefined // an answer from something else: it holds the lock all the same
  }
}

/** Renamed to a unique name and asked once more, because its owner may have been between bind and listen: alive, it is put back. */
async function removeStale(paths: LockPaths): Promise<void> {
  const aside = `.lock-stale-${randomBytes(6).toString('hex')}`
  try {
    await rename(paths.name('lock'), paths.name(aside))
  } catch (error) {
    if (isMissing(error)) return
    throw error
  }
  const asked = await ask(paths.address(aside))
  if (asked.held) await linkUnlessThere(paths.name(aside), paths.name('lock'))
  await removeFile(paths.name(aside))
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
    socket.end(JSON.stringify(self))
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
