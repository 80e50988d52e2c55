/** One request through undici's dispatcher, its body as a plain `Readable`: half the CPU of `fetch`. */
import type { IncomingHttpHeaders } from 'node:http'
import { Readable } from 'node:stream'
import type { Dispatcher } from 'undici'
import type { Clock } from '../observe/clock.ts'
import type { Answer } from './answer.ts'
import { UpstreamError } from './error.ts'
import { StallWatch } from './stall.ts'

export type OutgoingRequest = {
  readonly url: URL
  readonly method: 'GET' | 'HEAD' | 'POST'
  readonly headers: Readonly<Record<string, string>>
  /** Of a POST. */
  readonly body?: string
  /** What the request line says instead of path and query. */
  readonly target?: string
}

export type BodyRules = {
  readonly clock: Clock
  readonly idleMs: number
  /** Makes the error of a body that fails. */
  readonly bodyError: (error: unknown) => UpstreamError
}

/** Resolves with the headers. @param signal counts until then; afterwards the body is its reader's to destroy */
export function dispatch(dispatcher: Dispatcher, request: OutgoingRequest, rules: BodyRules, signal: AbortSignal): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const { url, method, headers, body = null, target = url.pathname + url.search } = request
    const handler = new AnswerHandler(url, rules, signal, resolve, reject)
    dispatcher.dispatch({ origin: url.origin, path: target, method, headers, body }, handler)
  })
}

class AnswerHandler implements Dispatcher.DispatchHandler {
  readonly #url: URL
  readonly #rules: BodyRules
  readonly #signal: AbortSignal
  readonly #resolve: (answer: Answer) => void
  readonly #reject: (error: unknown) => void
  #controller: Dispatcher.DispatchController | undefined
  #body: AnswerBody | undefined

  constructor(url: URL, rules: BodyRules, signal: AbortSignal, resolve: (answer: Answer) => void, reject: (error: unknown) => void) {
    this.#url = url
    this.#rules = rules
    this.#signal = signal
    this.#resolve = resolve
    this.#reject = reject
    signal.addEventListener('abort', this.#abort, { once: true })
  }

  /** Before headers only. A request that still waits for its connection is ended as soon as it has one. */
  readonly #abort = (): void => {
    this.#controller?.abort(this.#signal.reason)
    this.#reject(this.#signal.reason)
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller
    if (this.#signal.aborted) this.#abort()
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number, headers: IncomingHttpHeaders): void {
    if (status < 200) return
    this.#signal.removeEventListener('abort', this.#abort)
    this.#body = new AnswerBody(controller, this.#rules)
    this.#resolve({ url: this.#url, status, header: (name) => joined(headers[name]), body: this.#body })
  }

  onResponseData(_: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#body?.receive(chunk)
  }

  onResponseEnd(): void {
    this.#body?.finish()
  }

  onResponseError(_: Dispatcher.DispatchController, error: Error): void {
    this.#signal.removeEventListener('abort', this.#abort)
    this.#body?.fail(error)
    this.#reject(error)
  }
}

class AnswerBody extends Readable {
  readonly #controller: Dispatcher.DispatchController
  readonly #rules: BodyRules
  readonly #watch: StallWatch
  #failure: unknown

  constructor(controller: Dispatcher.DispatchController, rules: BodyRules) {
    super({ highWaterMark: 64 * 1024 })
    this.#controller = controller
    this.#rules = rules
    this.#watch = new StallWatch(rules.clock, rules.idleMs, () => {
      this.fail(new UpstreamError('timeout', `no byte for ${rules.idleMs} ms`))
    })
    this.on('newListener', (event) => {
      if (event === 'error') process.nextTick(() => this.#failIfHeard())
    })
  }

  receive(chunk: Buffer): void {
    this.#watch.touch()
    if (this.push(chunk)) return
    this.#watch.pause()
    this.#controller.pause()
  }

  finish(): void {
    this.#watch.stop()
    this.push(null)
  }

  /** Where nobody listens for errors yet (a reader may be on its way), the body fails as soon as somebody does. */
  fail(error: unknown): void {
    this.#failure ??= error
    this.#watch.stop()
    this.#failIfHeard()
  }

  #failIfHeard(): void {
    if (this.#failure === undefined || this.destroyed || this.listenerCount('error') === 0) return
    this.destroy(this.#rules.bodyError(this.#failure))
  }

  override _read(): void {
    if (!this.#controller.paused) return
    this.#watch.resume()
    // not at once: this may run within undici's parser of another body, which must not be entered twice
    queueMicrotask(() => this.#controller.resume())
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#watch.stop()
    if (!this.readableEnded) this.#controller.abort(error ?? new Error('the body is not wanted any more'))
    callback(error)
  }
}

function joined(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value.join(', ') : value
}
