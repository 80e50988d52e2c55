/** Text that is written together with what comes a moment later: of very many requests, a hundred writes a second. */

export type Gathered = {
  readonly write: (text: string) => void
  /** Writes at once what has come. */
  readonly flush: () => void
}

/** Not at the end of each turn of the event loop: what is to be done then keeps that from waiting for the network, and each turn does less. */
const PAUSE_MS = 10
const BUFFER_BYTES = 64 * 1024
/** Of one character. */
const MOST_BYTES = 3

/**
 * What waits is bytes in a buffer: as text it would be moved by each garbage collection meanwhile.
 * @param append does not throw; the bytes are its own until it returns
 */
export function gathered(append: (bytes: Buffer) => void): Gathered {
  const buffer = Buffer.allocUnsafeSlow(BUFFER_BYTES)
  let length = 0
  let isDue = false
  const flush = () => {
    const bytes = buffer.subarray(0, length)
    length = 0
    if (bytes.byteLength > 0) append(bytes)
  }
  const pauseOver = () => {
    isDue = false
    flush()
  }
  return {
    write: (text) => {
      const most = text.length * MOST_BYTES
      if (most > BUFFER_BYTES - length) flush()
      if (most > BUFFER_BYTES) append(Buffer.from(text))
      else length += buffer.write(text, length)
      if (isDue) return
      isDue = true
      setTimeout(pauseOver, PAUSE_MS).unref()
    },
    flush,
  }
}
