/** How the server is: what `/health`, `/livez` and `/readyz` say. A server that can serve what it has is well enough for a 200; what it cannot do besides is in the body. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Registry } from '../oci/name.ts'
import type { StorageTrouble } from '../store/space.ts'
import type { UpstreamHealth } from '../upstream/upstream.ts'
import { writeBody } from './respond.ts'

/** What the answer depends on. */
export type HealthState = {
  readonly isLoaded: boolean
  readonly storage: StorageTrouble | undefined
  readonly upstreams: Iterable<{ readonly registry: Registry; health(): UpstreamHealth }>
}

type ReasonKind =
  | 'catalog-loading'
  | 'store-full'
  | 'store-read-only'
  | 'store-held'
  | 'store-failing'
  | 'upstream-down'
  | 'upstream-paused'

export type HealthReason = {
  readonly kind: ReasonKind
  readonly why: string
  /** The upstream it is about. */
  readonly registry?: Registry
  /** When it is asked again. */
  readonly retryInMs?: number
}

export type HealthReport = { readonly status: 'ok' | 'degraded'; readonly reasons: readonly HealthReason[] }

const STORAGE: Readonly<Record<StorageTrouble['kind'], ReasonKind>> = {
  full: 'store-full',
  readOnly: 'store-read-only',
  held: 'store-held',
  failing: 'store-failing',
}

/** By whom, is for the log. */
const HELD = 'another process holds the store; it is taken over when that ends'

export function healthReport({ isLoaded, storage, upstreams }: HealthState): HealthReport {
  const reasons: HealthReason[] = []
  if (!isLoaded) reasons.push({ kind: 'catalog-loading', why: 'the store is being read; requests wait for it' })
  if (storage !== undefined) reasons.push({ kind: STORAGE[storage.kind], why: storage.kind === 'held' ? HELD : storage.why })
  for (const upstream of upstreams) reasons.push(...reasonsOf(upstream.registry, upstream.health()))
  return { status: reasons.length === 0 ? 'ok' : 'degraded', reasons }
}

/** Why an upstream failed is not told: that may name addresses. The log has it. */
function reasonsOf(registry: Registry, { state, retryInMs }: UpstreamHealth): HealthReason[] {
  const retry = retryInMs === undefined ? {} : { retryInMs: Math.ceil(retryInMs) }
  if (state === 'down')
    return [{ kind: 'upstream-down', registry, why: `${registry} does not answer; what is cached is served without asking it`, ...retry }]
  if (state === 'troubled' && retryInMs !== undefined && retryInMs > 0)
    return [{ kind: 'upstream-paused', registry, why: `${registry}, or its token server, is not to be asked for a while`, ...retry }]
  return []
}

type Probe = 'health' | 'livez' | 'readyz'

/** Which probe a request is, whatever its query. */
function probeOf(url: string): Probe | undefined {
  const [, probe] = /^\/(health|livez|readyz)(?:\?|$)/.exec(url) ?? []
  return probe as Probe | undefined
}

export function isForHealth(url: string): boolean {
  return probeOf(url) !== undefined
}

/**
 * Answers a probe. That an answer comes is all that `/livez` says; `/readyz` is 503 until the catalog is complete; `/health` is 200 and tells the rest.
 * @param look brings the state up to date. Never rejects
 */
export async function answerHealth(req: IncomingMessage, res: ServerResponse, look: () => Promise<HealthState>): Promise<void> {
  const headers = ['cache-control', 'no-store', 'content-type', 'application/json']
  if (req.method !== 'GET' && req.method !== 'HEAD') {
    writeBody(res, 405, [...headers, 'allow', 'GET, HEAD'], '')
    return
  }
  const probe = probeOf(req.url ?? '')
  if (probe === 'livez') {
    writeBody(res, 200, headers, '{"status":"ok"}\n')
    return
  }
  const state = await look()
  writeBody(res, probe === 'readyz' && !state.isLoaded ? 503 : 200, headers, `${JSON.stringify(healthReport(state))}\n`)
}
