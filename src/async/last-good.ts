/** Goes on with what was read last when something can no longer be read: a file that is half-written must not end what works. */

export type LastGoodOptions<T> = {
  /** Rejects for what cannot be used. */
  readonly read: () => Promise<T>
  /** Told once of each trouble that is not the last one again. */
  readonly onTrouble: (error: Error) => void
  /** Told when all is well again after trouble. */
  readonly onRecovery: () => void
}

export class LastGood<T> {
  readonly #options: LastGoodOptions<T>
  #good: { readonly value: T } | undefined
  /** What the last trouble said. */
  #trouble: string | undefined

  constructor(options: LastGoodOptions<T>) {
    this.#options = options
  }

  /** What is read now, else what was read last. @throws what reading threw, if nothing was ever read */
  async read(): Promise<T> {
    const { read, onTrouble, onRecovery } = this.#options
    try {
      const value = await read()
      const recovered = this.#trouble !== undefined
      this.#good = { value }
      this.#trouble = undefined
      if (recovered) onRecovery()
      return value
    } catch (thrown) {
      const error = thrown instanceof Error ? thrown : new Error(String(thrown))
      const isNew = this.#trouble !== error.message
      this.#trouble = error.message
      if (isNew) onTrouble(error)
      if (this.#good === undefined) throw error
      return this.#good.value
    }
  }
}
