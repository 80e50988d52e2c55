/** What a prune reports that found nothing to remove. */
import type { PruneReport } from '../../src/cache/prune-report.ts'

export const NOTHING_PRUNED: Omit<PruneReport, 'dryRun'> = {
  references: [],
  manifests: [],
  blobs: [],
  stays: [],
  freedBytes: 0,
  keptBytes: 0,
  failures: [],
}
