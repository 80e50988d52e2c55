/**
 * Manifests: from the catalog, else from the store, else from the upstream. Content by digest never changes; a tag is answered from the
 * cache unless it is to be checked, and an upstream's trouble never takes away what is cached. Only what is a private registry's waits for its consent.
 */
import { Expiring } from '../async/expiring.ts'
import { SingleFlight } from '../async/single-flight.ts'
import type { Config } from '../config/config.ts'
import type { Clock } from '../observe/clock.ts'
import type { Log } from '../observe/log.ts'
import { type Digest, digestAlgorithm, digestOf } from '../oci/digest.ts'
import { OciError } from '../oci/error.ts'
import { type Manifest, ManifestError, parseManifest } from '../oci/manifest.ts'
import { isMachineryTag } from '../oci/name.ts'
import { formatReference, type Reference, type TagReference } from '../oci/reference.ts'
import type { ManifestRecord, Store } from '../store/store.ts'
import { UpstreamError, type UpstreamErrorKind } from '../upstream/error.ts'
import type { UpstreamDirectory, UpstreamManifest } from '../upstream/upstream.ts'
import { type CacheStatus, COLLAPSED, type Demand, HIT, MISS, troubleOf } from './answer.ts'
import type { Budgets } from './budgets.ts'
import type { Catalog, ManifestEntry } from './catalog.ts'
import { addRecord } from './catalog-load.ts'
import type { InUse } from './in-use.ts'
import { ManifestPlaces } from './manifest-places.ts'
import { missingPlatform } from './missing-platform.ts'
import type { NegativeAnswers } from './negative.ts'
import type { Presence } from './presence.ts'
import type { PrivateRegistries } from './private-registries.ts'
import type { Publisher } from './publisher.ts'
import { isDue, type TagPolicy } from './tag-policy.ts'
import { momentToRecover, within } from './within.ts'

export type ManifestAnswer = { readonly entry: ManifestEntry; readonly status: CacheStatus; readonly bytes: Buffer | undefined }

/** What an upstream's answer came to; with bytes where they came. */
type Confirmed = { readonly entry: ManifestEntry; readonly bytes?: Buffer }
type Fetched = { readonly entry: ManifestEntry; readonly bytes: Buffer }

export type ManifestsDeps = {
  readonly catalog: Catalog
  /** Resolves when the catalog is complete. */
  readonly catalogReady: Promise<void>
  readonly publisher: Publisher
  readonly presence: Presence
  readonly inUse: InUse
  readonly store: Store
  readonly upstreams: UpstreamDirectory
  /** Read each time: they may change. */
  readonly settings: Pick<Config, 'airGapped'>
  readonly policy: TagPolicy
  readonly privates: PrivateRegistries
  readonly negative: NegativeAnswers
  readonly budgets: Budgets
  readonly clock: Clock
  readonly log: Log
}

/** What the upstream has to say before something cached is served: nothing, whether a tag has moved, or that it is to be served at all. */
type Question = 'none' | 'check' | 'consent'

/** Tags whose failed check is remembered. */
const FAILURES = 4096

export class Manifests {
  readonly #deps: ManifestsDeps
  readonly #fetches = new SingleFlight<Fetched>()
  readonly #checks = new SingleFlight<Confirmed>()
  readonly #places: ManifestPlaces
  /** Checks that failed just now, and why: they are not repeated at once. */
  readonly #failed: Expiring<string, UpstreamErrorKind>
  /** Orders what upstreams answer: 0 is what the store said. */
  #began = 0

  constructor(deps: ManifestsDeps) {
    this.#deps = deps
    this.#places = new ManifestPlaces(deps)
    this.#failed = new Expiring(deps.clock, FAILURES)
  }

  /** What `get` would answer, where it is in memory and nobody has to be asked: so that it can be answered in this turn. */
  atHand(reference: Reference, demand: Demand, wantBytes: boolean): ManifestAnswer | undefined {
    const { publisher, presence, inUse, log } = this.#deps
    const name = formatReference(reference)
    const entry = this.#known(reference, name)
    if (entry === undefined) return undefined
    const question = this.#question(reference, name, demand)
    const stale = question === 'check' ? this.#excuse(reference, name) : undefined
    if (question !== 'none' && stale === undefined) return undefined
    const bytes = wantBytes ? publisher.bytesAtHand(entry.digest) : undefined
    if (wantBytes && bytes === undefined) return undefined
    publisher.touch(entry.digest)
    inUse.touch(entry.digest)
    presence.lookFor(entry.digest)
    if (log.isOn('debug')) log.debug('serving from cache', { reference: name, request: demand.request })
    return { entry, status: stale === undefined ? HIT : { hit: true, stale }, bytes }
  }

  /**
   * @param wantBytes false for HEAD: then a hit reads nothing
   * @param check whether a cached tag is to be confirmed by the upstream; the tag policy decides where it is left out
   * @throws OciError, UpstreamError
   */
  async get(reference: Reference, demand: Demand, wantBytes: boolean, check?: boolean): Promise<ManifestAnswer> {
    const name = formatReference(reference)
    const cached = await this.#cached(reference, name)
    if (cached === undefined) return this.#miss(reference, demand, wantBytes)
    const { publisher, presence, inUse, log } = this.#deps
    const answer = await this.#answer(reference, cached, demand, this.#question(reference, name, demand, check))
    const { digest } = answer.entry
    publisher.touch(digest)
    inUse.touch(digest)
    presence.lookFor(digest)
    if (answer.status.hit) log.debug('serving from cache', { reference: name, request: demand.request })
    if (!wantBytes) return { ...answer, bytes: undefined }
    const bytes = answer.bytes ?? (await publisher.bytesOf(answer.entry.digest))
    return bytes === undefined ? this.#lost(reference, answer.entry, demand) : { ...answer, bytes }
  }

  /**
   * Gives a cached manifest a tag, if its registry says that it has it.
   * @returns what the tag names there
   * @throws OciError, UpstreamError
   */
  async confirmTag(reference: TagReference, digest: Digest): Promise<Digest> {
    const { upstreams, clock, budgets } = this.#deps
    const { registry, repository, tag } = reference
    const began = ++this.#began
    const upstream = upstreams.of(registry)
    const named = await within(clock, budgets.firstByteMs, silence(reference), async (signal) => {
      const told = await upstream.headManifest(repository, tag, signal)
      return told ?? digestOf((await upstream.getManifest(repository, tag, signal)).bytes, digestAlgorithm(digest))
    })
    if (named === digest) this.#name(formatReference(reference), digest, began)
    return named
  }

  /** What is cached of a reference, without asking anybody: the catalog, then the store (somebody may have copied files in). */
  async #cached(reference: Reference, name: string): Promise<ManifestEntry | undefined> {
    const known = this.#known(reference, name)
    if (known !== undefined) return known
    await this.#deps.catalogReady
    return this.#known(reference, name) ?? this.#findInStore(reference, name)
  }

  #known(reference: Reference, name: string): ManifestEntry | undefined {
    const { catalog, privates } = this.#deps
    const digest = reference.digest ?? catalog.ref(name)?.digest
    const entry = digest === undefined ? undefined : catalog.manifest(digest)
    return entry === undefined || privates.mayKnow(reference.registry, entry) ? entry : undefined
  }

  async #findInStore(reference: Reference, name: string): Promise<ManifestEntry | undefined> {
    const { catalog, store, publisher, log } = this.#deps
    const ref = publisher.isGoing(name) ? undefined : await store.getRef(name)
    const digest = reference.digest ?? ref?.digest
    const record = digest === undefined || publisher.isGoing(digest) ? undefined : await store.getRecord(digest)
    if (record === undefined || !addRecord(catalog, record, log)) return undefined
    if (ref !== undefined && ref.digest === record.digest) catalog.setRef(ref, 0)
    return this.#known(reference, name)
  }

  #question(reference: Reference, name: string, demand: Demand, check?: boolean): Question {
    const { privates, settings, policy, catalog, clock } = this.#deps
    if (privates.has(reference.registry)) return 'consent'
    const { tag } = reference
    if (tag === undefined || demand.onlyIfCached || settings.airGapped) return 'none'
    if (check !== undefined) return check ? 'check' : 'none'
    const revalidate = policy.of(tag, name)
    if (revalidate === 'never') return 'none'
    return isDue(revalidate, catalog.ref(name)?.checkedMs ?? 0, clock.now()) ? 'check' : 'none'
  }

  #answer(reference: Reference, cached: ManifestEntry, demand: Demand, question: Question): ManifestAnswer | Promise<ManifestAnswer> {
    if (question === 'none') return { entry: cached, status: HIT, bytes: undefined }
    return question === 'check' ? this.#checked(reference, cached, demand) : this.#consented(reference, cached, demand)
  }

  /** Why a check is not tried now: it failed a moment ago, or the upstream is not to be asked. */
  #excuse({ registry }: Reference, name: string): UpstreamErrorKind | undefined {
    const failed = this.#failed.get(name)
    if (failed !== undefined) return failed
    try {
      const upstream = this.#deps.upstreams.of(registry)
      if (upstream.mayBeAsked('client')) return undefined
      return upstream.health().state === 'down' ? 'circuitOpen' : 'limited'
    } catch (error) {
      const kind = troubleOf(error)
      if (kind === undefined) throw error
      return kind
    }
  }

  /** Confirms a cached tag, within a bounded time; trouble of any kind: what is cached, marked stale with the cause. */
  async #checked(reference: Reference, cached: ManifestEntry, demand: Demand): Promise<ManifestAnswer> {
    const { clock, budgets, log } = this.#deps
    const name = formatReference(reference)
    const excuse = this.#excuse(reference, name)
    if (excuse !== undefined) return { entry: cached, bytes: undefined, status: { hit: true, stale: excuse } }
    const { result } = this.#checks.run(name, () => this.#ask(reference, cached, demand, budgets.checkMs))
    try {
      return confirmed(await within(clock, budgets.checkMs, silence(reference), () => result), cached)
    } catch (error) {
      const kind = troubleOf(error)
      if (kind === undefined) throw error
      this.#failed.set(name, kind, budgets.checkMs)
      log.warn('upstream could not confirm a tag; serving what is cached', { reference: name, kind, request: demand.request, error })
      return { entry: cached, bytes: undefined, status: { hit: true, stale: kind } }
    }
  }

  /** Of a private registry: its word for each answer, or none. @throws OciError, UpstreamError where it does not consent or cannot be asked */
  async #consented(reference: Reference, cached: ManifestEntry, demand: Demand): Promise<ManifestAnswer> {
    const { settings, clock, budgets } = this.#deps
    const name = formatReference(reference)
    if (settings.airGapped)
      throw new OciError(403, 'DENIED', `${name} needs the consent of ${reference.registry}, and the server is air-gapped`)
    if (demand.onlyIfCached)
      throw new OciError(504, 'DENIED', `${name} needs the consent of ${reference.registry}, and only-if-cached was asked for`)
    const { result } = this.#checks.run(name, () => this.#ask(reference, cached, demand, budgets.firstByteMs))
    return confirmed(await within(clock, budgets.firstByteMs, silence(reference), () => result), cached)
  }

  /** HEAD upstream, and GET where it names another digest than the cached one, or none for a tag. */
  async #ask(reference: Reference, cached: ManifestEntry, demand: Demand, ms: number): Promise<Confirmed> {
    const { upstreams, catalog, clock } = this.#deps
    const began = ++this.#began
    const upstream = upstreams.of(reference.registry)
    const digest = await within(clock, ms, silence(reference), (signal) =>
      upstream.headManifest(reference.repository, reference.digest ?? reference.tag, signal),
    )
    if (digest !== cached.digest && (digest !== undefined || reference.digest === undefined)) return this.#pull(reference, demand).result
    const name = formatReference(reference)
    const ref = catalog.ref(name)
    // written with the access times: a check that a crash forgets is only made once more
    if (ref !== undefined) catalog.setRef({ ...ref, digest: cached.digest, checkedMs: clock.now() }, began)
    return { entry: cached }
  }

  async #miss(reference: Reference, demand: Demand, wantBytes: boolean): Promise<ManifestAnswer> {
    const { settings, negative, clock, budgets } = this.#deps
    const name = formatReference(reference)
    if (settings.airGapped) throw new OciError(404, 'MANIFEST_UNKNOWN', `${this.#notCached(reference)}, and the server is air-gapped`)
    if (demand.onlyIfCached) throw new OciError(504, 'MANIFEST_UNKNOWN', `${this.#notCached(reference)}, and only-if-cached was asked for`)
    negative.refuse(name)
    const { result, joined } = this.#pull(reference, demand)
    const { entry, bytes } = await within(clock, budgets.firstByteMs, silence(reference), () => result)
    return { entry, bytes: wantBytes ? bytes : undefined, status: joined ? COLLAPSED : MISS }
  }

  #notCached(reference: Reference): string {
    return this.#missingPlatform(reference) ?? `${formatReference(reference)} is not cached`
  }

  /** What a private registry's indexes list is for those who have its consent. */
  #missingPlatform(reference: Reference): string | undefined {
    const { catalog, privates } = this.#deps
    return privates.has(reference.registry) ? undefined : missingPlatform(reference, catalog)
  }

  /** The store lost the bytes of something the catalog has: from now on it is a miss, under all its names. Should it come back, it is found. */
  async #lost(reference: Reference, entry: ManifestEntry, demand: Demand): Promise<ManifestAnswer> {
    const { catalog, log } = this.#deps
    log.warn('a manifest is gone from the store', { reference: formatReference(reference), digest: entry.digest, request: demand.request })
    catalog.forget(entry.digest)
    return this.#miss(reference, demand, true)
  }

  #pull(reference: Reference, { request }: Demand): { readonly result: Promise<Fetched>; readonly joined: boolean } {
    const name = formatReference(reference)
    const pull = this.#fetches.run(name, () => this.#fetch(reference))
    if (!pull.joined) this.#deps.log.info('pulling from upstream', { reference: name, startedBy: request })
    return pull
  }

  /** GET upstream, verify, keep. Not tied to the client that caused it. */
  async #fetch(reference: Reference): Promise<Fetched> {
    const { upstreams, negative, clock, budgets } = this.#deps
    const began = ++this.#began
    const isMachinery = reference.tag !== undefined && isMachineryTag(reference.tag)
    try {
      const upstream = upstreams.of(reference.registry)
      // tools ask for signatures with every pull of what is cached, too: they are told at once
      if (!isMachinery) await momentToRecover(upstream, clock, budgets.circuitMs)
      const answer = await this.#places.run(upstream.registry, (signal) =>
        upstream.getManifest(reference.repository, reference.digest ?? reference.tag, signal),
      )
      const digest = verifiedDigest(reference, answer)
      const manifest = parse(reference, answer)
      return { entry: this.#keep(reference, digest, manifest, answer, began), bytes: answer.bytes }
    } catch (error) {
      negative.note(formatReference(reference), error, isMachinery)
      throw this.#withPlatform(reference, error)
    }
  }

  /** Who pulls an index cannot tell from a digest which platform it is that is not to be had now. */
  #withPlatform(reference: Reference, error: unknown): unknown {
    const missing = error instanceof UpstreamError ? this.#missingPlatform(reference) : undefined
    if (!(error instanceof UpstreamError) || missing === undefined) return error
    const { kind, message, retryAfterMs, challenges } = error
    return new UpstreamError(kind, `${missing}; ${message}`, {
      challenges,
      cause: error,
      ...(retryAfterMs !== undefined && { retryAfterMs }),
    })
  }

  #keep(reference: Reference, digest: Digest, manifest: Manifest, answer: UpstreamManifest, began: number): ManifestEntry {
    const { catalog, publisher, negative, inUse, clock } = this.#deps
    inUse.touch(digest)
    const now = clock.now()
    const name = formatReference(reference)
    negative.forget(name)
    const { registry, repository } = reference
    const record: ManifestRecord = {
      digest,
      mediaType: manifest.mediaType,
      bytes: answer.bytes,
      imageUrl: name,
      registry,
      repository,
      createdMs: now,
      pulledMs: now,
    }
    const isNew = catalog.manifest(digest) === undefined
    const entry = catalog.addManifest(record, manifest)
    if (isNew) publisher.saveRecord(record)
    this.#name(name, digest, began)
    return entry
  }

  /** The upstream has said so just now. */
  #name(reference: string, digest: Digest, began: number): void {
    const { catalog, publisher, clock } = this.#deps
    const now = clock.now()
    this.#failed.delete(reference)
    if (catalog.setRef({ reference, digest, createdMs: now, pulledMs: now, checkedMs: now }, began)) publisher.saveRef(reference)
  }
}

function confirmed({ entry, bytes }: Confirmed, cached: ManifestEntry): ManifestAnswer {
  return { entry, bytes, status: entry === cached ? HIT : MISS }
}

function silence(reference: Reference): string {
  return `${reference.registry} did not answer for ${formatReference(reference)}`
}

/** By digest: the asked one, which the bytes must have. By tag: the bytes' own, in the algorithm that the upstream names it by. */
function verifiedDigest(reference: Reference, answer: UpstreamManifest): Digest {
  const named = reference.digest ?? answer.digest
  const found = digestOf(answer.bytes, named === undefined ? 'sha256' : digestAlgorithm(named))
  if (named === undefined || found === named) return found
  throw new UpstreamError(
    'corrupt',
    `${reference.registry} sent a wrong manifest for ${formatReference(reference)}: it hashes to ${found}, not to ${named}`,
  )
}

function parse(reference: Reference, answer: UpstreamManifest): Manifest {
  try {
    return parseManifest(answer.bytes, answer.contentType)
  } catch (error) {
    if (!(error instanceof ManifestError)) throw error
    throw new UpstreamError(
      error.schema1 ? 'notFound' : 'corrupt', // schema 1 is as good as nothing
      `${reference.registry} sent no usable manifest for ${formatReference(reference)}: ${error.message}`,
      { cause: error },
    )
  }
}
