/** Runs one client that pulls cached images one after the other while the upstream is healthy, and while it fails. */
import { root } from '../../scripts/root.mjs'
import { complete, type Scope } from '../steps.ts'
import type { Trouble } from '../upstream/gate.ts'

export type OutagePlan = {
  /** JSON: of each image the items that a client asks for, in this order. */
  readonly imagesFile: string
  readonly serverUrl: string
  /** Of the gate, which the client tells when its time has come. */
  readonly controlUrl: string
  /** One after the other, with a healthy time before each. */
  readonly troubles: readonly Trouble[]
  /** Before each trouble, and in it; fewer when the seconds are over. */
  readonly pulls: number
  readonly seconds: number
  readonly warmUpSeconds: number
}

/** What became of so many pulls. */
export type Pulls = {
  readonly count: number
  /** Of whole pulls: all requests of an image. */
  readonly p50Ms: number
  readonly p99Ms: number
  readonly maxMs: number
  /** Of requests that took more than 50 ms, those that failed among them. */
  readonly slowRequestsMs: readonly number[]
  /** A pull ends with its first request that fails or takes 5 s. */
  readonly failedPulls: number
  /** Why, each reason once. */
  readonly failures: readonly string[]
}

/** `healthy` is what came just before. */
export type Outage = { readonly trouble: Trouble; readonly healthy: Pulls; readonly troubled: Pulls }

/** Throws if any body was wrong. The gate stays in the last trouble. */
export async function pullThroughOutages(scope: Scope, plan: OutagePlan): Promise<Outage[]> {
  const args = ['--import', 'tsx', 'bench/clients/outage-main.ts', JSON.stringify(plan)]
  return JSON.parse(await complete(scope, process.execPath, args, { cwd: root }))
}
