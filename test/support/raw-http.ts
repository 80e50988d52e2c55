/** HTTP on a raw socket: requests go out byte for byte as a test writes them, answers come back with every header line and the way they ended. */
import { connect as connectTcp, type Socket } from 'node:net'

/** How the other side ended a connection: `fin` is an orderly end, `rst` an abort that clients give up on. */
export type Ending = 'fin' | 'rst'

export type RawResponse = {
  readonly status: number
  /** As they came, in order. */
  readonly headerLines: readonly (readonly [name: string, value: string])[]
  /** The value of a header that came once at the most; two lines of it are a failure. */
  header(name: string): string | undefined
  readonly body: Buffer
  /** Whether the body is as long as it was announced. */
  readonly complete: boolean
  json(): unknown
}

export type RawRequest = {
  readonly method?: string
  /** Sent as it is. */
  readonly target: string
  /** Several values make several lines. Without `host` here the connection's own is sent. */
  readonly headers?: Readonly<Record<string, string | readonly string[]>>
  readonly body?: string | Buffer
}

export class RawConnection {
  readonly #socket: Socket
  readonly #host: string
  #received: Buffer[] = []
  #ending: Ending | undefined
  #ring: () => void = () => {}

  private constructor(socket: Socket, host: string) {
    this.#socket = socket
    this.#host = host
    socket.on('data', (chunk: Buffer) => this.#note(() => this.#received.push(chunk)))
    socket.on('end', () => this.#note(() => (this.#ending ??= 'fin')))
    socket.on('error', () => this.#note(() => (this.#ending ??= 'rst')))
    socket.on('close', () => this.#note(() => (this.#ending ??= 'rst')))
  }

  static open(port: number, host = '127.0.0.1'): Promise<RawConnection> {
    return new Promise((resolve, reject) => {
      const socket = connectTcp({ port, host, noDelay: true, allowHalfOpen: true })
      socket.once('error', reject)
      socket.once('connect', () => {
        socket.off('error', reject)
        resolve(new RawConnection(socket, `${host}:${port}`))
      })
    })
  }

  /** The other side may still be sending: what is not read stays with it. */
  stopReading(): void {
    this.#socket.pause()
  }

  goOnReading(): void {
    this.#socket.resume()
  }

  write(bytes: string | Buffer): void {
    this.#socket.write(bytes)
  }

  /** Writes as fast as the other side takes it. */
  writeAll(bytes: Buffer): Promise<void> {
    return new Promise((resolve) => this.#socket.write(bytes, () => resolve()))
  }

  send(request: RawRequest): void {
    this.write(formatRequest(request, this.#host))
  }

  /** Sends a request and reads its answer. */
  async ask(request: RawRequest): Promise<RawResponse> {
    this.send(request)
    return this.response(request.method)
  }

  /** The next answer on this connection, to its end or the connection's. @param method of its request: an answer to HEAD has no body */
  async response(method = 'GET'): Promise<RawResponse> {
    const head = await this.head()
    const length = hasBody(method, head.status) ? Number(head.header('content-length') ?? Number.POSITIVE_INFINITY) : 0
    const body = await this.take(length)
    return answer(head.status, head.headerLines, body, body.length === length)
  }

  /** Status and headers only; the body is still to be taken. */
  async head(): Promise<RawResponse> {
    const end = await this.#until(() => {
      const at = this.#joined().indexOf('\r\n\r\n')
      return at >= 0 ? at + 4 : this.#ending === undefined ? undefined : -1
    })
    if (end < 0) throw new Error(`the connection ended (${this.#ending}) instead of an answer, after: ${this.#joined().toString('latin1')}`)
    const [statusLine = '', ...lines] = this.#shift(end).toString('latin1').trimEnd().split('\r\n')
    const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(statusLine)?.[1])
    if (Number.isNaN(status)) throw new Error(`no status line: ${statusLine}`)
    const headerLines = lines.map((line) => {
      const colon = line.indexOf(':')
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()] as const
    })
    return answer(status, headerLines, Buffer.alloc(0), true)
  }

  /** The next so many bytes of a body, or fewer if the connection ends. */
  async take(length: number): Promise<Buffer> {
    const count = await this.#until(() => {
      const available = this.#received.reduce((sum, chunk) => sum + chunk.length, 0)
      return available >= length ? length : this.#ending === undefined ? undefined : available
    })
    return this.#shift(count)
  }

  /** How the other side ends the connection; whatever it sends before is thrown away. */
  async ending(): Promise<Ending> {
    return this.#until(() => {
      this.#received = []
      return this.#ending
    })
  }

  /** Everything until the other side ends the connection. */
  async rest(): Promise<{ readonly bytes: Buffer; readonly ending: Ending }> {
    const ending = await this.#until(() => this.#ending)
    return { bytes: this.#shift(this.#joined().length), ending }
  }

  /** Closes this side in order. */
  end(): void {
    this.#socket.end()
  }

  /** Leaves: closed without a word, as a client does that has gone away. */
  close(how: Ending = 'fin'): void {
    if (how === 'rst') this.#socket.resetAndDestroy()
    else this.#socket.destroy()
  }

  #note(change: () => void): void {
    change()
    this.#ring()
  }

  async #until<T>(look: () => T | undefined): Promise<T> {
    for (;;) {
      const found = look()
      if (found !== undefined) return found
      await new Promise<void>((resolve) => {
        this.#ring = resolve
      })
    }
  }

  #joined(): Buffer {
    if (this.#received.length > 1) this.#received = [Buffer.concat(this.#received)]
    return this.#received[0] ?? Buffer.alloc(0)
  }

  #shift(count: number): Buffer {
    const all = this.#joined()
    this.#received = [all.subarray(count)]
    return all.subarray(0, count)
  }
}

export function formatRequest({ method = 'GET', target, headers = {}, body }: RawRequest, host: string): Buffer {
  const length = body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) }
  const lines = Object.entries({ host, ...length, ...headers }).flatMap(([name, values]) =>
    (typeof values === 'string' ? [values] : values).map((value) => `${name}: ${value}\r\n`),
  )
  return Buffer.concat([Buffer.from(`${method} ${target} HTTP/1.1\r\n${lines.join('')}\r\n`, 'latin1'), Buffer.from(body ?? '')])
}

function hasBody(method: string, status: number): boolean {
  return method !== 'HEAD' && status >= 200 && status !== 204 && status !== 304
}

function answer(status: number, headerLines: RawResponse['headerLines'], body: Buffer, complete: boolean): RawResponse {
  return {
    status,
    headerLines,
    header: (name) => {
      const values = headerLines.filter(([known]) => known === name).map(([, value]) => value)
      if (values.length > 1) throw new Error(`${name} came ${values.length} times: ${values.join(' | ')}`)
      return values[0]
    },
    body,
    complete,
    json: () => JSON.parse(body.toString('utf8')),
  }
}
