/** A cache for as long as a command runs, on the store that it holds: what the server uses, with its configuration. */
import { randomBytes } from 'node:crypto'
import { defaultBudgets } from '../cache/budgets.ts'
import { Cache } from '../cache/cache.ts'
import { configuredUpstreams, type ServiceDeps } from '../server/service.ts'
import type { StoreParts } from '../store/store-parts.ts'

/** Nothing happens but what `work` asks for. Resolves when everything that came is stored. */
export async function withCache<T>(
  { store, spools, space }: StoreParts,
  deps: ServiceDeps,
  work: (cache: Cache) => Promise<T>,
): Promise<T> {
  const { config, clock, log } = deps
  const upstreams = configuredUpstreams(deps, `ociregistry-${randomBytes(4).toString('hex')}`)
  const settings = { ...config, prefetch: false }
  const cache = new Cache({ store, spools, space, upstreams, settings, budgets: defaultBudgets(config), clock, log })
  try {
    await cache.start()
    return await work(cache)
  } finally {
    await cache.stop()
    await upstreams.close()
  }
}
