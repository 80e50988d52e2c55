/**
 * Hashes blobs that this program did not write or that lost their mark, once, before their last bytes go out: an older program's store,
 * a copy without modes. A right one is marked; a wrong one is quarantined, and the next request fetches it again.
 */
import { createHash } from 'node:crypto'
import { Limiter } from '../async/limiter.ts'
import { Lru } from '../async/lru.ts'
import type { Log } from '../observe/log.ts'
import { type Digest, digestAlgorithm, digestFromHash } from '../oci/digest.ts'
import type { ReadableBlob, ReadBuffers, Store, StoredBlob } from '../store/store.ts'
import { HELD_BACK_BYTES, Progress } from './progress.ts'

const CHUNK_BYTES = 1024 * 1024

export class Verifications {
  readonly #running = new Map<Digest, Verification>()
  /** One at a time: a re-hash keeps a thread and a disk busy. */
  readonly #limiter = new Limiter(1)
  /** Those found right in this run: some cannot be marked so, and of some the manifests say another length each time. */
  readonly #confirmed = new Lru<Digest, string>({ capacity: 1024 })
  /** Those found wrong that could not be moved away. */
  readonly #damaged = new Lru<Digest, string>({ capacity: 1024 })
  readonly #stopping = new AbortController()

  constructor(
    private readonly store: Store,
    private readonly log: Log,
  ) {}

  /**
   * What to send of a stored blob that is not verified: readers go ahead, its tail waits for the hash. One that is no longer than the tail is
   * verified first, and the result is undefined if it is wrong. All who come while it is being hashed read the very file that is hashed: another
   * one may lie under its name by then.
   */
  async readable(digest: Digest, blob: StoredBlob): Promise<ReadableBlob | undefined> {
    if (blob.sizeBytes <= HELD_BACK_BYTES || this.#isConfirmed(digest, blob)) return this.confirmed(digest, blob)
    return gated(this.#join(digest, blob))
  }

  /** As `readable`, but hashed whole before anything goes out: undefined if it is wrong, whatever its length. Right ones are hashed once. */
  async confirmed(digest: Digest, blob: StoredBlob): Promise<ReadableBlob | undefined> {
    if (this.#isConfirmed(digest, blob)) return blob
    const verification = this.#join(digest, blob)
    try {
      if (await verification.right) return gated(verification)
    } catch (error) {
      verification.release()
      throw error
    }
    verification.release()
    return undefined
  }

  /** Takes a wrong blob out of the way: to quarantine or, where that fails, as on a read-only file system, by never looking at it again. */
  async setAside(digest: Digest, { identity }: StoredBlob, why: string): Promise<void> {
    try {
      await this.store.quarantineBlob(digest, identity, why)
    } catch (error) {
      this.#damaged.set(digest, identity)
      this.log.error('damaged blob left out: it cannot be moved to quarantine', { digest, why, error })
    }
  }

  /** Whether it was found wrong, and lies there all the same. */
  isDamaged(digest: Digest, blob: StoredBlob): boolean {
    const damaged = this.#damaged.get(digest)
    return damaged !== undefined && damaged === blob.identity
  }

  /** Gives up what is being hashed: it is hashed again when somebody asks for it again. */
  async stop(): Promise<void> {
    this.#stopping.abort(new Error('the server is stopping'))
    await Promise.allSettled([...this.#running.values()].map((verification) => verification.right))
  }

  #isConfirmed(digest: Digest, blob: StoredBlob): boolean {
    return this.#confirmed.get(digest) === blob.identity
  }

  /** Joins the verification that runs, or starts one; either way the caller holds it, and `blob` is taken care of. */
  #join(digest: Digest, blob: StoredBlob): Verification {
    const running = this.#running.get(digest)
    if (running !== undefined) {
      blob.close()
      return running.hold()
    }
    const verification = new Verification(blob, (started) => this.#run(digest, started))
    this.#running.set(digest, verification)
    return verification.hold()
  }

  async #run(digest: Digest, verification: Verification): Promise<boolean> {
    const verify = () => this.#verify(digest, verification)
    try {
      // a small one takes no time, and its client waits for headers: not behind gigabytes
      return await (verification.blob.sizeBytes > HELD_BACK_BYTES ? this.#limiter.run(verify) : verify())
    } finally {
      this.#running.delete(digest)
      verification.release()
    }
  }

  async #verify(digest: Digest, { blob, progress }: Verification): Promise<boolean> {
    try {
      const found = await this.#hash(digest, blob)
      if (found === digest) {
        this.#confirmed.set(digest, blob.identity)
        await this.store.markVerified(digest, blob.identity)
        progress.markVerified()
        return true
      }
      await this.setAside(digest, blob, `its bytes hash to ${found}`)
      progress.fail(new Error(`the stored ${digest} is damaged`))
      return false
    } catch (error) {
      if (!this.#stopping.signal.aborted) this.log.error('could not verify a stored blob', { digest, error })
      progress.fail(error instanceof Error ? error : new Error(String(error)))
      throw error
    }
  }

  async #hash(digest: Digest, blob: StoredBlob): Promise<Digest> {
    const hash = createHash(digestAlgorithm(digest))
    for await (const chunk of blob.read(0, blob.sizeBytes, oneBuffer())) {
      this.#stopping.signal.throwIfAborted()
      hash.update(chunk)
    }
    return digestFromHash(digestAlgorithm(digest), hash.digest('hex'))
  }
}

/** One blob being hashed, and those who read it meanwhile: its file is closed when the last of them lets go. */
class Verification {
  readonly progress: Progress
  /** Whether the bytes are what they should be. */
  readonly right: Promise<boolean>
  #holders = 1

  constructor(
    readonly blob: StoredBlob,
    run: (verification: Verification) => Promise<boolean>,
  ) {
    this.progress = new Progress(() => blob.sizeBytes)
    this.progress.advance(blob.sizeBytes)
    this.right = run(this)
    this.right.catch(() => {}) // told through `progress` as well, to readers that do not look at it
  }

  hold(): this {
    this.#holders++
    return this
  }

  release(): void {
    this.#holders--
    if (this.#holders === 0) this.blob.close()
  }
}

function gated(verification: Verification): ReadableBlob {
  const { blob, progress } = verification
  return {
    sizeBytes: blob.sizeBytes,
    read: (start, end, buffers) => blob.readWhen(start, end, buffers, (offset) => progress.beyond(offset)),
    close: () => verification.release(),
  }
}

/** For hashing: one chunk at a time. */
export function oneBuffer(): ReadBuffers {
  const buffer = Buffer.allocUnsafeSlow(CHUNK_BYTES)
  return { take: () => buffer, takeAhead: () => undefined, give: () => {} }
}
