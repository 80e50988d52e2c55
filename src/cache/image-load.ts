/**
 * Loads one image, so that it can be pulled without its registry:
 *
 *   1. its manifest; of an index, which keeps its own bytes, the manifests of the wanted platforms
 *   2. every blob that these need, but foreign ones
 *   3. where they are wanted: signatures, SBOMs and attestations of the index and the images
 *   4. the tag beside a digest, if the registry says that it still names it
 *
 * What is there already is not asked for. It resolves when all is durable.
 */
import { abortable } from '../async/abortable.ts'
import { atOnce } from '../async/at-once.ts'
import { type Digest, digestHex, isDigest } from '../oci/digest.ts'
import { OciError } from '../oci/error.ts'
import type { ImageName } from '../oci/image-name.ts'
import { type Descriptor, imageConfigOf, type Platform, parseManifest, platformOfConfig } from '../oci/manifest.ts'
import { isTag, type Tag } from '../oci/name.ts'
import { formatPlatform, NO_PLATFORM, parsePlatform } from '../oci/platform.ts'
import { attestationsOf, chooseManifests, missingPlatforms, offeredPlatforms, type WantedPlatforms } from '../oci/platform-choice.ts'
import { formatReference, type Reference } from '../oci/reference.ts'
import { sizeText } from '../store/size-text.ts'
import { UpstreamError } from '../upstream/error.ts'
import type { Urgency } from '../upstream/upstream.ts'
import type { BlobUse, Catalog, ManifestEntry } from './catalog.ts'
import type { ImageProgress } from './image-progress.ts'
import type { Lists } from './lists.ts'
import type { ManifestAnswer, Manifests } from './manifests.ts'
import { mayPass, type Persistence } from './persistence.ts'
import type { Publisher } from './publisher.ts'
import { recordBytes } from './retention.ts'
import type { Supply } from './supply.ts'

export type LoadOptions = {
  readonly platforms: WantedPlatforms
  readonly referrers: boolean
  /** In the background, clients come first, and what nobody has verified yet is not hashed ahead of them. */
  readonly urgency: Urgency
  /** Nothing is asked of a registry: it is only seen whether all is there. */
  readonly onlyLook: boolean
}

export type ImageLoadDeps = {
  readonly catalog: Catalog
  readonly manifests: Manifests
  readonly lists: Lists
  readonly publisher: Publisher
  readonly supply: Supply
  readonly persistence: Persistence
}

/** What keeps an image from being loaded, and is no trouble of a registry. */
export class LoadError extends Error {}

/** Of one image. */
const BLOBS_AT_ONCE = 4
const MANIFESTS_AT_ONCE = 4
const MOST_NESTED = 4
/** Of a config that is asked for its platform. */
const MOST_CONFIG_BYTES = 4 * 1024 * 1024

/** What cosign puts behind `sha256-<hex>`. */
const COSIGN_ENDINGS = ['sig', 'att', 'sbom']

export class ImageLoad {
  /** For people: what is not as it should be, and does no harm to the image. */
  readonly warnings: string[] = []
  /** Whether anything came from a registry. */
  hasFetched = false
  readonly #name: ImageName
  readonly #options: LoadOptions
  readonly #progress: ImageProgress
  readonly #signal: AbortSignal
  readonly #deps: ImageLoadDeps
  /** What belongs to it, by digest. */
  readonly #manifests = new Map<Digest, ManifestEntry>()
  readonly #offered: Platform[] = []
  readonly #attestations: Descriptor[] = []

  constructor(name: ImageName, options: LoadOptions, progress: ImageProgress, signal: AbortSignal, deps: ImageLoadDeps) {
    this.#name = name
    this.#options = options
    this.#progress = progress
    this.#signal = signal
    this.#deps = deps
  }

  /** To be called once. @returns the digest of the image. @throws UpstreamError, OciError, LoadError, NotStoredError; the signal's reason */
  async run(): Promise<Digest> {
    const { reference, tag } = this.#name
    this.#progress.phase = 'manifests'
    const top = await this.#manifest(reference)
    await this.#addMembers(top, 0)
    if (top.entry.kind === 'index') this.#judgePlatforms()
    this.#progress.phase = 'blobs'
    await this.#blobs([...this.#manifests.values()])
    if (top.entry.kind === 'image') await this.#judgeOwnPlatform(top)
    if (this.#options.referrers) await this.#referrers()
    if (tag !== undefined) await this.#confirmTag(tag, top.entry.digest)
    await this.#durable()
    return top.entry.digest
  }

  async #manifest(reference: Reference): Promise<ManifestAnswer> {
    const demand = { onlyIfCached: this.#options.onlyLook }
    const answer = await this.#ask(formatReference(reference), () => this.#deps.manifests.get(reference, demand, true))
    const { entry, status } = answer
    if (!status.hit) this.hasFetched = true
    else if (status.stale !== undefined)
      this.warnings.push(`${formatReference(reference)} is as cached: the registry could not say whether it has changed (${status.stale})`)
    this.#manifests.set(entry.digest, entry)
    return answer
  }

  #manifestOf(digest: Digest): Promise<ManifestAnswer> {
    const { registry, repository } = this.#name.reference
    return this.#manifest({ registry, repository, digest })
  }

  /** Of an index, what is for the wanted platforms; there may be indexes in it. */
  async #addMembers({ entry, bytes }: ManifestAnswer, depth: number, wanted = this.#options.platforms): Promise<void> {
    if (entry.kind !== 'index' || bytes === undefined) return
    if (depth > MOST_NESTED) throw new LoadError(`its indexes are nested more than ${MOST_NESTED} deep`)
    const { manifests } = parseManifest(bytes, entry.mediaType)
    const chosen = chooseManifests(manifests, wanted)
    this.#offered.push(...offeredPlatforms(manifests))
    this.#attestations.push(...attestationsOf(manifests, new Set(chosen.map(({ digest }) => digest))))
    const unknown = chosen.filter(({ digest }) => !this.#manifests.has(digest))
    await atOnce(MANIFESTS_AT_ONCE, unknown, async ({ digest }) => {
      await this.#addMembers(await this.#manifestOf(digest), depth + 1, wanted)
    })
  }

  /** @throws LoadError where an index has nothing for any wanted platform */
  #judgePlatforms(): void {
    const { platforms } = this.#options
    const missing = missingPlatforms(platforms, this.#offered)
    const names = (of: readonly Platform[]) => [...new Set(of.map(formatPlatform))].join(', ')
    const has = this.#offered.length === 0 ? 'it does not say what it has' : `it has ${names(this.#offered)}`
    const isEmpty = [...this.#manifests.values()].every(({ kind }) => kind === 'index')
    if (isEmpty && missing.length > 0) throw new LoadError(`it has no image for ${names(missing)}; ${has}`)
    if (missing.length > 0 && this.#offered.length > 0) this.warnings.push(`it has no image for ${names(missing)}; ${has}`)
  }

  /** An image that was named is loaded, whatever it is for: only its config tells. */
  async #judgeOwnPlatform({ entry, bytes }: ManifestAnswer): Promise<void> {
    const { platforms } = this.#options
    const config = platforms === 'all' || bytes === undefined ? undefined : imageConfigOf(parseManifest(bytes, entry.mediaType))
    const configBytes = config && (await this.#deps.supply.bytesOf(config.digest, MOST_CONFIG_BYTES))
    const said = configBytes && platformOfConfig(configBytes)
    const platform = said && parsePlatform(formatPlatform(said))
    if (platform === undefined || formatPlatform(platform) === NO_PLATFORM) return
    const missing = missingPlatforms(platforms, [platform]).map(formatPlatform)
    if (missing.length > 0) this.warnings.push(`it is for ${formatPlatform(platform)}, not for ${missing.join(', ')}`)
  }

  /** @throws LoadError for what is missing and may not be asked for */
  async #blobs(entries: readonly ManifestEntry[]): Promise<void> {
    const uses = new Map<Digest, readonly [BlobUse, ManifestEntry]>()
    for (const entry of entries) for (const use of entry.blobs) if (!use.foreign) uses.set(use.digest, [use, entry])
    for (const [{ digest, sizeBytes }] of uses.values()) this.#progress.needs(digest, sizeBytes)
    const missing: BlobUse[] = []
    await atOnce(BLOBS_AT_ONCE, uses.values(), async ([use, entry]) => {
      if (!(await this.#blob(use, entry))) missing.push(use)
    })
    if (missing.length === 0) return
    const bytes = missing.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
    throw new LoadError(`${missing.length} of its ${uses.size} blobs (${sizeText(bytes)}) are not stored`)
  }

  /** @returns whether it is stored in the end */
  async #blob(use: BlobUse, { registry, repository }: ManifestEntry): Promise<boolean> {
    const { supply } = this.#deps
    const { urgency, onlyLook } = this.#options
    const blob = this.#progress.needs(use.digest, use.sizeBytes)
    this.#signal.throwIfAborted()
    if (await supply.has(use, urgency === 'client')) {
      if (blob.is === 'wanted') blob.is = 'there'
      return true
    }
    if (onlyLook) return false
    this.hasFetched = true
    const fetch = () =>
      supply.fetch(use, [this.#name.reference, { registry, repository }], urgency, this.#signal, (fill) => blob.follow(fill))
    await this.#ask(use.digest, fetch, () => blob.writtenBytes)
    blob.is = 'fetched'
    return true
  }

  async #referrers(): Promise<void> {
    this.#progress.phase = 'referrers'
    const subjects = [...this.#manifests.keys()]
    const found: ManifestEntry[] = []
    const add = async (answer: ManifestAnswer) => {
      await this.#addMembers(answer, 0, 'all')
      found.push(answer.entry)
    }
    await atOnce(MANIFESTS_AT_ONCE, this.#attestations, async ({ digest }) => add(await this.#manifestOf(digest)))
    await atOnce(MANIFESTS_AT_ONCE, subjects, async (subject) => {
      for (const digest of await this.#listedReferrers(subject))
        await this.#ifThere(subject, async () => add(await this.#manifestOf(digest)))
      for (const tag of cosignTags(subject)) await this.#ifThere(subject, async () => add(await this.#tagged(tag)))
    })
    await this.#blobs([...this.#manifests.values()])
  }

  #tagged(tag: Tag): Promise<ManifestAnswer> {
    const { registry, repository } = this.#name.reference
    return this.#manifest({ registry, repository, tag })
  }

  /** What the registry lists. To have none is no failure, and neither is a registry that does not say. */
  async #listedReferrers(subject: Digest): Promise<readonly Digest[]> {
    const { registry, repository } = this.#name.reference
    const demand = { onlyIfCached: this.#options.onlyLook }
    const list = async () => {
      const { descriptors, status } = await this.#deps.lists.referrers(registry, repository, subject, demand).catch(asTold)
      if (status.hit && status.stale !== undefined)
        throw new UpstreamError(status.stale, `${registry} did not list the referrers of ${subject}`)
      return descriptors
    }
    const listed: unknown[] = []
    await this.#ifThere(subject, async () => {
      listed.push(...(await this.#ask(`referrers of ${subject}`, list)))
    })
    return listed.flatMap((descriptor) => {
      const { digest } = descriptor as { digest?: unknown }
      return typeof digest === 'string' && isDigest(digest) ? [digest] : []
    })
  }

  /** @throws what may pass, since then nobody knows whether it is there */
  async #ifThere(subject: Digest, look: () => Promise<void>): Promise<void> {
    try {
      await look()
    } catch (error) {
      const isAbsent = error instanceof UpstreamError && error.kind === 'notFound'
      const isRefused = (error instanceof UpstreamError && !mayPass(error)) || (error instanceof OciError && this.#options.onlyLook)
      if (!isAbsent && !isRefused) throw error
      if (!isAbsent && !this.#options.onlyLook) this.warnings.push(`what refers to ${subject} may be missing: ${(error as Error).message}`)
    }
  }

  /** The digest is loaded, whatever the tag names by now. */
  async #confirmTag(tag: Tag, digest: Digest): Promise<void> {
    const { catalog, manifests } = this.#deps
    const { registry, repository } = this.#name.reference
    const tagged = { registry, repository, tag }
    const name = formatReference(tagged)
    if (catalog.ref(name)?.digest === digest) return
    if (this.#options.onlyLook) return void this.warnings.push(`${name} does not name it in the cache: only the digest is to be had`)
    try {
      const named = await this.#ask(name, () => manifests.confirmTag(tagged, digest))
      if (named !== digest) this.warnings.push(`${name} names ${named} at its registry by now: only the digest is loaded`)
      else this.hasFetched = true
    } catch (error) {
      if (!(error instanceof UpstreamError)) throw error
      this.warnings.push(`${name} could not be confirmed, only the digest is loaded: ${error.message}`)
    }
  }

  async #durable(): Promise<void> {
    const { publisher, supply } = this.#deps
    await publisher.written()
    for (const { digest, sizeBytes } of this.#manifests.values())
      if (publisher.isUnwritten(digest))
        throw supply.notStored(`the manifest ${digest}`, recordBytes({ sizeBytes }), 'writing it failed, as the log says')
  }

  /** With patience, and for as long as somebody waits for the image. */
  async #ask<T>(what: string, work: () => Promise<T>, bytes?: () => number): Promise<T> {
    const { registry } = this.#name.reference
    const { phase } = this.#progress
    const attempt = () => {
      this.#progress.phase = phase
      return abortable(work(), this.#signal)
    }
    const onPause = () => {
      this.#progress.phase = 'retrying'
    }
    return this.#deps.persistence.run({ registry, what, work: attempt, onPause, signal: this.#signal, ...(bytes && { bytes }) })
  }
}

/** A list that nobody could be asked for is a 404 to clients; here it matters why. */
function asTold(error: unknown): never {
  throw error instanceof OciError && error.cause instanceof UpstreamError ? error.cause : error
}

/** Of another algorithm there are none. */
function cosignTags(subject: Digest): readonly Tag[] {
  return COSIGN_ENDINGS.map((ending) => `sha256-${digestHex(subject)}.${ending}`).filter(isTag)
}
