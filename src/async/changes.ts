/** A bell: whoever waits for a condition looks at it again each time somebody rings. */
export class Changes {
  #next = newDeferred()

  /** Resolves at the next `ring`. */
  get next(): Promise<void> {
    return this.#next.promise
  }

  ring(): void {
    const rung = this.#next
    this.#next = newDeferred()
    rung.resolve()
  }
}

function newDeferred(): { readonly promise: Promise<void>; readonly resolve: () => void } {
  let resolve = () => {}
  const promise = new Promise<void>((settle) => {
    resolve = settle
  })
  return { promise, resolve }
}
