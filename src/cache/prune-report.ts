/** What a prune came to, or would: for commands, the admin API and the log. */
import type { Digest } from '../oci/digest.ts'
import type { RefEntry } from './catalog.ts'
import type { PrunePlan, PruneRules, Stay } from './retention.ts'

/** Times in ms since 1970. */
export type PrunedReference = {
  readonly reference: string
  readonly digest: Digest
  readonly createdMs: number
  readonly pulledMs: number
  /** What still needs its manifest, which stays for that. */
  readonly neededBy?: string
}

export type PrunedManifest = {
  readonly digest: Digest
  readonly kind: 'index' | 'image' | 'artifact'
  /** The references that went with it. */
  readonly references: readonly string[]
  /** Nothing needed it before. */
  readonly orphan: boolean
}

export type PrunedBlob = { readonly digest: Digest; readonly sizeBytes: number; readonly orphan: boolean }

export type PruneReport = {
  readonly dryRun: boolean
  readonly references: readonly PrunedReference[]
  readonly manifests: readonly PrunedManifest[]
  readonly blobs: readonly PrunedBlob[]
  /** References that the rules picked, and stay all the same. */
  readonly stays: readonly Stay[]
  /** Why no orphan goes, where nobody can tell what is one. */
  readonly unsure?: string | undefined
  /** What came free of the disk, and about what the store takes now. */
  readonly freedBytes: number
  readonly keptBytes: number
  /** What could not be removed, and why. */
  readonly failures: readonly { readonly what: string; readonly why: string }[]
}

/** A prune that must not be, for a reason that somebody can mend: what is said is for whoever asked for it. */
export class PruneRefused extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'PruneRefused'
  }
}

/** What removes images from a store. */
export interface Prunes {
  /** What would go. @throws PruneRefused */
  look(rules: PruneRules): Promise<PruneReport>
  /** @throws PruneRefused */
  prune(rules: PruneRules): Promise<PruneReport>
  /** The last one that ended, whoever asked for it. */
  readonly last: PruneSummary | undefined
}

export type PruneSummary = {
  /** In ms since 1970. */
  readonly endedMs: number
  readonly references: number
  readonly manifests: number
  readonly blobs: number
  readonly freedBytes: number
  readonly keptBytes: number
}

export function reportOf(plan: PrunePlan, dryRun: boolean, failures: PruneReport['failures'] = []): PruneReport {
  const referencesOf = new Map<Digest, string[]>()
  for (const { digest, reference } of plan.references) {
    const known = referencesOf.get(digest)
    if (known === undefined) referencesOf.set(digest, [reference])
    else known.push(reference)
  }
  return {
    dryRun,
    references: plan.references.map((ref) => prunedReference(ref, plan.neededBy.get(ref))),
    manifests: plan.manifests.map(({ entry: { digest, kind }, isOrphan }) => ({
      digest,
      kind,
      references: referencesOf.get(digest) ?? [],
      orphan: isOrphan,
    })),
    blobs: plan.blobs.map(({ digest, sizeBytes, isOrphan }) => ({ digest, sizeBytes, orphan: isOrphan })),
    stays: plan.stays,
    unsure: plan.unsure,
    freedBytes: plan.freedBytes,
    keptBytes: plan.keptBytes,
    failures,
  }
}

function prunedReference({ reference, digest, createdMs, pulledMs }: RefEntry, neededBy: string | undefined): PrunedReference {
  return { reference, digest, createdMs, pulledMs, ...(neededBy === undefined ? {} : { neededBy }) }
}
