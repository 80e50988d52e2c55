/** A connection that is kept, for small answers one after the other; without the parser and the streams of an HTTP client, to be faster than the servers. */
import { connect, type Socket } from 'node:net'
import { parseHead } from './head.ts'

/** Head and body of the longest answer. */
const bufferBytes = 64 * 1024

type Span = { readonly start: number; readonly end: number }
type Waiting = { readonly resolve: (body: Buffer) => void; readonly reject: (error: Error) => void }

export class Connection {
  readonly #host: string
  readonly #socket: Socket
  readonly #buffer = Buffer.allocUnsafe(bufferBytes)
  #received = 0
  /** Where the body lies in the buffer; undefined until the head has come. */
  #body: Span | undefined
  #waiting: Waiting | undefined

  constructor({ host, hostname, port }: URL) {
    this.#host = host
    const onread = { buffer: Buffer.allocUnsafe(bufferBytes), callback: (length: number, bytes: Uint8Array) => this.#add(bytes, length) }
    this.#socket = connect({ host: hostname, port: Number(port), noDelay: true, onread })
    this.#socket.once('error', (error) => this.#fail(error)).once('close', () => this.#fail(new Error('the server closed the connection')))
  }

  /** The body, valid until the next request; one at a time. Throws unless the answer is 200 and says its length. */
  get(path: string, accept: string): Promise<Buffer> {
    this.#received = 0
    this.#body = undefined
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject }
      this.#socket.write(`GET ${path} HTTP/1.1\r\nHost: ${this.#host}\r\nAccept: ${accept}\r\n\r\n`, 'latin1')
    })
  }

  close(): void {
    this.#socket.destroy()
  }

  #add(bytes: Uint8Array, length: number): boolean {
    if (this.#received + length > bufferBytes) {
      this.#fail(new Error(`an answer of more than ${bufferBytes} bytes`))
      return false
    }
    this.#buffer.set(bytes.subarray(0, length), this.#received)
    this.#received += length
    this.#body ??= this.#findBody()
    if (this.#body !== undefined && this.#received >= this.#body.end) this.#finish(this.#body)
    return true
  }

  #findBody(): Span | undefined {
    const head = parseHead(this.#buffer.toString('latin1', 0, this.#received))
    if (head === undefined) return undefined
    if (head.status !== 200 || Number.isNaN(head.contentBytes))
      this.#fail(new Error(`status ${head.status}, content-length ${head.contentBytes}`))
    return { start: head.endsAt, end: head.endsAt + head.contentBytes }
  }

  #finish({ start, end }: Span): void {
    this.#waiting?.resolve(this.#buffer.subarray(start, end))
    this.#waiting = undefined
  }

  #fail(error: Error): void {
    this.#waiting?.reject(error)
    this.#waiting = undefined
    this.#socket.destroy()
  }
}
