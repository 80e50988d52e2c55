/** What the parts of the server tell whoever counts. Where metrics are off nobody is told, and nothing is spent on it. */

export type AnsweredRequest = {
  /** `manifest`, `blob`, `tags`, `referrers`, `ping`, or what else it was for: few, and none that a client makes up. */
  readonly route: string
  readonly method: string | undefined
  readonly status: number
  readonly cache: CacheResult
  /** That it names, in canonical spelling. */
  readonly registry: string | undefined
  /** Of the answer's body. */
  readonly bytes: number
  /** Until the answer's first byte; undefined where there was none. */
  readonly firstMs: number | undefined
  readonly totalMs: number
}

/** `joined`: it waited for what another request had begun to fetch. `none`: no content stands behind the answer. */
export type CacheResult = 'hit' | 'stale' | 'miss' | 'joined' | 'none'

/** `joined`: somebody else wanted the same blob. `resumed`: it goes on from what an earlier one left. */
export type FillEvent = 'started' | 'joined' | 'resumed' | 'stored'

/** Bodies that registries send: manifests of any kind; lists are pages of tags and referrers. */
export const RECEIVED_KINDS = ['blob', 'manifest', 'list'] as const
export type ReceivedKind = (typeof RECEIVED_KINDS)[number]

export type Removal = { readonly references: number; readonly manifests: number; readonly blobs: number; readonly freedBytes: number }

export interface Metrics {
  /** Once for each request, when its answer has left or was cut short. */
  answered(request: AnsweredRequest): void
  fill(event: FillEvent): void
  /** @param cause one word of few */
  fillFailed(cause: string): void
  /** Bytes of content that came from upstreams, of bodies that break off as well. */
  received(kind: ReceivedKind, bytes: number): void
  /** Images were removed, for whatever reason. */
  removed(what: Removal): void
  /** Room had to be made in the store. */
  evicted(): void
}
