/** An `Upstreams` for a test: closed with it, with short budgets, its log at hand. */
import type { TestContext } from 'node:test'
import type { RegistryAuth, RegistryConfig, RegistryTls } from '../../src/config/config.ts'
import { systemClock } from '../../src/observe/clock.ts'
import { parseRegistry, parseRepository, parseTag, type Repository, type Tag } from '../../src/oci/name.ts'
import { Advice } from '../../src/upstream/advice.ts'
import { assembleClient } from '../../src/upstream/assemble.ts'
import { DEFAULT_BUDGETS } from '../../src/upstream/budgets.ts'
import { CredentialHelpers } from '../../src/upstream/credential-helpers.ts'
import { CredentialSources } from '../../src/upstream/credential-sources.ts'
import { Lookups, systemResolve } from '../../src/upstream/lookup.ts'
import { peerRules } from '../../src/upstream/peer-rules.ts'
import { Proxies } from '../../src/upstream/proxies.ts'
import type { RegistryClient } from '../../src/upstream/registry-client.ts'
import { Trust } from '../../src/upstream/trust.ts'
import { Upstreams, type UpstreamsOptions } from '../../src/upstream/upstreams.ts'
import type { ManualClock } from '../support/clock.ts'
import type { FakeRegistry } from '../support/fake-registry.ts'
import { MemoryLog } from '../support/log.ts'

export const REPOSITORY: Repository = parseRepository('team/app')
export const TAG: Tag = parseTag('v1')

type Overrides = Partial<Omit<RegistryConfig, 'tls'>> & { readonly tls?: Partial<RegistryTls> }

/** The entry that leads to a fake registry. */
export function entryOf(registry: FakeRegistry, { tls, ...overrides }: Overrides = {}): RegistryConfig {
  return {
    name: registry.name,
    aliases: [],
    scheme: registry.origin.startsWith('https:') ? 'https' : 'http',
    address: registry.host,
    tls: { insecureSkipVerify: false, ...tls },
    ...overrides,
  }
}

export function password(user: string, secret: string): Extract<RegistryAuth, { readonly user: string }> {
  return { user, password: { from: 'config', password: secret } }
}

export type TestUpstreams = { readonly upstreams: Upstreams; readonly log: MemoryLog }

export function makeUpstreams(t: Pick<TestContext, 'after'>, options: Partial<UpstreamsOptions> = {}): TestUpstreams {
  const log = new MemoryLog()
  const upstreams = new Upstreams({
    registries: [],
    allowUnconfigured: true,
    pullTimeoutMs: 5_000,
    via: '1.1 ociregistry-test',
    userAgent: 'ociregistry/test',
    clock: systemClock,
    log,
    ...options,
  })
  t.after(() => upstreams.close())
  return { upstreams, log }
}

/** The upstream of one fake registry. */
export function upstreamOf(
  t: Pick<TestContext, 'after'>,
  registry: FakeRegistry,
  overrides: Overrides = {},
  options: Partial<UpstreamsOptions> = {},
): RegistryClient {
  const config = entryOf(registry, overrides)
  return makeUpstreams(t, { registries: [config], ...options }).upstreams.of(config.name)
}

/** The upstream of a registry that no entry names. */
export function unconfigured(t: Pick<TestContext, 'after'>, name: string, options: Partial<UpstreamsOptions> = {}): RegistryClient {
  return makeUpstreams(t, options).upstreams.of(parseRegistry(name))
}

/** The same on loopback, which its address rules would refuse: everything else is as for any unconfigured registry. */
export function unconfiguredOnLoopback(
  t: Pick<TestContext, 'after'>,
  { name, host }: FakeRegistry,
  env: Readonly<Record<string, string>> = {},
): { upstream: RegistryClient; log: MemoryLog } {
  const log = new MemoryLog()
  const config: RegistryConfig = { name, aliases: [], scheme: 'https', address: host, tls: { insecureSkipVerify: false } }
  const advice = new Advice({ registry: config, configured: false, log, outdated: () => ({}) })
  const rules = peerRules(config, false, advice)
  const helpers = new CredentialHelpers({ env, clock: systemClock, log, timeoutMs: DEFAULT_BUDGETS.helperMs })
  const shared = {
    clock: systemClock,
    log,
    trust: new Trust({ env, clock: systemClock, log }),
    proxies: new Proxies({ exceptions: [] }),
    credentials: new CredentialSources({}, { env, log, helpers }),
    lookups: new Lookups({ resolve: systemResolve, clock: systemClock, giveUpMs: 3_000 }),
    budgets: DEFAULT_BUDGETS,
    random: Math.random,
    env,
    pullTimeoutMs: 5_000,
    via: '1.1 ociregistry-test',
    userAgent: 'ociregistry/test',
  }
  const upstream = assembleClient(config, { ...rules, own: { ...rules.own, exempt: () => new Set(['loopback']) } }, advice, shared)
  t.after(() => upstream.close())
  return { upstream, log }
}

export async function bytesOfBody(body: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  for await (const chunk of body) chunks.push(chunk)
  return Buffer.concat(chunks)
}

/** Lets time pass until something is over. */
export async function passing(clock: ManualClock, over: Promise<unknown>): Promise<void> {
  let done = false
  const end = over.finally(() => {
    done = true
  })
  while (!done) await clock.advance(10)
  await end
}
