/** What is wrong with a file of the store, from what was read of it. Text in, decisions out: no file is touched here. */
import { type Digest, digestAlgorithm, digestFileName, digestOf } from '../oci/digest.ts'
import { type Manifest, ManifestError, parseManifest } from '../oci/manifest.ts'
import { decodeRecord, decodeRef, RecordError, referenceFileName } from '../store/record.ts'
import type { ManifestRecord, RefRecord } from '../store/store.ts'

/** `claims`: what a wrong record says of itself, where it can still be read. */
export type Wrong = { readonly verdict: 'wrong'; readonly why: string; readonly claims?: ManifestRecord }
/** `manifest`: undefined where the bytes are right, but nothing that could be served; `unused` says why. */
export type RightRecord = {
  readonly verdict: 'right'
  readonly record: ManifestRecord
  readonly manifest: Manifest | undefined
  readonly unused?: string
}
export type RightReference = { readonly verdict: 'right'; readonly reference: RefRecord }

/** Of a file in `img/`, `fat/` or `lts/`. @param digest the one that its name stands for */
export function judgeRecord(digest: Digest, text: string): RightRecord | Wrong {
  const name = digestFileName(digest)
  return unlessDamaged(() => {
    const record = decodeRecord(name, text, () => 0)
    const found = digestOf(record.bytes, digestAlgorithm(digest))
    if (found !== digest) return { verdict: 'wrong', why: `its bytes hash to ${found}`, claims: record }
    const named = digestNamedIn(text)
    if (named !== undefined && named !== name && named !== digest)
      return { verdict: 'wrong', why: `it says that its digest is ${named.slice(0, 150)}`, claims: record }
    return { verdict: 'right', record, ...manifestOf(record) }
  })
}

/** Of a file in `refs/`. @param digest of the reference's spelling, which its name stands for */
export function judgeReference(digest: Digest, text: string): RightReference | Wrong {
  return unlessDamaged(() => {
    const reference = decodeRef(text, () => 0)
    const name = referenceFileName(reference.reference)
    if (name === digestFileName(digest)) return { verdict: 'right', reference }
    return { verdict: 'wrong', why: `it holds ${reference.reference}, which belongs into ${name}` }
  })
}

function unlessDamaged<T>(judge: () => T | Wrong): T | Wrong {
  try {
    return judge()
  } catch (error) {
    if (!(error instanceof RecordError)) throw error
    return { verdict: 'wrong', why: error.message }
  }
}

function manifestOf(record: ManifestRecord): Pick<RightRecord, 'manifest' | 'unused'> {
  try {
    return { manifest: parseManifest(record.bytes, record.mediaType) }
  } catch (error) {
    if (!(error instanceof ManifestError)) throw error
    return { manifest: undefined, unused: error.message }
  }
}

/** Nobody reads it here, but the program that wrote stores before this one does. */
function digestNamedIn(text: string): string | undefined {
  const json = JSON.parse(text) as { readonly digest?: unknown }
  return typeof json.digest === 'string' && json.digest !== '' ? json.digest : undefined
}

/** An image, and what the store has of its blobs. */
export type Needed = { readonly digest: Digest; readonly sizeBytes: number }
export type Lacking = { readonly missing: readonly Needed[]; readonly ofAnotherSize: readonly Needed[] }

/** What is known of the blobs that an image lacks. */
export type LackingFacts = {
  readonly isStored: (digest: Digest) => boolean
  readonly isQuarantined: (digest: Digest) => boolean
  /** Whether the image was seen whole before. */
  readonly wasWhole: boolean
  /** Whether images that somebody pulls are to be completed. */
  readonly completes: boolean
}

/**
 * Which blobs of an image were there once: what was found damaged, and all that is missing of an image that was whole, or was pulled, which its first
 * blob tells, the configuration. Of images that were only looked at nothing is fetched.
 */
export function lostBlobs(needed: readonly Needed[], { isStored, isQuarantined, wasWhole, completes }: LackingFacts): readonly Needed[] {
  const missing = needed.filter(({ digest }) => !isStored(digest))
  const [first] = needed
  const wasPulled = wasWhole || (completes && first !== undefined && isStored(first.digest))
  return wasPulled ? missing : missing.filter(({ digest }) => isQuarantined(digest))
}

/** What keeps an image from being complete. @param stored the size of a blob, or undefined where there is none */
export function judgeImage(needed: readonly Needed[], stored: (digest: Digest) => number | undefined): Lacking {
  const sizes = needed.map((blob) => [blob, stored(blob.digest)] as const)
  return {
    missing: sizes.flatMap(([blob, size]) => (size === undefined ? [blob] : [])),
    ofAnotherSize: sizes.flatMap(([blob, size]) => (size === undefined || size === blob.sizeBytes ? [] : [blob])),
  }
}
