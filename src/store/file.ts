/** Files by descriptor: writing all of something, reading in chunks, sharing one; and what system errors say. */
import { dirname } from 'node:path'
import { type FileSystem, systemFiles } from './file-system.ts'
import type { Available, ReadBuffers } from './store.ts'

const UNREADABLE: ReadonlySet<string> = new Set(['EACCES', 'EPERM', 'EIO', 'ENXIO', 'ELOOP', 'EISDIR'])

/** Writes all of `chunks` at `position`, with as few system calls as the kernel allows. */
export async function writeAll(fd: number, chunks: readonly Uint8Array[], position: number, files = systemFiles): Promise<void> {
  let rest = chunks.filter((chunk) => chunk.byteLength > 0)
  let at = position
  while (rest.length > 0) {
    const batch = rest.slice(0, MAX_VECTORS)
    const written = await files.writev(fd, batch, at)
    at += written
    rest = [...unwritten(batch, written), ...rest.slice(MAX_VECTORS)]
  }
}

/** Does `work`, which needs a directory; makes it and tries again where it is missing: somebody may empty a cache while it runs. */
export async function inDirectory<T>(path: string, work: () => Promise<T>, files = systemFiles): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (!isMissing(error)) throw error
    await makeDirectory(path, files)
    return work()
  }
}

/** As `mkdir -p`. Node's own `recursive` never returns where the parent exists but takes no directories, as /proc (seen with Node 20). */
export async function makeDirectory(path: string, files = systemFiles): Promise<void> {
  const parent = dirname(path)
  if (parent !== path && !(await exists(parent, files))) await makeDirectory(parent, files)
  try {
    await files.mkdir(path)
    await syncDirectory(parent, files).catch(() => {}) // a parent that may not be read is no reason to do without the directory
  } catch (error) {
    if (errorCode(error) !== 'EEXIST' || !(await files.stat(path)).isDirectory()) throw error
  }
}

/** Makes what was renamed into a directory, made in it and removed from it durable. */
export async function syncDirectory(path: string, files = systemFiles): Promise<void> {
  const fd = await files.open(path, 'r')
  try {
    await files.fsync(fd)
  } finally {
    await files.close(fd)
  }
}

/** The names in a directory; none where there is no such directory. */
export async function namesIn(directory: string, files = systemFiles): Promise<string[]> {
  try {
    return await files.readdir(directory)
  } catch (error) {
    if (isMissing(error)) return []
    throw error
  }
}

/** Removes a file's name; one that is not there is as good. */
export async function removeFile(path: string, files = systemFiles): Promise<void> {
  await files.unlink(path).catch((error: unknown) => {
    if (!isMissing(error)) throw error
  })
}

export function isMissing(error: unknown): boolean {
  const code = errorCode(error)
  return code === 'ENOENT' || code === 'ENOTDIR'
}

/** Whether something is wrong with one file, and not with all: its permissions, what it is, or the disk under it. */
export function isUnreadable(error: unknown): boolean {
  return UNREADABLE.has(errorCode(error) ?? '')
}

/** The `code` of a system error (`ENOENT`, `ENOSPC`), undefined for anything else. */
export function errorCode(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined
}

/**
 * The bytes of an open file from `start` to `end` (exclusive). The next chunk is read while the caller uses the last one, where `buffers`
 * lends a second buffer for that: as fast as sendfile, and two buffers are all it ever holds.
 * It ends early where `available` says that there is no more than `offset`. @throws Error if the file ends before `end`
 */
export async function* readChunks(
  fd: number,
  start: number,
  end: number,
  buffers: ReadBuffers,
  available: Available = () => end,
  files = systemFiles,
): AsyncGenerator<Buffer, void, void> {
  let offset = start
  let ahead: Promise<Chunk | undefined> | undefined
  try {
    while (offset < end) {
      const chunk = await (ahead ?? readWhenAvailable(fd, offset, end, buffers, available, files))
      ahead = undefined
      if (chunk === undefined) return
      try {
        offset += chunk.length
        ahead = offset < end ? readAhead(fd, offset, end, buffers, available, files) : undefined
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

  constructor(
    readonly fd: number,
    private readonly files: FileSystem = systemFiles,
  ) {}

  hold(): this {
    if (this.#holders === 0) throw new Error('the file was closed before it could be read')
    this.#holders++
    return this
  }

  /** Each holder calls it once. */
  async release(): Promise<void> {
    this.#holders--
    if (this.#holders === 0) await this.files.close(this.fd)
  }

  /** As `readChunks`, holding the file meanwhile. */
  async *read(start: number, end: number, buffers: ReadBuffers, available?: Available): AsyncGenerator<Buffer, void, void> {
    this.hold()
    try {
      yield* readChunks(this.fd, start, end, buffers, available, this.files)
    } finally {
      await this.release()
    }
  }
}

/** IOV_MAX on Linux. */
const MAX_VECTORS = 1024

type Chunk = { readonly buffer: Buffer; readonly length: number }

/** Undefined where no more will be available. */
async function readWhenAvailable(
  fd: number,
  offset: number,
  end: number,
  buffers: ReadBuffers,
  available: Available,
  files: FileSystem,
): Promise<Chunk | undefined> {
  const limit = Math.min(end, await available(offset))
  return limit <= offset ? undefined : readInto(fd, offset, limit, buffers.take(), buffers, files)
}

/** Undefined where nothing can be read at once, or reading ahead does not pay. */
function readAhead(
  fd: number,
  offset: number,
  end: number,
  buffers: ReadBuffers,
  available: Available,
  files: FileSystem,
): Promise<Chunk> | undefined {
  const limit = available(offset)
  if (typeof limit !== 'number') {
    limit.catch(() => {}) // the next turn asks again, and throws it
    return undefined
  }
  const buffer = limit <= offset ? undefined : buffers.takeAhead()
  if (buffer === undefined) return undefined
  const chunk = readInto(fd, offset, Math.min(end, limit), buffer, buffers, files)
  chunk.catch(() => {}) // awaited at the next turn; until then it must not count as unhandled
  return chunk
}

/** Gives the buffer back itself if there is nothing to hand on. */
async function readInto(
  fd: number,
  offset: number,
  limit: number,
  buffer: Buffer,
  buffers: ReadBuffers,
  files: FileSystem,
): Promise<Chunk> {
  try {
    const wanted = Math.min(buffer.byteLength, limit - offset)
    const length = await files.read(fd, buffer, wanted, offset)
    if (length === 0) throw new Error(`file ended at byte ${offset}, expected ${limit}`)
    return { buffer, length }
  } catch (error) {
    buffers.give(buffer)
    throw error
  }
}

function exists(path: string, files: FileSystem): Promise<boolean> {
  return files.stat(path).then(
    () => true,
    () => false,
  )
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
