/** Lists: the tags of a repository, and what refers to a digest. The upstream's word while it answers in time, else the catalog's. */
import { SingleFlight } from '../async/single-flight.ts'
import type { Config } from '../config/config.ts'
import type { Clock } from '../observe/clock.ts'
import type { Log } from '../observe/log.ts'
import type { Digest } from '../oci/digest.ts'
import { OciError } from '../oci/error.ts'
import { isTag, parseTag, type Registry, type Repository } from '../oci/name.ts'
import { UpstreamError } from '../upstream/error.ts'
import type { Upstream, UpstreamDirectory } from '../upstream/upstream.ts'
import { type CacheStatus, type Demand, MISS, troubleOf } from './answer.ts'
import type { Catalog, ManifestEntry } from './catalog.ts'
import type { Manifests } from './manifests.ts'
import { type NegativeAnswers, referrersName } from './negative.ts'
import type { PrivateRegistries } from './private-registries.ts'
import { within } from './within.ts'

export type TagsAnswer = { readonly tags: readonly string[]; readonly status: CacheStatus }
export type ReferrersAnswer = { readonly descriptors: readonly unknown[]; readonly status: CacheStatus }

export type ListsDeps = {
  readonly catalog: Catalog
  /** Resolves when the catalog is complete. */
  readonly catalogReady: Promise<void>
  readonly manifests: Manifests
  readonly upstreams: UpstreamDirectory
  readonly privates: PrivateRegistries
  readonly negative: NegativeAnswers
  /** Read each time: they may change. */
  readonly settings: Pick<Config, 'airGapped'>
  readonly checkMs: number
  readonly clock: Clock
  readonly log: Log
}

export class Lists {
  readonly #deps: ListsDeps
  /** Tags of a repository, for all who ask at the same time. */
  readonly #listing = new SingleFlight<readonly string[]>()

  constructor(deps: ListsDeps) {
    this.#deps = deps
  }

  /** All tags, sorted by code point. @throws OciError, UpstreamError */
  async tags(registry: Registry, repository: Repository, demand: Demand): Promise<TagsAnswer> {
    let trouble: Error | undefined
    if (this.#mayAsk(demand)) {
      try {
        const upstream = this.#deps.upstreams.of(registry)
        const { result } = this.#listing.run(`${registry}/${repository}`, () => this.#listTags(upstream, repository))
        return { tags: await result, status: MISS }
      } catch (error) {
        trouble = asTrouble(error)
      }
    }
    await this.#deps.catalogReady
    const tags = this.#deps.privates.has(registry) ? [] : this.#deps.catalog.tagsOf(registry, repository).sort()
    if (tags.length > 0) return { tags, status: staleBecause(trouble) }
    throw trouble ?? notCached(demand, `no tag of ${registry}/${repository} is cached`, 'NAME_UNKNOWN')
  }

  /**
   * What refers to `subject`: from the upstream's referrers API; where it has none, from the fallback tag's index; proven absent: nothing.
   * @throws OciError 404 where nobody could be asked and nothing is cached: clients fail on anything else
   */
  async referrers(registry: Registry, repository: Repository, subject: Digest, demand: Demand): Promise<ReferrersAnswer> {
    let trouble: Error | undefined
    if (this.#mayAsk(demand)) {
      try {
        const silence = `${registry} did not list the referrers of ${subject}`
        const ask = (signal: AbortSignal) => this.#askReferrers(registry, repository, subject, demand, signal)
        return { descriptors: await this.#within(silence, ask), status: MISS }
      } catch (error) {
        trouble = asTrouble(error)
        this.#deps.log.warn('upstream did not list referrers', {
          registry,
          repository,
          subject,
          kind: troubleOf(trouble),
          request: demand.request,
          error: trouble,
        })
      }
    }
    await this.#deps.catalogReady
    const cached = new Map<unknown, unknown>(
      descriptorsOf(this.#cachedReferrers(registry, subject)).map((descriptor) => [descriptor.digest, descriptor]),
    )
    const fallback = await this.#fallbackIndex(registry, repository, subject, { onlyIfCached: true }).catch((error: unknown) => {
      if (error instanceof OciError) return undefined // it is not cached
      throw error
    })
    for (const descriptor of fallback ?? []) cached.set((descriptor as { digest?: unknown }).digest, descriptor)
    if (cached.size > 0) return { descriptors: [...cached.values()], status: staleBecause(trouble) }
    throw new OciError(
      404,
      'MANIFEST_UNKNOWN',
      `no referrers of ${subject} are cached${trouble === undefined ? '' : `, and ${trouble.message}`}`,
      {},
      { cause: trouble },
    )
  }

  /** What is no tag is left out: nobody could ask for it. */
  async #listTags(upstream: Upstream, repository: Repository): Promise<readonly string[]> {
    const silence = `${upstream.registry} did not list the tags of ${repository}`
    const tags = await this.#within(silence, (signal) => upstream.listTags(repository, signal))
    return [...new Set(tags.filter(isTag))].sort()
  }

  /** What a private registry supplied is told to nobody without its word, and to another one's clients not at all. */
  #cachedReferrers(registry: Registry, subject: Digest): ManifestEntry[] {
    const { privates, catalog } = this.#deps
    if (privates.has(registry)) return []
    return [...catalog.referrersOf(subject)].filter((entry) => privates.mayKnow(registry, entry))
  }

  async #askReferrers(
    registry: Registry,
    repository: Repository,
    subject: Digest,
    demand: Demand,
    signal: AbortSignal,
  ): Promise<readonly unknown[]> {
    const listed = await this.#askApi(registry, repository, subject, signal)
    if (listed !== undefined) return listed
    try {
      return (await this.#fallbackIndex(registry, repository, subject, demand, true)) ?? []
    } catch (error) {
      if (error instanceof UpstreamError && error.kind === 'notFound') return [] // proven absent
      throw error
    }
  }

  /** Undefined where the registry has no referrers API, which is remembered for a while. */
  async #askApi(registry: Registry, repository: Repository, subject: Digest, signal: AbortSignal): Promise<readonly unknown[] | undefined> {
    const { upstreams, negative } = this.#deps
    const api = referrersName({ registry, repository })
    const upstream = upstreams.of(registry)
    if (negative.has(api)) return undefined
    const listed = await upstream.listReferrers(repository, subject, signal)
    if (listed === undefined) negative.note(api, new UpstreamError('notFound', `${registry} has no referrers API for ${repository}`), true)
    return listed
  }

  /** The descriptors under the fallback tag, `<algorithm>-<hex>` cut to 32 and 64 characters (distribution-spec, "Unavailable Referrers API"). */
  async #fallbackIndex(
    registry: Registry,
    repository: Repository,
    subject: Digest,
    demand: Demand,
    check = false,
  ): Promise<readonly unknown[] | undefined> {
    const [algorithm = '', hex = ''] = subject.split(':')
    const tag = parseTag(`${algorithm.slice(0, 32)}-${hex.slice(0, 64)}`)
    const { entry, bytes, status } = await this.#deps.manifests.get({ registry, repository, tag }, demand, true, check)
    if (check && status.hit && status.stale !== undefined) throw new UpstreamError(status.stale, `${registry} could not be asked`)
    if (entry.kind !== 'index' || bytes === undefined) return undefined
    const { manifests } = JSON.parse(bytes.toString('utf8')) as { manifests?: unknown }
    return Array.isArray(manifests) ? manifests.filter((descriptor) => typeof descriptor === 'object' && descriptor !== null) : []
  }

  #within<T>(what: string, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    return within(this.#deps.clock, this.#deps.checkMs, what, work)
  }

  #mayAsk(demand: Demand): boolean {
    return !this.#deps.settings.airGapped && !demand.onlyIfCached
  }
}

function staleBecause(trouble: Error | undefined): CacheStatus {
  const kind = troubleOf(trouble)
  return kind === undefined ? { hit: true } : { hit: true, stale: kind }
}

function asTrouble(error: unknown): Error {
  if (troubleOf(error) === undefined) throw error
  return error as Error
}

function notCached(demand: Demand, what: string, code: 'NAME_UNKNOWN'): OciError {
  if (demand.onlyIfCached) return new OciError(504, code, `${what}, and only-if-cached was asked for`)
  return new OciError(404, code, `${what}, and the server is air-gapped`)
}

function descriptorsOf(entries: Iterable<ManifestEntry>): { readonly digest: Digest }[] {
  return [...entries].map(({ mediaType, digest, sizeBytes, artifactType, annotations }) => ({
    mediaType,
    digest,
    size: sizeBytes,
    ...(artifactType === undefined ? {} : { artifactType }),
    ...(annotations === undefined ? {} : { annotations }),
  }))
}
