/** The cache's limits in time and number. Parameters, so that tests can scale them down. */
import type { Config } from '../config/config.ts'

export type Budgets = {
  /** A client's first byte waits no longer. */
  readonly firstByteMs: number
  /** A tag's check upstream, and a list: longer, and what is cached is served. */
  readonly checkMs: number
  /** A source that takes longer to answer gives way to the next one. */
  readonly slowSourceMs: number
  /** A source that sends less than `tricklingBytes` in this time gives way, too, where there is another. */
  readonly tricklingMs: number
  /** The pauses before the tries to continue a broken download: so many tries for each MiB of progress. */
  readonly retryWaitsMs: readonly number[]
  /** The longest pause that an upstream may ask for in the middle of a download. */
  readonly retryAfterMs: number
  /** How long a request for something that is not cached waits for an upstream whose circuit is open. */
  readonly circuitMs: number
  /** How long a reader that is too slow for a download that cannot be stored holds up the others. */
  readonly laggardMs: number
  readonly fillsAtOnce: number
  /** With those that only wait for an upstream, which hold a connection and little else. */
  readonly fillsInAll: number
  /** Of one registry: one that hangs must not keep the others waiting. */
  readonly fillsOfOneRegistry: number
  readonly backgroundFillsAtOnce: number
  /** Each holds up to 4 MiB. */
  readonly manifestsAtOnce: number
  readonly manifestsOfOneRegistry: number
  /** What nobody came back for is cleared out of the spool. */
  readonly spoolMs: number
  /** Verified blobs that wait to be published; more, and new fills wait. */
  readonly unpublishedFills: number
  /** How often access times are written. */
  readonly accessTimesMs: number
  /** How often it is seen whether what was served from memory is still stored. */
  readonly presenceMs: number
  /** Images younger than this that a restart left incomplete are completed. */
  readonly completeWithinMs: number
}

/** @param settings read each time. How long an upstream may take to answer; containerd gives up on headers after 30 s */
export function defaultBudgets(settings: Pick<Config, 'pullTimeoutMs'>): Budgets {
  return {
    get firstByteMs() {
      return Math.min(settings.pullTimeoutMs, 20_000)
    },
    checkMs: 3_000,
    slowSourceMs: 3_000,
    tricklingMs: 10_000,
    retryWaitsMs: [250, 500, 1_000, 2_000, 4_000],
    retryAfterMs: 20_000,
    circuitMs: 800,
    laggardMs: 10_000,
    fillsAtOnce: 64,
    fillsInAll: 256,
    fillsOfOneRegistry: 48,
    backgroundFillsAtOnce: 6,
    manifestsAtOnce: 128,
    manifestsOfOneRegistry: 32,
    spoolMs: 7 * 24 * 3600_000,
    unpublishedFills: 256,
    accessTimesMs: 5 * 60_000,
    presenceMs: 10_000,
    completeWithinMs: 7 * 24 * 3600_000,
  }
}
