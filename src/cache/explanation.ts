/** What a client that asked for a manifest would get, and why. Pure: `explain.ts` brings the facts. */
import type { Revalidate } from '../config/config.ts'
import type { Digest } from '../oci/digest.ts'
import type { ManifestKind } from '../oci/media-type.ts'
import type { Registry } from '../oci/name.ts'
import type { UpstreamHealth } from '../upstream/upstream.ts'

export type BlobFacts = {
  readonly digest: Digest
  readonly sizeBytes: number
  /** `foreign`: clients get it elsewhere. */
  readonly state: 'memory' | 'stored' | 'downloading' | 'missing' | 'foreign'
}

/** One manifest of an index. */
export type PlatformFacts = {
  /** As `linux/arm64`; empty where the index does not say. */
  readonly platform: string
  readonly digest: Digest
  readonly state: 'complete' | 'incomplete' | 'absent'
}

/** What is cached of a manifest. */
export type CachedFacts = {
  readonly digest: Digest
  readonly kind: ManifestKind
  readonly mediaType: string
  readonly sizeBytes: number
  /** As `docker.io/library/alpine`. */
  readonly suppliedBy: string
  /** Where its bytes are. */
  readonly bytesIn: 'memory' | 'store' | 'nowhere'
  /** ms since 1970; undefined where it is cached, but not under this reference. */
  readonly times: { readonly createdMs: number; readonly pulledMs: number; readonly checkedMs: number } | undefined
  /** Of an image. */
  readonly blobs: readonly BlobFacts[]
  /** Of an index. */
  readonly platforms: readonly PlatformFacts[]
}

export type ExplainFacts = {
  readonly reference: string
  readonly registry: Registry
  readonly airGapped: boolean
  /** Whether the registry has to consent to each answer (`privateRegistries`). */
  readonly needsConsent: boolean
  /** Undefined where nothing is cached. */
  readonly cached: CachedFacts | undefined
  /** It is cached, but only private registries have supplied it: for this registry's clients it is not. */
  readonly isHidden: boolean
  /** When the tag is checked upstream; undefined for a digest, which cannot change. */
  readonly policy: Revalidate | undefined
  /** Whether it would be checked now. */
  readonly isDue: boolean
  /** Text: why the configuration lets nobody ask it. */
  readonly upstream: UpstreamHealth | { readonly closed: string }
  /** The registry said a moment ago that it does not have it. */
  readonly isKnownAbsent: boolean
}

export type Explanation = ExplainFacts & {
  /** `asks`: the registry has a say in it. */
  readonly answer: 'served' | 'asks' | 'refused'
  readonly from: 'memory' | 'store' | 'upstream' | 'nowhere'
  /** Sentences for people. */
  readonly why: readonly string[]
  /** Whether all that belongs to it is here; undefined where nothing is cached. */
  readonly isComplete: boolean | undefined
}

type Verdict = Pick<Explanation, 'answer' | 'from' | 'why'>

export function explain(facts: ExplainFacts): Explanation {
  const { cached } = facts
  const isHere = cached !== undefined && cached.bytesIn !== 'nowhere' && !facts.isHidden
  const verdict = facts.needsConsent ? consent(facts, isHere) : isHere ? hit(facts, cached) : miss(facts)
  const isComplete = cached === undefined ? undefined : isHere && lacks(cached).length === 0
  return { ...facts, ...verdict, isComplete, why: [...verdict.why, ...(isHere ? lacks(cached) : [])] }
}

function consent(facts: ExplainFacts, isHere: boolean): Verdict {
  const { registry, airGapped, cached } = facts
  const what = `${registry} is private: it has to consent each time that a manifest is asked for`
  if (airGapped) return refused(what, 'the server is air-gapped, and cannot ask it')
  const trouble = troubleOf(facts)
  if (trouble !== undefined) return refused(what, trouble)
  return { answer: 'asks', from: isHere ? whereOf(cached) : 'upstream', why: [what] }
}

function hit(facts: ExplainFacts, cached: CachedFacts): Verdict {
  const from = whereOf(cached)
  if (facts.policy === undefined) return { answer: 'served', from, why: ['it is asked for by digest: what that names cannot change'] }
  if (facts.airGapped) return { answer: 'served', from, why: ['the server is air-gapped: nobody is asked whether the tag has moved'] }
  if (!facts.isDue) return { answer: 'served', from, why: ['it is cached, and not due to be checked'] }
  const trouble = troubleOf(facts)
  if (trouble !== undefined)
    return { answer: 'served', from, why: [`it is due to be checked, but ${trouble}: it is served as it is, marked stale`] }
  const why = `it is due to be checked: ${facts.registry} is asked whether the tag has moved; if it does not say within 3 s, what is cached is served`
  return { answer: 'asks', from, why: [why] }
}

function miss(facts: ExplainFacts): Verdict {
  const { cached, isHidden, registry, airGapped, isKnownAbsent } = facts
  const what = isHidden
    ? 'it is cached, but only a private registry has supplied it: for other registries it is as good as not cached'
    : cached === undefined
      ? 'it is not cached'
      : 'it was cached, but its file is gone from the store'
  if (airGapped) return refused(what, 'the server is air-gapped: 404')
  if (isKnownAbsent) return refused(what, `${registry} said a moment ago that it does not have it: 404 until that is forgotten`)
  const trouble = troubleOf(facts)
  if (trouble !== undefined) return refused(what, trouble)
  return { answer: 'asks', from: 'upstream', why: [what, `${registry} is asked for it`] }
}

/** Why the registry would not be asked now. */
function troubleOf({ upstream, registry }: ExplainFacts): string | undefined {
  if ('closed' in upstream) return upstream.closed
  const { state, retryInMs = 0 } = upstream
  if (state === 'down') return `${registry} is down, and not asked for another ${Math.ceil(retryInMs / 1000)} s`
  return retryInMs > 0 ? `${registry} asked for a pause of another ${Math.ceil(retryInMs / 1000)} s` : undefined
}

/** What belongs to it and is not here, in sentences. */
function lacks({ blobs, platforms }: CachedFacts): string[] {
  const missing = blobs.filter(({ state }) => state === 'missing').length
  const coming = blobs.filter(({ state }) => state === 'downloading').length
  const absent = platforms.filter(({ state }) => state === 'absent').length
  const incomplete = platforms.filter(({ state }) => state === 'incomplete').length
  return [
    ...(missing > 0 ? [`${missing} of its ${blobs.length} blobs are not stored`] : []),
    ...(coming > 0 ? [`${coming} of its ${blobs.length} blobs are being downloaded`] : []),
    ...(absent > 0 ? [`${absent} of its ${platforms.length} manifests are not cached`] : []),
    ...(incomplete > 0 ? [`${incomplete} of its ${platforms.length} manifests lack blobs`] : []),
  ]
}

function whereOf(cached: CachedFacts | undefined): 'memory' | 'store' {
  return cached?.bytesIn === 'memory' ? 'memory' : 'store'
}

function refused(...why: readonly string[]): Verdict {
  return { answer: 'refused', from: 'nowhere', why }
}
