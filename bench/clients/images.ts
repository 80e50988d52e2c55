/** Runs the pullers of many small images. */
import { root } from '../../scripts/root.mjs'
import { complete, type Scope } from '../steps.ts'

type Where = { readonly url: string; readonly pid: number }

export type PullPlan = {
  /** JSON: of each image the items that a client asks for, in this order. */
  readonly imagesFile: string
  readonly upstream: Where
  readonly server: Where
  readonly pullers: number
  /** How long; every image once unless given. */
  readonly seconds?: number
}

export type Pulled = {
  readonly images: number
  readonly requests: number
  readonly seconds: number
  readonly imagesPerSecond: number
  /** How many processors each of them kept busy in that time. The clients are one thread: near 1, they were what was measured. */
  readonly processors: { readonly clients: number; readonly server: number; readonly upstream: number }
}

/** Throws if any body was wrong. `direct` is what the same clients got straight from the upstream, just before. */
export async function pullImages(
  scope: Scope,
  { imagesFile, upstream, server, pullers, seconds }: PullPlan,
): Promise<{ readonly direct: Pulled; readonly pulled: Pulled }> {
  // only what the plan names: a server's other properties are of this process
  const where = ({ url, pid }: Where) => ({ url, pid })
  const plan = { imagesFile, upstream: where(upstream), server: where(server), pullers, seconds }
  const args = ['--import', 'tsx', 'bench/clients/images-main.ts', JSON.stringify(plan)]
  return JSON.parse(await complete(scope, process.execPath, args, { cwd: root }))
}
