/** Takes a body from the network to a file: chunks are collected into one write while the last one is on its way. */
import type { Readable } from 'node:stream'
import { UpstreamError } from '../upstream/error.ts'

/** More of one body waiting for the disk than this, and its network waits too. (With 1 MiB a fast download stands still for 40 % of the time.) */
const MAX_PENDING_BYTES = 4 * 1024 * 1024
/** Where all bodies together hold a lot, each may hold so much. */
const FAIR_PENDING_BYTES = 256 * 1024
const MAX_HELD_BYTES = 32 * 1024 * 1024

/** What all bodies hold in memory: waiting for the disk, or on its way there. */
export class HeldBytes {
  total = 0

  /** @param pendingBytes of one body */
  isTooMuch(pendingBytes: number): boolean {
    return pendingBytes > (this.total > MAX_HELD_BYTES ? FAIR_PENDING_BYTES : MAX_PENDING_BYTES)
  }
}

/**
 * Reads `body` to its end. When it rejects, everything that was accepted before has been written, so that another source can go on from there.
 * @param body rejects with `UpstreamError`s of its own
 * @param accept sees each chunk as it comes and returns the part to keep; what it throws ends the body
 * @param write appends chunks; one call at a time
 * @param held shared by all bodies that are received at the same time
 */
export async function receive(
  body: Readable,
  accept: (chunk: Buffer) => Buffer,
  write: (chunks: readonly Buffer[]) => Promise<void>,
  held = new HeldBytes(),
): Promise<void> {
  const writer = new CollectingWriter(write, () => body.resume(), held)
  try {
    await new Promise<void>((resolve, reject) => {
      writer.onError = reject
      body.on('error', reject)
      body.on('end', resolve)
      body.on('close', () => {
        if (!body.readableEnded) reject(new UpstreamError('unreachable', 'the connection was closed before the end of the body'))
      })
      const take = (chunk: Buffer) => {
        try {
          if (held.isTooMuch(writer.add(accept(chunk)))) body.pause()
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
    private readonly held: HeldBytes,
  ) {}

  /** @returns how many bytes wait to be written */
  add(chunk: Buffer): number {
    if (chunk.byteLength > 0 && this.#failed === undefined) {
      this.#pending.push(chunk)
      this.#pendingBytes += chunk.byteLength
      this.held.total += chunk.byteLength
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
        const bytes = this.#pendingBytes
        this.#pending = []
        this.#pendingBytes = 0
        this.onDrain()
        await this.write(chunks).finally(() => {
          this.held.total -= bytes
        })
      }
    } catch (error) {
      this.#failed = { error }
      this.held.total -= this.#pendingBytes
      this.onError(error)
    } finally {
      this.#writing = undefined
    }
  }
}
