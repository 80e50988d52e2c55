/** Files by descriptor: the few system calls the hot path makes, as promises, and reading a file in chunks. */
import * as fs from 'node:fs'
import { mkdir, unlink } from 'node:fs/promises'
import type { Available, ReadBuffers } from './store.ts'

export function openFile(path: string, flags: string, mode?: number): Promise<number> {
  return new Promise((resolve, reject) => fs.open(path, flags, mode, (error, fd) => (error ? reject(error) : resolve(fd))))
}

export function statFile(fd: number): Promise<fs.Stats> {
  return new Promise((resolve, reject) => fs.fstat(fd, (error, stats) => (error ? reject(error) : resolve(stats))))
}

/** Writes all of `chunks` at `position`, with as few system calls as the kernel allows. */
export async function writeAll(fd: number, chunks: readonly Uint8Array[], position: number): Promise<void> {
  let rest = chunks.filter((chunk) => chunk.byteLength > 0)
  let at = position
  while (rest.length > 0) {
    const batch = rest.slice(0, MAX_VECTORS)
    const written = await new Promise<number>((resolve, reject) =>
      fs.writev(fd, batch, at, (error, bytes) => (error ? reject(error) : resolve(bytes))),
    )
    at += written
    rest = [...unwritten(batch, written), ...rest.slice(MAX_VECTORS)]
  }
}

/** Makes the content of a file durable. */
export function syncFile(fd: number): Promise<void> {
  return new Promise((resolve, reject) => fs.fsync(fd, (error) => (error ? reject(error) : resolve())))
}

export function closeFile(fd: number): Promise<void> {
  return new Promise((resolve, reject) => fs.close(fd, (error) => (error ? reject(error) : resolve())))
}

export function changeMode(fd: number, mode: number): Promise<void> {
  return new Promise((resolve, reject) => fs.fchmod(fd, mode, (error) => (error ? reject(error) : resolve())))
}

/** Does `work`, which needs a directory; makes it and tries again where it is missing: somebody may empty a cache while it runs. */
export async function inDirectory<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (!isMissing(error)) throw error
    await mkdir(path, { recursive: true })
    return work()
  }
}

export function renameFile(from: string, to: string): Promise<void> {
  return new Promise((resolve, reject) => fs.rename(from, to, (error) => (error ? reject(error) : resolve())))
}

/** Removes a file's name; one that is not there is as good. */
export async function removeFile(path: string): Promise<void> {
  await unlink(path).catch((error: unknown) => {
    if (!isMissing(error)) throw error
  })
}

export function isMissing(error: unknown): boolean {
  const code = errorCode(error)
  return code === 'ENOENT' || code === 'ENOTDIR'
}

/** The `code` of a system error (`ENOENT`, `ENOSPC`), undefined for anything else. */
export function errorCode(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined
}

/**
 * The bytes of an open file from `start` to `end` (exclusive). The next chunk is read while the caller uses the last one, where `buffers`
 * lends a second buffer for that: as fast as sendfile, and two buffers are all it ever holds.
 * @throws Error if the file ends before `end`
 */
export async function* readChunks(
  fd: number,
  start: number,
  end: number,
  buffers: ReadBuffers,
  available: Available = () => end,
): AsyncGenerator<Buffer, void, void> {
  let offset = start
  let ahead: Promise<Chunk> | undefined
  try {
    while (offset < end) {
      const chunk: Chunk = await (ahead ?? readWhenAvailable(fd, offset, end, buffers, available))
      ahead = undefined
      try {
        offset += chunk.length
        ahead = offset < end ? readAhead(fd, offset, end, buffers, available) : undefined
        yield chunk.buffer.subarray(0, chunk.length)
      } finally {
        buffers.give(chunk.buffer)
      }
    }
  } finally {
    const abandoned = await ahead?.catch(() => undefined)
    if (abandoned !== undefined) buffers.give(abandoned.buffer)
  }
}

/** An open file that several share; it is closed when the last of them lets go. */
export class SharedFile {
  #holders = 1

  constructor(readonly fd: number) {}

  hold(): this {
    if (this.#holders === 0) throw new Error('the file was closed before it could be read')
    this.#holders++
    return this
  }

  /** Each holder calls it once. */
  async release(): Promise<void> {
    this.#holders--
    if (this.#holders === 0) await closeFile(this.fd)
  }

  /** As `readChunks`, holding the file meanwhile. */
  async *read(start: number, end: number, buffers: ReadBuffers, available?: Available): AsyncGenerator<Buffer, void, void> {
    this.hold()
    try {
      yield* readChunks(this.fd, start, end, buffers, available)
    } finally {
      await this.release()
    }
  }
}

/** IOV_MAX on Linux. */
const MAX_VECTORS = 1024

type Chunk = { readonly buffer: Buffer; readonly length: number }

async function readWhenAvailable(fd: number, offset: number, end: number, buffers: ReadBuffers, available: Available): Promise<Chunk> {
  const limit = Math.min(end, await available(offset))
  return readInto(fd, offset, limit, buffers.take(), buffers)
}

/** Undefined where nothing can be read at once, or reading ahead does not pay. */
function readAhead(fd: number, offset: number, end: number, buffers: ReadBuffers, available: Available): Promise<Chunk> | undefined {
  const limit = available(offset)
  if (typeof limit !== 'number') {
    limit.catch(() => {}) // the next turn asks again, and throws it
    return undefined
  }
  const buffer = buffers.takeAhead()
  if (buffer === undefined) return undefined
  const chunk = readInto(fd, offset, Math.min(end, limit), buffer, buffers)
  chunk.catch(() => {}) // awaited at the next turn; until then it must not count as unhandled
  return chunk
}

/** Gives the buffer back itself if there is nothing to hand on. */
async function readInto(fd: number, offset: number, limit: number, buffer: Buffer, buffers: ReadBuffers): Promise<Chunk> {
  try {
    const wanted = Math.min(buffer.byteLength, limit - offset)
    const length = await new Promise<number>((resolve, reject) =>
      fs.read(fd, buffer, 0, wanted, offset, (error, bytes) => (error ? reject(error) : resolve(bytes))),
    )
    if (length === 0) throw new Error(`file ended at byte ${offset}, expected ${limit}`)
    return { buffer, length }
  } catch (error) {
    buffers.give(buffer)
    throw error
  }
}

function unwritten(chunks: readonly Uint8Array[], written: number): Uint8Array[] {
  let skip = written
  const rest: Uint8Array[] = []
  for (const chunk of chunks) {
    if (skip >= chunk.byteLength) skip -= chunk.byteLength
    else {
      rest.push(skip === 0 ? chunk : chunk.subarray(skip))
      skip = 0
    }
  }
  return rest
}
