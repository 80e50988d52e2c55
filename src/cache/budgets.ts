/** The cache's limits in time and number. Parameters, so that tests can scale them down. */
export type Budgets = {
  /** A client's first byte waits no longer. */
  readonly firstByteMs: number
  /** A tag's check upstream, and a list: longer, and what is cached is served. */
  readonly checkMs: number
  /** A source that takes longer to answer gives way to the next one. */
  readonly slowSourceMs: number
  readonly fillsAtOnce: number
  readonly backgroundFillsAtOnce: number
  /** Verified blobs that wait to be published; more, and new fills wait. */
  readonly unpublishedFills: number
  /** How often access times are written. */
  readonly accessTimesMs: number
  /** Images younger than this that a restart left incomplete are completed. */
  readonly completeWithinMs: number
}

/** @param pullTimeoutMs how long an upstream may take to answer; containerd gives up on headers after 30 s */
export function defaultBudgets(pullTimeoutMs: number): Budgets {
  return {
    firstByteMs: Math.min(pullTimeoutMs, 20_000),
    checkMs: 3_000,
    slowSourceMs: 3_000,
    fillsAtOnce: 64,
    backgroundFillsAtOnce: 6,
    unpublishedFills: 256,
    accessTimesMs: 5 * 60_000,
    completeWithinMs: 7 * 24 * 3600_000,
  }
}
