/** How long and how much an upstream may take: constructor parameters with defaults, so that tests scale them down. */

export type Budgets = {
  /** For a connection to stand: look-up, TCP and TLS. */
  readonly connectMs: number
  /** For a look-up, after which those who wait for it give up. */
  readonly lookupMs: number
  /** For the next byte of a body, while its reader wants one. */
  readonly bodyIdleMs: number
  /** How long an idle connection stays open. */
  readonly keepAliveMs: number
  /** For a program that knows credentials. */
  readonly helperMs: number
  /** A server that has said nothing to a request for so long has failed once, though the request may wait on. */
  readonly silenceMs: number
  /** Before the first probe of a server that is down, and at first of a pause that has no length of its own; doubles, varied by a fifth. */
  readonly backoffMs: number
  readonly maxBackoffMs: number
  /** For the answer to a probe. */
  readonly probeMs: number
  /** How long the first request after a pause goes alone. */
  readonly trialMs: number
  /** Registries that nobody configured whose clients are kept. */
  readonly unconfigured: number
  /** Pages of a list. */
  readonly listPages: number
  /** Of a list, all pages together. */
  readonly listBytes: number
  /** Of a list, all pages together: sorting a million tags would keep everybody waiting. */
  readonly listEntries: number
}

export const DEFAULT_BUDGETS: Budgets = {
  connectMs: 10_000,
  lookupMs: 3_000,
  bodyIdleMs: 10_000,
  keepAliveMs: 20_000,
  helperMs: 10_000,
  silenceMs: 20_000,
  backoffMs: 1_000,
  maxBackoffMs: 60_000,
  probeMs: 10_000,
  trialMs: 800,
  unconfigured: 256,
  listPages: 1000,
  listBytes: 8 * 1024 * 1024,
  listEntries: 100_000,
}
