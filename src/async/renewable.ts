/** Something that lives by settings: when these change it is stopped, and made again from those that count then. One lives at a time. */

export type Living = { start(): void; stop(): Promise<void> }

export class Renewable<T extends Living> {
  readonly #make: () => T | undefined
  #current: T | undefined
  #isLive = false
  #renewals = Promise.resolve()

  /** @param make undefined where the settings want none */
  constructor(make: () => T | undefined) {
    this.#make = make
  }

  /** The one that lives now. */
  get current(): T | undefined {
    return this.#current
  }

  start(): void {
    this.#isLive = true
    this.#current = this.#make()
    this.#current?.start()
  }

  /** Resolves when the old one has ended and the new one has begun. Before `start`, and after `stop`, nothing happens. */
  renew(): Promise<void> {
    this.#renewals = this.#renewals.then(async () => {
      if (this.#isLive) await this.#current?.stop()
      if (this.#isLive) this.start()
    })
    return this.#renewals
  }

  async stop(): Promise<void> {
    this.#isLive = false
    await this.#current?.stop()
    await this.#renewals
  }
}
