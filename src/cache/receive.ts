/** Takes a body from the network to a file: chunks are collected into one write while the last one is on its way. */
import type { Readable } from 'node:stream'
import { UpstreamError } from '../upstream/error.ts'

/** More waiting for the disk than this, and the network waits too. */
const MAX_PENDING_BYTES = 1024 * 1024

/**
 * Reads `body` to its end. When it rejects, everything that was accepted before has been written, so that another source can go on from there.
 * @param body rejects with `UpstreamError`s of its own
 * @param accept sees each chunk as it comes and returns the part to keep; what it throws ends the body
 * @param write appends chunks; one call at a time
 */
export async function receive(
  body: Readable,
  accept: (chunk: Buffer) => Buffer,
  write: (chunks: readonly Buffer[]) => Promise<void>,
): Promise<void> {
  const writer = new CollectingWriter(write, () => body.resume())
  try {
    await new Promise<void>((resolve, reject) => {
      writer.onError = reject
      body.on('error', reject)
      body.on('end', resolve)
      body.on('close', () => reject(new UpstreamError('unreachable', 'the connection was closed before the end of the body')))
      const take = (chunk: Buffer) => {
        try {
          if (writer.add(accept(chunk)) > MAX_PENDING_BYTES) body.pause()
        } catch (error) {
          body.off('data', take) // more chunks may come before the body is destroyed: nothing after a gap is to be accepted
          reject(error)
        }
      }
      body.on('data', take)
    })
  } finally {
    body.destroy()
    await writer.finish()
  }
}

class CollectingWriter {
  onError: (error: unknown) => void = () => {}
  #pending: Buffer[] = []
  #pendingBytes = 0
  #writing: Promise<void> | undefined
  #failed: { readonly error: unknown } | undefined

  constructor(
    private readonly write: (chunks: readonly Buffer[]) => Promise<void>,
    private readonly onDrain: () => void,
  ) {}

  /** @returns how many bytes wait to be written */
  add(chunk: Buffer): number {
    if (chunk.byteLength > 0 && this.#failed === undefined) {
      this.#pending.push(chunk)
      this.#pendingBytes += chunk.byteLength
      this.#writing ??= this.#drain()
    }
    return this.#pendingBytes
  }

  /** Resolves when everything added is written; rejects if it could not be. */
  async finish(): Promise<void> {
    await this.#writing
    if (this.#failed !== undefined) throw this.#failed.error
  }

  async #drain(): Promise<void> {
    try {
      while (this.#pending.length > 0) {
        const chunks = this.#pending
        this.#pending = []
        this.#pendingBytes = 0
        this.onDrain()
        await this.write(chunks)
      }
    } catch (error) {
      this.#failed = { error }
      this.onError(error)
    } finally {
      this.#writing = undefined
    }
  }
}
