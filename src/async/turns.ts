/** Long work in pieces: whoever does it has the event loop for a few milliseconds at a time, and others have their turn in between. */

const TURN_MS = 5

export class Turns {
  #beganMs = performance.now()

  /** Undefined while the turn is not over; else what is to be awaited before going on. */
  pause(): Promise<void> | undefined {
    if (performance.now() - this.#beganMs < TURN_MS) return undefined
    return new Promise((resolve) =>
      setImmediate(() => {
        this.#beganMs = performance.now()
        resolve()
      }),
    )
  }
}
