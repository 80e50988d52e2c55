/** How far the bytes of a blob have come, and how far readers may go: the one thing that a fill and its readers share. */
import { Changes } from '../async/changes.ts'

/** Held back until the digest is verified, so that no wrong body is ever complete. */
export const HELD_BACK_BYTES = 64 * 1024

export class Progress {
  readonly #changes = new Changes()
  #written = 0
  #verified = false
  #failure: Error | undefined

  constructor(private readonly size: () => number | undefined) {}

  /** Bytes that lie in the file. */
  get written(): number {
    return this.#written
  }

  get verified(): boolean {
    return this.#verified
  }

  /** Resolves at the next change of any kind. */
  get changed(): Promise<void> {
    return this.#changes.next
  }

  advance(bytes: number): void {
    this.#written += bytes
    this.#changes.ring()
  }

  /** Everything that was written is forgotten. Nobody may have read any of it. */
  startOver(): void {
    this.#written = 0
    this.#changes.ring()
  }

  markVerified(): void {
    this.#verified = true
    this.#changes.ring()
  }

  fail(error: Error): void {
    this.#failure = error
    this.#changes.ring()
  }

  /** How far readers may go, more than `offset`: at once if they may, else as soon as they may. Rejects when the bytes will never come. */
  beyond(offset: number): number | Promise<number> {
    return this.#readable > offset && this.#failure === undefined ? this.#readable : this.#waitBeyond(offset)
  }

  async #waitBeyond(offset: number): Promise<number> {
    for (;;) {
      if (this.#failure !== undefined) throw this.#failure
      if (this.#readable > offset) return this.#readable
      await this.#changes.next
    }
  }

  get #readable(): number {
    if (this.#verified) return this.#written
    return Math.min(this.#written, Math.max(0, (this.size() ?? 0) - HELD_BACK_BYTES))
  }
}
