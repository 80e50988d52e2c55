/** The id of a request: the one that it brings, if that is fit to be repeated, else a new one. */
import { randomBytes } from 'node:crypto'

/** Nothing that could end a line or a header, and not too much of it. */
const SANE = /^[\w.:-]{1,128}$/

export class RequestIds {
  /** Another one in each process: ids of two are never the same. */
  readonly #prefix = randomBytes(6).toString('hex')
  #last = 0

  /** @param given `X-Request-ID` */
  of(given: string | string[] | undefined): string {
    return typeof given === 'string' && SANE.test(given) ? given : `${this.#prefix}-${++this.#last}`
  }
}
