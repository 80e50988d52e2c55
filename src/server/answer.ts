/** An HTTP answer that carries the id of its request, and can be asked afterwards when it began and how long it was. */
import { ServerResponse } from 'node:http'
import type { Clock } from '../observe/clock.ts'
import type { HeaderList } from './respond.ts'

export class Answer extends ServerResponse {
  /** When its head was written, by the clock; undefined as long as it was not. */
  beganMs: number | undefined
  /** Of the body, as far as it was handed on. */
  bodyBytes = 0
  #clock: Pick<Clock, 'monotonic'> | undefined
  #requestId = ''

  /** Before anything is written. */
  prepare(requestId: string, clock: Pick<Clock, 'monotonic'>): void {
    this.#requestId = requestId
    this.#clock = clock
  }

  get requestId(): string {
    return this.#requestId
  }

  /** Node calls it as well, where nobody else does. */
  override writeHead(status: number, ...rest: unknown[]): this {
    this.beganMs ??= this.#clock?.monotonic()
    const [headers = []] = rest as [HeaderList?]
    headers.push('x-request-id', this.#requestId)
    return super.writeHead(status, headers)
  }

  override write(...args: unknown[]): boolean {
    this.#count(args[0])
    return super.write(...(args as Parameters<ServerResponse['write']>))
  }

  override end(...args: unknown[]): this {
    this.#count(args[0])
    return super.end(...(args as []))
  }

  #count(chunk: unknown): void {
    if (typeof chunk === 'string') this.bodyBytes += Buffer.byteLength(chunk)
    else if (chunk instanceof Uint8Array) this.bodyBytes += chunk.byteLength
  }
}
