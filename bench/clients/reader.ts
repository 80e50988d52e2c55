/**
 * A client that costs next to nothing, so that twenty of them are not the limit: one reused buffer, and each byte compared with the
 * file that is wanted. Equal bytes have an equal digest, and comparing costs a tenth of hashing.
 */
import { connect } from 'node:net'
import { parseHead } from './head.ts'

export type Reading = {
  /** Undefined when it got exactly what it wanted. */
  readonly wrong: string | undefined
  /** From before it connected to the first byte of the body. */
  readonly firstByteMs: number
  readonly totalMs: number
}

const bufferBytes = 256 * 1024

/** Asks for `url` and compares. Never throws. */
export function read(url: URL, wanted: Buffer): Promise<Reading> {
  const startedMs = performance.now()
  const body = new ComparedBody(wanted)
  let firstByteMs = Number.NaN
  return new Promise((resolve) => {
    const end = (trouble?: string) => {
      const wrong = trouble ?? body.wrong
      resolve({ wrong, firstByteMs, totalMs: performance.now() - startedMs })
      socket.destroy()
    }
    const onread = {
      buffer: Buffer.allocUnsafe(bufferBytes),
      callback(length: number, buffer: Uint8Array) {
        body.add(buffer as Buffer, length)
        if (body.received > 0 && Number.isNaN(firstByteMs)) firstByteMs = performance.now() - startedMs
        if (body.done) end()
        return true
      },
    }
    const socket = connect({ host: url.hostname, port: Number(url.port), onread }, () => {
      socket.write(`GET ${url.pathname}${url.search} HTTP/1.1\r\nHost: ${url.host}\r\nAccept: */*\r\n\r\n`)
    })
    socket.once('error', (error) => end(error.message))
    socket.once('close', () => end(`it ended after ${body.received} of ${wanted.length} bytes`))
  })
}

/** The answer as it comes: a head, then a body of known length. */
class ComparedBody {
  readonly #wanted: Buffer
  #head: string | undefined = ''
  received = 0
  wrong: string | undefined

  constructor(wanted: Buffer) {
    this.#wanted = wanted
  }

  get done(): boolean {
    return this.wrong !== undefined || this.received === this.#wanted.length
  }

  add(buffer: Buffer, length: number): void {
    const start = this.#head === undefined ? 0 : this.#readHead(buffer, length)
    const end = this.received + length - start
    if (end > this.#wanted.length) this.wrong = 'more bytes than it should have'
    else if (buffer.compare(this.#wanted, this.received, end, start, length) !== 0) this.wrong = `wrong bytes behind byte ${this.received}`
    this.received = end
  }

  /** Where the body begins in `buffer`. */
  #readHead(buffer: Buffer, length: number): number {
    const before = this.#head ?? ''
    const text = before + buffer.toString('latin1', 0, length)
    const head = parseHead(text)
    this.#head = head === undefined ? text : undefined
    if (head === undefined) return length
    const { status, contentBytes, endsAt } = head
    if (status !== 200 || contentBytes !== this.#wanted.length) this.wrong = `status ${status}, content-length ${contentBytes}`
    return endsAt - before.length
  }
}
