/**
 * Looks names up: few at once and each name once, since every look-up holds a thread of libuv that reading files needs too. Names that hang do not
 * keep out those that answer.
 */
import { promises as dns, type LookupAddress } from 'node:dns'
import { Lru } from '../async/lru.ts'
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
  /** At least 2, default 4. One of these places is for names that were answered the last time: clients choose names, and some hang. */
  readonly atOnce?: number
}

type Pending = {
  readonly hostname: string
  readonly result: Promise<LookupAddress[]>
  readonly start: () => void
  waiters: number
  /** Monotonic; undefined while it is queued. */
  startedAtMs: number | undefined
}

const MAX_ANSWERED = 1024

export class Lookups {
  readonly #options: LookupOptions
  readonly #pending = new Map<string, Pending>()
  /** Names that were answered the last time. */
  readonly #answered = new Lru<string, true>({ capacity: MAX_ANSWERED })
  #queue: Pending[] = []
  #running = 0
  /** Of those that run, the ones for names that were not answered the last time. */
  #runningUnproven = 0

  constructor(options: LookupOptions) {
    this.#options = options
  }

  /** Look-ups that hold a thread right now. */
  get running(): number {
    return this.#running
  }

  /** @throws UpstreamError 'dns' if the name has no address, 'timeout' after `giveUpMs`, or at once where others gave up and the look-up still hangs */
  async lookup(hostname: string): Promise<readonly LookupAddress[]> {
    const pending = this.#pending.get(hostname) ?? this.#enqueue(hostname)
    this.#refuseIfHanging(pending)
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

  #refuseIfHanging({ hostname, startedAtMs }: Pending): void {
    const { clock, giveUpMs } = this.#options
    const ranMs = startedAtMs === undefined ? 0 : clock.monotonic() - startedAtMs
    if (ranMs >= giveUpMs) throw new UpstreamError('timeout', `the look-up of ${hostname} has been hanging for ${Math.round(ranMs)} ms`)
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
    const pending: Pending = { hostname, waiters: 0, result, start, startedAtMs: undefined }
    this.#pending.set(hostname, pending)
    this.#queue.push(pending)
    this.#startNext()
    return pending
  }

  #startNext(): void {
    for (let next = this.#next(); next !== undefined; next = this.#next()) void this.#run(next)
  }

  #next(): Pending | undefined {
    const { atOnce = 4 } = this.#options
    if (this.#running >= atOnce) return undefined
    return this.#queue.find(({ hostname }) => this.#runningUnproven < atOnce - 1 || this.#answered.get(hostname))
  }

  async #run(pending: Pending): Promise<void> {
    const { hostname } = pending
    const isProven = this.#answered.get(hostname) ?? false
    this.#queue = this.#queue.filter((other) => other !== pending)
    this.#running++
    if (!isProven) this.#runningUnproven++
    pending.startedAtMs = this.#options.clock.monotonic()
    pending.start()
    const isAnswered = await pending.result.then(
      () => true,
      () => false,
    )
    if (isAnswered) this.#answered.set(hostname, true)
    else this.#answered.delete(hostname)
    this.#pending.delete(hostname)
    this.#running--
    if (!isProven) this.#runningUnproven--
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
