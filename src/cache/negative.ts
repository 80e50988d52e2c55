/**
 * Negative answers: what a registry said just now that it does not have. Only "not found" is remembered, never a refusal or trouble, and for so
 * short a time that a push followed by a pull works.
 */
import { Expiring } from '../async/expiring.ts'
import type { Config } from '../config/config.ts'
import type { Clock } from '../observe/clock.ts'
import { UpstreamError } from '../upstream/error.ts'
import { type Source, sourceName } from './sources.ts'

/** Tools ask for the tags of signatures with every pull, and mostly there is none. */
const MACHINERY_MS = 60_000
const REMEMBERED = 10_000

export type NegativeSettings = Pick<Config, 'negativeTtlMs'>

/** A registry's "not found", told once more without asking it. */
export class RememberedError extends UpstreamError {
  constructor(first: UpstreamError) {
    super('notFound', `${first.message} (as it said a moment ago)`, { cause: first })
  }
}

export class NegativeAnswers {
  readonly #clock: Clock
  readonly #settings: NegativeSettings
  #answers: Expiring<string, UpstreamError>

  /** @param settings read each time; 0: nothing is remembered */
  constructor(clock: Clock, settings: NegativeSettings) {
    this.#clock = clock
    this.#settings = settings
    this.#answers = new Expiring(clock, REMEMBERED)
  }

  /** Who was asked may be another one from now on. */
  forgetAll(): void {
    this.#answers = new Expiring(this.#clock, REMEMBERED)
  }

  /** @param name a canonical reference, or one of the names below. @throws RememberedError */
  refuse(name: string): void {
    const first = this.#answers.get(name)
    if (first !== undefined) throw new RememberedError(first)
  }

  has(name: string): boolean {
    return this.#answers.get(name) !== undefined
  }

  /** @param isMachinery of what only tools ask for: it is remembered for longer */
  note(name: string, error: unknown, isMachinery = false): void {
    const { negativeTtlMs } = this.#settings
    if (negativeTtlMs === 0 || !(error instanceof UpstreamError) || error.kind !== 'notFound' || error instanceof RememberedError) return
    this.#answers.set(name, error, isMachinery ? Math.max(negativeTtlMs, MACHINERY_MS) : negativeTtlMs)
  }

  /** It is there after all. */
  forget(name: string): void {
    this.#answers.delete(name)
  }
}

/** As `docker.io/library/alpine@sha256:…`, which is a manifest's name, but of a blob. */
export function blobName(source: Source, digest: string): string {
  return `blob ${sourceName(source)}@${digest}`
}

/** Of a registry's referrers API, which some have for some repositories only. */
export function referrersName(source: Source): string {
  return `referrers ${sourceName(source)}`
}
