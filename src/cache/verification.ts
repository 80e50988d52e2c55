/**
 * Hashes blobs that this program did not write or that lost their mark, once, before their last bytes go out (design §5): an older program's store,
 * a copy without modes. A right one is marked; a wrong one is quarantined, and the next request fetches it again.
 */
import { createHash } from 'node:crypto'
import { Limiter } from '../async/limiter.ts'
import type { Log } from '../observe/log.ts'
import { type Digest, digestAlgorithm, digestFromHash } from '../oci/digest.ts'
import type { ReadableBlob, ReadBuffers, Store, StoredBlob } from '../store/store.ts'
import { HELD_BACK_BYTES, Progress } from './progress.ts'

const CHUNK_BYTES = 1024 * 1024

export class Verifications {
  readonly #running = new Map<Digest, Verification>()
  /** One at a time: a re-hash keeps a thread and a disk busy (design §5). */
  readonly #limiter = new Limiter(1)
  readonly #stopping = new AbortController()

  constructor(
    private readonly store: Store,
    private readonly log: Log,
  ) {}

  /**
   * What to send of a stored blob that is not verified: readers go ahead, its tail waits for the hash. One that is no longer than the tail is
   * verified first, and the result is undefined if it is wrong.
   */
  async readable(digest: Digest, blob: StoredBlob): Promise<ReadableBlob | undefined> {
    const verification = this.#start(digest, blob.sizeBytes)
    if (blob.sizeBytes > HELD_BACK_BYTES) return gated(blob, verification.progress)
    const right = await verification.right.catch((error: unknown) => {
      blob.close()
      throw error
    })
    if (right) return blob
    blob.close()
    return undefined
  }

  /** Gives up what is being hashed: it is hashed again when somebody asks for it again. */
  async stop(): Promise<void> {
    this.#stopping.abort(new Error('the server is stopping'))
    await Promise.allSettled([...this.#running.values()].map((verification) => verification.right))
  }

  #start(digest: Digest, sizeBytes: number): Verification {
    const running = this.#running.get(digest)
    if (running !== undefined) return running
    const progress = new Progress(() => sizeBytes)
    progress.advance(sizeBytes)
    const verify = () => this.#verify(digest, progress)
    // a small one takes no time, and its client waits for headers: not behind gigabytes
    const right = (sizeBytes > HELD_BACK_BYTES ? this.#limiter.run(verify) : verify()).finally(() => this.#running.delete(digest))
    right.catch(() => {}) // told through `progress` as well, to readers that do not look at it
    const verification = { progress, right }
    this.#running.set(digest, verification)
    return verification
  }

  async #verify(digest: Digest, progress: Progress): Promise<boolean> {
    try {
      const found = await this.#hash(digest)
      if (found === digest) {
        await this.store.markVerified(digest)
        progress.markVerified()
        return true
      }
      await this.store.quarantineBlob(digest, `its bytes hash to ${found ?? 'nothing: it is gone'}`)
      progress.fail(new Error(`the stored ${digest} is damaged`))
      return false
    } catch (error) {
      if (!this.#stopping.signal.aborted) this.log.error('could not verify a stored blob', { digest, error })
      progress.fail(error instanceof Error ? error : new Error(String(error)))
      throw error
    }
  }

  async #hash(digest: Digest): Promise<Digest | undefined> {
    const blob = await this.store.openBlob(digest)
    if (blob === undefined) return undefined
    try {
      const hash = createHash(digestAlgorithm(digest))
      for await (const chunk of blob.read(0, blob.sizeBytes, oneBuffer())) {
        this.#stopping.signal.throwIfAborted()
        hash.update(chunk)
      }
      return digestFromHash(digestAlgorithm(digest), hash.digest('hex'))
    } finally {
      blob.close()
    }
  }
}

type Verification = { readonly progress: Progress; readonly right: Promise<boolean> }

function gated(blob: StoredBlob, progress: Progress): ReadableBlob {
  return {
    sizeBytes: blob.sizeBytes,
    read: (start, end, buffers) => blob.readWhen(start, end, buffers, (offset) => progress.beyond(offset)),
    close: () => blob.close(),
  }
}

function oneBuffer(): ReadBuffers {
  const buffer = Buffer.allocUnsafeSlow(CHUNK_BYTES)
  return { take: () => buffer, takeAhead: () => undefined, give: () => {} }
}
