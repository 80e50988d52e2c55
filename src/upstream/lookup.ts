/** Looks names up: few at once and each name once, since every look-up holds a thread of libuv that reading files needs too. */
import { promises as dns, type LookupAddress } from 'node:dns'
import { OVER } from '../async/over.ts'
import type { Clock } from '../observe/clock.ts'
import { UpstreamError } from './error.ts'

/** All addresses of a name. */
export type Resolve = (hostname: string) => Promise<LookupAddress[]>

export const systemResolve: Resolve = (hostname) => dns.lookup(hostname, { all: true })

export type LookupOptions = {
  readonly resolve: Resolve
  readonly clock: Clock
  /** After so long its waiters give up; the look-up itself cannot be stopped and goes on. */
  readonly giveUpMs: number
  /** Default 4. */
  readonly atOnce?: number
}

type Pending = { readonly hostname: string; waiters: number; readonly result: Promise<LookupAddress[]>; readonly start: () => void }

export class Lookups {
  readonly #options: LookupOptions
  readonly #pending = new Map<string, Pending>()
  #queue: Pending[] = []
  #running = 0

  constructor(options: LookupOptions) {
    this.#options = options
  }

  /** Look-ups that hold a thread right now. */
  get running(): number {
    return this.#running
  }

  /** @throws UpstreamError 'dns' if the name has no address, 'timeout' after `giveUpMs` */
  async lookup(hostname: string): Promise<readonly LookupAddress[]> {
    const pending = this.#pending.get(hostname) ?? this.#enqueue(hostname)
    pending.waiters++
    try {
      return await this.#within(pending)
    } catch (error) {
      throw error instanceof UpstreamError
        ? error
        : new UpstreamError('dns', `the look-up of ${hostname} failed: ${codeOf(error)}`, { cause: error })
    } finally {
      pending.waiters--
      this.#forgetUnwanted(pending)
    }
  }

  async #within(pending: Pending): Promise<LookupAddress[]> {
    const { clock, giveUpMs } = this.#options
    const answered = new AbortController()
    const givenUp = clock.sleep(giveUpMs, answered.signal).then((slept) => {
      if (slept) throw new UpstreamError('timeout', `the look-up of ${pending.hostname} took longer than ${giveUpMs} ms`)
      return []
    })
    try {
      return await Promise.race([pending.result, givenUp])
    } finally {
      answered.abort(OVER)
    }
  }

  #enqueue(hostname: string): Pending {
    let start = (): void => {}
    const started = new Promise<void>((resolve) => {
      start = resolve
    })
    const result = started.then(() => this.#options.resolve(hostname)).then(nonEmpty)
    const pending: Pending = { hostname, waiters: 0, result, start }
    result.then(
      () => this.#done(hostname),
      () => this.#done(hostname),
    )
    this.#pending.set(hostname, pending)
    this.#queue.push(pending)
    this.#startNext()
    return pending
  }

  #startNext(): void {
    while (this.#running < (this.#options.atOnce ?? 4)) {
      const next = this.#queue.shift()
      if (next === undefined) return
      this.#running++
      next.start()
    }
  }

  #done(hostname: string): void {
    this.#pending.delete(hostname)
    this.#running--
    this.#startNext()
  }

  /** A look-up that has not begun and that nobody waits for any more never begins: clients choose names, and the queue must not grow with them. */
  #forgetUnwanted(pending: Pending): void {
    if (pending.waiters > 0 || !this.#queue.includes(pending)) return
    this.#queue = this.#queue.filter((other) => other !== pending)
    this.#pending.delete(pending.hostname)
  }
}

function nonEmpty(addresses: LookupAddress[]): LookupAddress[] {
  if (addresses.length === 0) throw Object.assign(new Error('no address'), { code: 'ENOTFOUND' })
  return addresses
}

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? String(error)
}
