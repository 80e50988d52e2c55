/** The contract of an upstream: what the cache asks one registry for. Every method rejects with `UpstreamError`, or with the signal's reason. */
import type { Readable } from 'node:stream'
import type { Digest } from '../oci/digest.ts'
import type { Registry, Repository, Tag } from '../oci/name.ts'

export type UpstreamManifest = {
  /** At most `MAX_MANIFEST_BYTES`; not yet verified. */
  readonly bytes: Buffer
  readonly contentType: string | undefined
  /** `Docker-Content-Digest` where it is a digest. */
  readonly digest: Digest | undefined
}

export type UpstreamBlob = {
  /** Of the whole blob; undefined where the upstream does not say. */
  readonly sizeBytes: number | undefined
  /** Where in the blob `body` begins: the offset that was asked for, or 0 if the upstream ignored it. */
  readonly start: number
  /** Must be read to its end or destroyed. Its errors are `UpstreamError`s. */
  readonly body: Readable
}

/** Whose wish a request is: while an upstream is in trouble, work in the background stops first and clients' requests last. */
export type Urgency = 'client' | 'background'

/** A request that a registry, or its token realm, would not grant (401, 403). */
export type Refusal = {
  /** Wall-clock time in ms. */
  readonly at: number
  readonly why: string
}

/** How a registry was doing when it was last asked. */
export type UpstreamHealth = {
  /** `troubled`: it failed just now, or asked for a pause; `down`: its circuit is open, and it is not asked. */
  readonly state: 'well' | 'troubled' | 'down'
  /** Wall-clock time in ms at which the trouble began; undefined while it is well. */
  readonly since?: number
  /** Until it may be asked again, where it must not be now. */
  readonly retryInMs?: number
  /** What it failed with last. */
  readonly why?: string
  /** The last refusal, if no request was granted since. It is no trouble: asking less often mends nothing. */
  readonly refused?: Refusal
}

/** A signal ends the wait that a promise stands for. The body of a blob is its reader's to destroy from then on. */
export interface Upstream {
  readonly registry: Registry
  getManifest(repository: Repository, target: Tag | Digest, signal?: AbortSignal): Promise<UpstreamManifest>
  /** The digest behind a tag by HEAD, which rate limits do not count; undefined where the answer names none. */
  headManifest(repository: Repository, target: Tag | Digest, signal?: AbortSignal): Promise<Digest | undefined>
  /** @param offset of the first byte wanted, through a `Range` request if it is not 0; at the very end of the blob the body is empty */
  openBlob(repository: Repository, digest: Digest, offset: number, signal?: AbortSignal): Promise<UpstreamBlob>
  /** The size of a blob, by `GET` with `Range: bytes=0-0` (some registries refuse HEAD). */
  blobSize(repository: Repository, digest: Digest, signal?: AbortSignal): Promise<number>
  /** All tags, every page, in the upstream's order. */
  listTags(repository: Repository, signal?: AbortSignal): Promise<string[]>
  /** The descriptors (parsed JSON, as the upstream sent them) that refer to `digest`, every page; undefined where the registry has no referrers API (404). */
  listReferrers(repository: Repository, digest: Digest, signal?: AbortSignal): Promise<unknown[] | undefined>
  /**
   * Whether a request would go out. In the background: only while the registry is well; for clients: unless its circuit is open or it asked for a pause.
   * A request that is made all the same rejects at once, with 'circuitOpen' or 'limited' and how long that will last; so does one whose token realm is down.
   * To be told no counts as a wish to reach the registry: it is probed then.
   */
  mayBeAsked(urgency: Urgency): boolean
  /**
   * Resolves as soon as `mayBeAsked`, at once where it is so already; where a token realm is in trouble, not before that is over.
   * @throws the signal's reason; UpstreamError 'unreachable' when the upstream is closed
   */
  untilMayBeAsked(urgency: Urgency, signal?: AbortSignal): Promise<void>
  health(): UpstreamHealth
}

/** Where the cache gets its upstreams from. */
export interface UpstreamDirectory {
  /** @throws OciError 404 NAME_UNKNOWN for a registry that the configuration closes */
  of(registry: Registry): Upstream
  /** Those that exist by now, each once. */
  all(): Iterable<Upstream>
}
