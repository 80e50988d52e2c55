/** A client that takes the body of an answer byte by byte, when it is told to: what it does not take waits in the kernel, then in the server. */
import { connect, type Socket } from 'node:net'
import { parseHead } from './head.ts'

export class SlowReader {
  /** Resolves when the head has come, or will never come. */
  readonly head: Promise<void>
  /** Of the body. */
  readonly bytes: number[] = []
  /** What went wrong first. */
  trouble: string | undefined
  readonly #sizeBytes: number
  readonly #socket: Socket
  /** Undefined once it is complete. */
  #headText: string | undefined = ''
  #endHead = () => {}

  /** Asks at once, for a body of that size. */
  constructor({ hostname, port, host, pathname, search }: URL, sizeBytes: number) {
    this.#sizeBytes = sizeBytes
    this.head = new Promise((resolve) => {
      this.#endHead = resolve
    })
    // the kernel hands out no more than there is room for
    const onread = { buffer: Buffer.alloc(1), callback: (_length: number, buffer: Uint8Array) => this.#take(buffer[0] ?? 0) }
    this.#socket = connect({ host: hostname, port: Number(port), onread }, () => {
      this.#socket.write(`GET ${pathname}${search} HTTP/1.1\r\nHost: ${host}\r\nAccept: */*\r\n\r\n`)
    })
    this.#socket.once('error', ({ message }) => this.#fail(message)).once('close', () => this.#fail('the server closed the connection'))
  }

  readOneByte(): void {
    this.#socket.resume()
  }

  close(): void {
    this.#socket.destroy()
  }

  /** Whether there may be more at once. */
  #take(byte: number): boolean {
    if (this.#headText === undefined) {
      this.bytes.push(byte)
      return false
    }
    this.#headText += String.fromCharCode(byte)
    const head = parseHead(this.#headText)
    if (head === undefined) return true
    if (head.status !== 200 || head.contentBytes !== this.#sizeBytes)
      this.#fail(`status ${head.status}, content-length ${head.contentBytes}`)
    this.#headText = undefined
    this.#endHead()
    return false
  }

  #fail(why: string): void {
    this.trouble ??= why
    this.#endHead()
  }
}
