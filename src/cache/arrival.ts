/**
 * What has come of a blob: how many bytes, their hash, and what is known of the length. It goes on from what an earlier fill left in the spool, and
 * begins again where that turns out to be of no use.
 */
import { createHash } from 'node:crypto'
import { type Digest, digestAlgorithm, digestFromHash } from '../oci/digest.ts'
import { UpstreamError } from '../upstream/error.ts'
import type { FillSpool } from './fill-spool.ts'
import { HELD_BACK_BYTES, Progress } from './progress.ts'
import { type Source, sourceName } from './sources.ts'
import { oneBuffer } from './verification.ts'

export class Arrival {
  readonly progress = new Progress(() => this.#sizeBytes)
  readonly #digest: Digest
  #hash
  #sizeBytes: number | undefined
  /** Nobody but an earlier fill says how long it is. */
  #sizeIsNoted = false
  #accepted = 0
  #received = 0
  #isSuspect = false

  /** @param sizeBytes undefined where nobody knows */
  constructor(digest: Digest, sizeBytes: number | undefined) {
    this.#digest = digest
    this.#sizeBytes = sizeBytes
    this.#hash = createHash(digestAlgorithm(digest))
  }

  get sizeBytes(): number | undefined {
    return this.#sizeBytes
  }

  /** Bytes that came and were hashed; all of them are written, or on their way. */
  get acceptedBytes(): number {
    return this.#accepted
  }

  /** Bytes that came from a source, those among them that were dropped since. */
  get receivedBytes(): number {
    return this.#received
  }

  /** All of it is held back. */
  get isSmall(): boolean {
    return this.#sizeBytes !== undefined && this.#sizeBytes <= HELD_BACK_BYTES
  }

  /** A connection may break after the last byte, before it says that this was the last one. */
  get isComplete(): boolean {
    return this.#accepted > 0 && this.#accepted === this.#sizeBytes
  }

  /** Its bytes are wrong, or may be: another source may go on from them, but no later fill. */
  get isSuspect(): boolean {
    return this.#isSuspect
  }

  /** Hashes what an earlier fill left. @throws what reading it fails with; the signal's reason */
  async takeUp(spool: FillSpool, signal: AbortSignal): Promise<void> {
    for await (const chunk of spool.readBase(spool.leftBytes, oneBuffer())) {
      signal.throwIfAborted()
      this.#hash.update(chunk)
      this.#accepted += chunk.byteLength
      this.progress.advance(chunk.byteLength)
    }
  }

  /** Whether what an earlier fill left can be a part of this blob. What it noted of the length counts where nobody knows better. */
  fits({ leftBytes, leftNote }: FillSpool): boolean {
    const noted = leftNote?.sizeBytes
    if (this.#sizeBytes === undefined && noted !== undefined) {
      this.#sizeBytes = noted
      this.#sizeIsNoted = true
    }
    const size = this.#sizeBytes
    return size === undefined || (leftBytes <= size && (noted ?? size) === size)
  }

  /** What an earlier fill noted of the length was wrong, or has become so. @param sizeBytes as its source says */
  contradictsNote(sizeBytes: number | undefined): boolean {
    return this.#sizeIsNoted && sizeBytes !== undefined && sizeBytes !== this.#sizeBytes
  }

  /** @throws UpstreamError 'corrupt' where a source says something else than is known */
  learnSize(sizeBytes: number | undefined, source: Source): void {
    if (sizeBytes === undefined) return
    this.#sizeIsNoted = false
    this.#sizeBytes ??= sizeBytes
    if (this.#sizeBytes !== sizeBytes) throw this.wrong(source, `it has ${sizeBytes} bytes there, expected ${this.#sizeBytes}`)
  }

  /** The end of a body was the end of the blob. @throws UpstreamError 'unreachable' where it was not */
  end(source: Source): void {
    this.#sizeBytes ??= this.#accepted
    if (this.#accepted >= this.#sizeBytes) return
    const came = `${this.#accepted} of ${this.#sizeBytes} bytes`
    throw new UpstreamError('unreachable', `${sourceName(source)} ended ${this.#digest} after ${came}`)
  }

  /** The next bytes. @throws UpstreamError 'corrupt' where they are more than there can be */
  accept(chunk: Buffer, source: Source): Buffer {
    if (this.#sizeBytes !== undefined && this.#accepted + chunk.byteLength > this.#sizeBytes) {
      this.#isSuspect = true
      throw this.wrong(source, `more than its ${this.#sizeBytes} bytes came`)
    }
    this.#accepted += chunk.byteLength
    this.#received += chunk.byteLength
    this.#hash.update(chunk)
    return chunk
  }

  /** When all bytes are there. @returns what is wrong with them, if anything is */
  verify(): UpstreamError | undefined {
    const found = digestFromHash(digestAlgorithm(this.#digest), this.#hash.digest('hex'))
    if (found === this.#digest) {
      this.progress.markVerified()
      return undefined
    }
    this.#isSuspect = true
    return new UpstreamError('corrupt', `the bytes received for ${this.#digest} hash to ${found}; they were dropped`)
  }

  /** Nothing has come. Nobody may have read any of it. */
  startOver(): void {
    this.#hash = createHash(digestAlgorithm(this.#digest))
    this.#accepted = 0
    this.#isSuspect = false
    if (this.#sizeIsNoted) this.#sizeBytes = undefined
    this.#sizeIsNoted = false
    this.progress.startOver()
  }

  wrong(source: Source, what: string): UpstreamError {
    return new UpstreamError('corrupt', `${sourceName(source)} sent a wrong ${this.#digest}: ${what}`)
  }
}
