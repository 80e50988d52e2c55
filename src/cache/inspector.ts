/** Looks at one file of the store: reads it at a bounded rate, hashes it, and says what it is. It changes nothing. */
import { createHash } from 'node:crypto'
import { digestAlgorithm, digestFromHash } from '../oci/digest.ts'
import { isUnreadable } from '../store/file.ts'
import { MAX_RECORD_BYTES } from '../store/small-file.ts'
import type { ReadBuffers, StoredBlob } from '../store/store.ts'
import type { StoreFile, StoreFiles } from '../store/store-files.ts'
import { judgeRecord, judgeReference, type RightRecord, type RightReference, type Wrong } from './judge.ts'
import type { Pace } from './pace.ts'
import { oneBuffer } from './verification.ts'

export type RightBlob = { readonly verdict: 'right'; readonly blob: { readonly sizeBytes: number } }
type Right = RightRecord | RightReference | RightBlob

/** Which file it was that was looked at: another one may lie there by now. */
type Looked = { readonly identity: string; readonly sizeBytes: number; readonly verified: boolean }
/** `gone`: nothing lies there, or somebody replaces it faster than it can be read. */
export type Inspected = (Right & Looked) | (Wrong & Looked) | { readonly verdict: 'gone' }

const GONE: Inspected = { verdict: 'gone' }
/** A file that is replaced while it is read is looked at again, so many times. */
const LOOKS = 5
/** What opening a file costs, in bytes of reading. */
const OPENING_BYTES = 4096

export class Inspector {
  readonly #buffers: ReadBuffers = oneBuffer()

  constructor(
    private readonly files: StoreFiles,
    private readonly pace: Pace,
    /** Without it a blob that is there counts as right. */
    private readonly hashesBlobs = true,
  ) {}

  /** @throws the signal's reason, or an error that is not about this one file */
  async inspect(file: StoreFile, signal?: AbortSignal): Promise<Inspected> {
    for (let look = 0; look < LOOKS; look++) {
      await this.pace.spend(OPENING_BYTES, signal)
      const inspected = await this.#look(file, signal)
      if (inspected.verdict !== 'wrong' || (await this.files.identity(file)) === inspected.identity) return inspected
    }
    return GONE
  }

  async #look(file: StoreFile, signal?: AbortSignal): Promise<Inspected> {
    let content: StoredBlob | undefined
    try {
      content = await this.files.open(file)
      if (content === undefined) return GONE
      const { identity, sizeBytes, verified } = content
      return { ...(await this.#judge(file, content, signal)), identity, sizeBytes, verified }
    } catch (error) {
      signal?.throwIfAborted()
      return await this.#unreadable(file, content, error)
    } finally {
      content?.close()
    }
  }

  /** What a failure to read says of the file. @throws what it says nothing of */
  async #unreadable(file: StoreFile, content: StoredBlob | undefined, error: unknown): Promise<Inspected> {
    const now = await this.files.identity(file)
    const identity = content?.identity ?? now
    if (identity === undefined) return GONE
    if (identity === now && !isUnreadable(error)) throw error
    // where the identity is another one by now, it was cut or replaced while it was read, and is looked at again
    return { verdict: 'wrong', why: `it cannot be read: ${(error as Error).message}`, identity, sizeBytes: 0, verified: false }
  }

  async #judge({ kind, digest }: StoreFile, content: StoredBlob, signal?: AbortSignal): Promise<Right | Wrong> {
    if (kind === 'blob' && !this.hashesBlobs) return { verdict: 'right', blob: { sizeBytes: content.sizeBytes } }
    if (kind === 'blob') {
      const algorithm = digestAlgorithm(digest)
      const hash = createHash(algorithm)
      await this.#read(content, (chunk) => hash.update(chunk), signal)
      const found = digestFromHash(algorithm, hash.digest('hex'))
      if (found !== digest) return { verdict: 'wrong', why: `its bytes hash to ${found}` }
      return { verdict: 'right', blob: { sizeBytes: content.sizeBytes } }
    }
    if (content.sizeBytes > MAX_RECORD_BYTES) return { verdict: 'wrong', why: `it has ${content.sizeBytes} bytes, more than any ${kind}` }
    const chunks: Buffer[] = []
    await this.#read(content, (chunk) => chunks.push(Buffer.from(chunk)), signal) // a chunk is valid until the next one is asked for
    const text = Buffer.concat(chunks).toString('utf8')
    return kind === 'record' ? judgeRecord(digest, text) : judgeReference(digest, text)
  }

  async #read(content: StoredBlob, take: (chunk: Buffer) => void, signal?: AbortSignal): Promise<void> {
    for await (const chunk of content.read(0, content.sizeBytes, this.#buffers)) {
      take(chunk)
      await this.pace.spend(chunk.byteLength, signal)
    }
  }
}
