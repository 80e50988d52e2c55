/** The service as `serve` starts it, in this process, with a configuration that tests change where it matters to them. */
import type { TestContext } from 'node:test'
import type { Config } from '../../src/config/config.ts'
import { systemClock } from '../../src/observe/clock.ts'
import { parseRegistry } from '../../src/oci/name.ts'
import { type Service, type ServiceDeps, startService } from '../../src/server/service.ts'
import { MemoryLog } from './log.ts'
import { RawConnection, type RawRequest, type RawResponse } from './raw-http.ts'

export const CONFIG: Config = {
  imagePath: '',
  logLevel: 'info',
  logFile: undefined,
  logFormat: 'text',
  host: '127.0.0.1',
  port: 0,
  drainTimeoutMs: undefined,
  os: 'linux',
  arch: 'amd64',
  pullTimeoutMs: 5_000,
  alwaysPullLatest: false,
  tagPolicy: [],
  skipTags: undefined,
  cacheManifests: true,
  privateRegistries: [],
  negativeTtlMs: 10_000,
  airGapped: false,
  prefetch: false,
  allowUnconfigured: true,
  defaultNs: parseRegistry('docker.io'),
  registries: [],
  credsFile: undefined,
  dockerConfig: undefined,
  proxies: { exceptions: [] },
  minFree: { bytes: 0, percent: 100 },
  scrub: { everyMs: 0, bytesPerSecond: 1 },
  budget: { maxBytes: undefined, highBytes: 0, lowBytes: 0 },
  pins: undefined,
  prune: { enabled: false, type: 'accessed', durationMs: 0, patterns: undefined, frequencyMs: 0, count: undefined, dryRun: false },
  serverTls: undefined,
  limits: { maxConnections: 0, maxRequestsPerClient: 0 },
  nameRules: { allow: [], deny: [] },
  admin: { tokenFile: undefined, port: 0 },
  load: { preloadImages: undefined, imageFile: undefined, platforms: 'all', referrers: false, concurrency: 4 },
  list: { header: false, shortDigest: false, patterns: undefined },
  health: 0,
  metrics: 0,
  helloWorld: false,
}

/** Stopped when the test ends, unless it has been before. */
export async function serve(
  t: TestContext,
  config: Partial<Config>,
  deps: Partial<ServiceDeps> = {},
): Promise<Service & { readonly log: MemoryLog }> {
  const log = new MemoryLog()
  const service = await startService({ config: { ...CONFIG, ...config }, clock: systemClock, log, version: '1.2.3', ...deps })
  t.after(() => service.stop())
  return { ...service, log }
}

/** On a connection of its own. */
export async function get(service: Service, target: string, options: Omit<RawRequest, 'target'> = {}): Promise<RawResponse> {
  const connection = await RawConnection.open(service.port)
  try {
    return await connection.ask({ target, ...options })
  } finally {
    connection.close()
  }
}
