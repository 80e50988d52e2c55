/**
 * Manifests: from the catalog, else from the store, else from the upstream. Content by digest never changes; a tag is answered from the
 * cache unless it is to be checked, and an upstream's trouble never takes away what is cached.
 */
import { SingleFlight } from '../async/single-flight.ts'
import type { Clock } from '../observe/clock.ts'
import type { Log } from '../observe/log.ts'
import { type Digest, digestAlgorithm, digestOf } from '../oci/digest.ts'
import { OciError } from '../oci/error.ts'
import { type Manifest, ManifestError, parseManifest } from '../oci/manifest.ts'
import { formatReference, type Reference, type TagReference } from '../oci/reference.ts'
import type { ManifestRecord, Store } from '../store/store.ts'
import { UpstreamError } from '../upstream/error.ts'
import type { UpstreamDirectory, UpstreamManifest } from '../upstream/upstream.ts'
import { type CacheStatus, COLLAPSED, type Demand, HIT, MISS, troubleOf } from './answer.ts'
import type { Budgets } from './budgets.ts'
import type { Catalog, ManifestEntry } from './catalog.ts'
import { addRecord } from './catalog-load.ts'
import type { Publisher } from './publisher.ts'
import { within } from './within.ts'

export type ManifestAnswer = { readonly entry: ManifestEntry; readonly status: CacheStatus; readonly bytes: Buffer | undefined }

/** What an upstream's answer came to; with bytes where they came. */
type Confirmed = { readonly entry: ManifestEntry; readonly bytes?: Buffer }
type Fetched = { readonly entry: ManifestEntry; readonly bytes: Buffer }

export type ManifestsDeps = {
  readonly catalog: Catalog
  /** Resolves when the catalog is complete. */
  readonly catalogReady: Promise<void>
  readonly publisher: Publisher
  readonly store: Store
  readonly upstreams: UpstreamDirectory
  readonly airGapped: boolean
  /** Which cached tags are checked upstream before they are served. */
  readonly mustCheck: (reference: TagReference) => boolean
  readonly budgets: Budgets
  readonly clock: Clock
  readonly log: Log
}

export class Manifests {
  readonly #deps: ManifestsDeps
  readonly #fetches = new SingleFlight<Fetched>()
  readonly #checks = new SingleFlight<Confirmed>()
  /** Orders what upstreams answer: 0 is what the store said. */
  #began = 0

  constructor(deps: ManifestsDeps) {
    this.#deps = deps
  }

  /** What `get` would answer, where it is in memory and nobody has to be asked: so that it can be answered in this turn. */
  atHand(reference: Reference, demand: Demand, wantBytes: boolean): ManifestAnswer | undefined {
    const { publisher, log } = this.#deps
    const entry = this.#known(reference)
    if (entry === undefined || this.#toBeChecked(reference, demand, undefined)) return undefined
    const bytes = wantBytes ? publisher.bytesAtHand(entry.digest) : undefined
    if (wantBytes && bytes === undefined) return undefined
    publisher.touch(entry.digest)
    log.info('serving from cache', { reference: formatReference(reference) })
    return { entry, status: HIT, bytes }
  }

  /**
   * @param wantBytes false for HEAD: then a hit reads nothing
   * @param check whether a cached tag is to be confirmed by the upstream; the tag policy decides where it is left out
   * @throws OciError, UpstreamError
   */
  async get(reference: Reference, demand: Demand, wantBytes: boolean, check?: boolean): Promise<ManifestAnswer> {
    const cached = await this.#cached(reference)
    if (cached === undefined) return this.#miss(reference, demand, wantBytes)
    const { publisher, log } = this.#deps
    publisher.touch(cached.digest)
    const answer = this.#toBeChecked(reference, demand, check)
      ? await this.#checked(reference, cached)
      : { entry: cached, status: HIT, bytes: undefined }
    if (answer.status.hit) log.info('serving from cache', { reference: formatReference(reference) })
    if (!wantBytes) return { ...answer, bytes: undefined }
    const bytes = answer.bytes ?? (await publisher.bytesOf(answer.entry.digest))
    return bytes === undefined ? this.#lost(reference, answer.entry, demand) : { ...answer, bytes }
  }

  /** What is cached of a reference, without asking anybody: the catalog, then the store (somebody may have copied files in). */
  async #cached(reference: Reference): Promise<ManifestEntry | undefined> {
    const known = this.#known(reference)
    if (known !== undefined) return known
    await this.#deps.catalogReady
    return this.#known(reference) ?? this.#findInStore(reference)
  }

  #known(reference: Reference): ManifestEntry | undefined {
    const { catalog } = this.#deps
    const digest = reference.digest ?? catalog.ref(formatReference(reference))?.digest
    return digest === undefined ? undefined : catalog.manifest(digest)
  }

  async #findInStore(reference: Reference): Promise<ManifestEntry | undefined> {
    const { catalog, store, log } = this.#deps
    const ref = await store.getRef(formatReference(reference))
    const digest = reference.digest ?? ref?.digest
    const record = digest === undefined ? undefined : await store.getRecord(digest)
    if (record === undefined || !addRecord(catalog, record, log)) return undefined
    if (ref !== undefined && ref.digest === record.digest) catalog.setRef(ref, 0)
    return catalog.manifest(record.digest)
  }

  #toBeChecked(reference: Reference, demand: Demand, check: boolean | undefined): reference is TagReference {
    if (reference.tag === undefined || demand.onlyIfCached || this.#deps.airGapped) return false
    return check ?? this.#deps.mustCheck(reference)
  }

  /** Confirms a cached tag, within a bounded time; trouble of any kind: what is cached, marked stale with the cause. */
  async #checked(reference: TagReference, cached: ManifestEntry): Promise<ManifestAnswer> {
    const { clock, budgets, log } = this.#deps
    const { result } = this.#checks.run(formatReference(reference), () => this.#check(reference, cached))
    try {
      const { entry, bytes } = await within(clock, budgets.checkMs, silence(reference), () => result)
      return { entry, bytes, status: entry === cached ? HIT : MISS }
    } catch (error) {
      const kind = troubleOf(error)
      if (kind === undefined) throw error
      log.warn('upstream could not confirm a tag; serving what is cached', { reference: formatReference(reference), kind, error })
      return { entry: cached, bytes: undefined, status: { hit: true, stale: kind } }
    }
  }

  async #check(reference: TagReference, cached: ManifestEntry): Promise<Confirmed> {
    const { upstreams, catalog, publisher, clock } = this.#deps
    const began = ++this.#began
    const upstream = upstreams.of(reference.registry)
    const digest = await within(clock, this.#deps.budgets.checkMs, silence(reference), (signal) =>
      upstream.headManifest(reference.repository, reference.tag, signal),
    )
    if (digest !== cached.digest) return this.#pull(reference).result
    const ref = catalog.ref(formatReference(reference))
    if (ref !== undefined && catalog.setRef({ ...ref, digest, checkedMs: clock.now() }, began)) publisher.saveRef(ref.reference)
    return { entry: cached }
  }

  async #miss(reference: Reference, demand: Demand, wantBytes: boolean): Promise<ManifestAnswer> {
    const { airGapped, clock, budgets } = this.#deps
    const name = formatReference(reference)
    if (airGapped) throw new OciError(404, 'MANIFEST_UNKNOWN', `${name} is not cached, and the server is air-gapped`)
    if (demand.onlyIfCached) throw new OciError(504, 'MANIFEST_UNKNOWN', `${name} is not cached, and only-if-cached was asked for`)
    const { result, joined } = this.#pull(reference)
    const { entry, bytes } = await within(clock, budgets.firstByteMs, silence(reference), () => result)
    return { entry, bytes: wantBytes ? bytes : undefined, status: joined ? COLLAPSED : MISS }
  }

  /** The store lost the bytes of something the catalog has: from now on it is a miss. */
  async #lost(reference: Reference, entry: ManifestEntry, demand: Demand): Promise<ManifestAnswer> {
    this.#deps.log.warn('a manifest is gone from the store', { reference: formatReference(reference), digest: entry.digest })
    this.#deps.catalog.removeManifest(entry.digest)
    return this.#miss(reference, demand, true)
  }

  #pull(reference: Reference): { readonly result: Promise<Fetched>; readonly joined: boolean } {
    const name = formatReference(reference)
    const pull = this.#fetches.run(name, () => this.#fetch(reference))
    if (!pull.joined) this.#deps.log.info('pulling from upstream', { reference: name })
    return pull
  }

  /** GET upstream, verify, keep. Not tied to the client that caused it. */
  async #fetch(reference: Reference): Promise<Fetched> {
    const { upstreams } = this.#deps
    const began = ++this.#began
    const upstream = upstreams.of(reference.registry)
    const answer = await upstream.getManifest(reference.repository, reference.digest ?? reference.tag)
    const digest = verifiedDigest(reference, answer)
    const manifest = parse(reference, answer)
    return { entry: this.#keep(reference, digest, manifest, answer, began), bytes: answer.bytes }
  }

  #keep(reference: Reference, digest: Digest, manifest: Manifest, answer: UpstreamManifest, began: number): ManifestEntry {
    const { catalog, publisher, clock } = this.#deps
    const now = clock.now()
    const name = formatReference(reference)
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
    if (catalog.setRef({ reference: name, digest, createdMs: now, pulledMs: now, checkedMs: now }, began)) publisher.saveRef(name)
    return entry
  }
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
