/**
 * Removes what may go. What that is, `retention.ts` decides; here it happens, so that neither a client nor a crash ever meets half of it:
 *
 *   1. the plan is made and the catalog forgets what goes, in one turn: from then on clients are told of it no more
 *   2. records that stay, but name a reference that goes, name another one: after a restart a record's own name would bring the reference back
 *   3. the files of references go, then those of records; but first those of records that name a reference which has moved on: without its file a crash
 *      would bring the tag back as what it was before. That is made durable
 *   4. blobs go, each only if nothing needs or uses it at that moment
 *
 * What a crash leaves behind is an orphan, and goes with the next prune.
 */
import { Limiter } from '../async/limiter.ts'
import type { Clock } from '../observe/clock.ts'
import type { Log } from '../observe/log.ts'
import type { Metrics } from '../observe/metrics.ts'
import type { Digest } from '../oci/digest.ts'
import type { Space } from '../store/space.ts'
import type { Store } from '../store/store.ts'
import type { Catalog } from './catalog.ts'
import { PruneRefused, type PruneReport, type PruneSummary, type Prunes, reportOf } from './prune-report.ts'
import type { Publisher } from './publisher.ts'
import { freedBytesOf, type Guards, type PrunePlan, type PruneRules, planPrune, refusalFor, type StoreContent } from './retention.ts'
import { whyUnsure } from './survey.ts'

export type PrunerDeps = {
  readonly catalog: Catalog
  /** Resolves when the catalog is complete: nothing goes before. */
  readonly catalogReady: Promise<void>
  readonly store: Pick<Store, 'deleteBlob' | 'syncDeletions' | 'leftOut'>
  /** What lies in the store, needed or not. */
  readonly blobs: (rules: PruneRules) => Promise<StoreContent['blobs']>
  readonly space: Pick<Space, 'trouble'>
  readonly publisher: Pick<Publisher, 'letGo' | 'removeRef' | 'removeRecord' | 'renameRecord'>
  /** What must not go now; undefined where nobody is served. */
  readonly guards: () => Guards | undefined
  /** Whether a reference stays whatever the rules say. */
  readonly isPinned: (reference: string) => boolean
  /** A blob is removed from the store: whoever has it in memory is to forget it. */
  readonly onBlobGone: (digest: Digest) => void
  readonly clock: Pick<Clock, 'now'>
  readonly log: Log
  readonly metrics?: Pick<Metrics, 'removed'> | undefined
}

/** More would keep reads from the disk. */
const WORKS_AT_ONCE = 4

type Failure = PruneReport['failures'][number]

/** What was removed of a plan: references as they are written, and digests. */
type Gone = Readonly<Record<'references' | 'manifests' | 'blobs', Set<string>>>

export class Pruner implements Prunes {
  readonly #deps: PrunerDeps
  readonly #oneAtATime = new Limiter(1)
  readonly #works = new Limiter(WORKS_AT_ONCE)
  readonly #stopping = new AbortController()
  #last: PruneSummary | undefined

  constructor(deps: PrunerDeps) {
    this.#deps = deps
  }

  get last(): PruneSummary | undefined {
    return this.#last
  }

  /** What would go. @throws PruneRefused */
  async look(rules: PruneRules): Promise<PruneReport> {
    return reportOf(await this.#plan(rules), true)
  }

  /** @throws PruneRefused, or the system's error where the store cannot be read; what cannot be removed is in the report */
  prune(rules: PruneRules): Promise<PruneReport> {
    return this.#oneAtATime.run(async () => {
      this.#stopping.signal.throwIfAborted()
      this.#refuseClosedStore()
      const plan = await this.#plan(rules)
      this.#letGo(plan)
      const failures: Failure[] = []
      const gone = await this.#remove(plan, failures)
      const done = planOf(plan, gone)
      this.#last = summaryOf(done, this.#deps.clock.now())
      this.#deps.metrics?.removed(this.#last)
      return reportOf(done, false, failures)
    })
  }

  /** Resolves when nothing is removed any more. What was let go of and is still there goes with the next prune. */
  async stop(): Promise<void> {
    this.#stopping.abort(new PruneRefused('the server is stopping'))
    await this.#oneAtATime.run(async () => {})
  }

  async #plan(rules: PruneRules): Promise<PrunePlan> {
    const { catalog, catalogReady, store, isPinned, guards, clock } = this.#deps
    await catalogReady
    this.#refuseClockBehind(rules)
    const blobs = await this.#deps.blobs(rules)
    const keep = (reference: string) => isPinned(reference) || rules.keep?.(reference) === true
    return planPrune({ catalog, blobs, unsure: whyUnsure(store, catalog) }, { ...rules, keep }, clock.now(), guards())
  }

  /** What another process holds is that one's to prune. */
  #refuseClosedStore(): void {
    const { trouble } = this.#deps.space
    if (trouble?.kind === 'held' || trouble?.kind === 'readOnly') throw new PruneRefused(`nothing can be removed: ${trouble.why}`)
  }

  #refuseClockBehind(rules: PruneRules): void {
    const { catalog, clock } = this.#deps
    const refusal = refusalFor({ catalog }, rules, clock.now())
    if (refusal !== undefined) throw new PruneRefused(refusal)
  }

  #letGo({ references, manifests }: PrunePlan): void {
    this.#deps.publisher.letGo(
      references.map(({ reference }) => reference),
      manifests.map(({ entry }) => entry.digest),
    )
  }

  async #remove({ references, manifests, blobs }: PrunePlan, failures: Failure[]): Promise<Gone> {
    const { publisher, store } = this.#deps
    const gone: Gone = { references: new Set(), manifests: new Set(), blobs: new Set() }
    const removeRecord = async (digest: Digest) => {
      await publisher.removeRecord(digest)
      gone.manifests.add(digest)
    }
    const held = await this.#renameRecords(new Set(references.map(({ reference }) => reference)), failures)
    const [stale, rest] = staleFirst(manifests, references)
    await this.#each(stale, failures, removeRecord)
    const removable = references.map(({ reference }) => reference).filter((reference) => !held.has(reference))
    await this.#each(removable, failures, async (reference) => {
      if (!(await publisher.removeRef(reference))) throw new Error('its file cannot be removed')
      gone.references.add(reference)
    })
    await this.#each(rest, failures, removeRecord)
    await store.syncDeletions()
    const going = blobs.map(({ digest }) => digest)
    await this.#each(going, failures, async (digest) => {
      if (await this.#removeBlob(digest)) gone.blobs.add(digest)
    })
    return gone
  }

  /** @returns the references whose files have to stay: a record that could not be written again still names them */
  async #renameRecords(going: ReadonlySet<string>, failures: Failure[]): Promise<ReadonlySet<string>> {
    const { catalog, publisher } = this.#deps
    const held = new Set<string>()
    const named = [...catalog.manifests()].filter(({ namedBy }) => going.has(namedBy)).map(({ digest, namedBy }) => ({ digest, namedBy }))
    for (const { digest, namedBy } of named) {
      const before = failures.length
      await this.#each([digest], failures, () => publisher.renameRecord(digest))
      if (failures.length > before) held.add(namedBy)
    }
    return held
  }

  /** Within one turn it is seen that nobody needs it, and the store is told: whoever wants it from then on gets it again. @returns whether it went */
  async #removeBlob(digest: Digest): Promise<boolean> {
    const { catalog, store, guards, onBlobGone } = this.#deps
    const { isInUse, filled } = guards() ?? {}
    if (catalog.needsBlob(digest) || isInUse?.(digest) === true || filled?.has(digest) === true) return false
    onBlobGone(digest)
    await store.deleteBlob(digest)
    return true
  }

  /** Some at once; one that fails keeps the others from nothing. */
  async #each<T extends string>(all: readonly T[], failures: Failure[], work: (each: T) => Promise<void>): Promise<void> {
    const workOn = async (what: T) => {
      if (this.#stopping.signal.aborted) return
      await work(what).catch((error: unknown) => {
        failures.push({ what, why: error instanceof Error ? error.message : String(error) })
        this.#deps.log.error('could not be removed', { what, error })
      })
    }
    await Promise.all(all.map((what) => this.#works.run(() => workOn(what))))
  }
}

/** The plan as far as it came: what could not be removed, and what somebody needs again, stays. */
function planOf(plan: PrunePlan, gone: Gone): PrunePlan {
  const went = {
    references: plan.references.filter(({ reference }) => gone.references.has(reference)),
    manifests: plan.manifests.filter(({ entry }) => gone.manifests.has(entry.digest)),
    blobs: plan.blobs.filter(({ digest }) => gone.blobs.has(digest)),
  }
  const freedBytes = freedBytesOf(went)
  return { ...plan, ...went, freedBytes, keptBytes: plan.keptBytes + plan.freedBytes - freedBytes }
}

/** Digests: of what a tag that goes has moved away from, and of the rest. */
function staleFirst(
  manifests: PrunePlan['manifests'],
  references: PrunePlan['references'],
): readonly [stale: readonly Digest[], rest: readonly Digest[]] {
  const digestOf = new Map(references.map(({ reference, digest }) => [reference, digest]))
  const isStale = ({ entry }: PrunePlan['manifests'][number]) => (digestOf.get(entry.namedBy) ?? entry.digest) !== entry.digest
  const [stale, rest]: [Digest[], Digest[]] = [[], []]
  for (const going of manifests) (isStale(going) ? stale : rest).push(going.entry.digest)
  return [stale, rest]
}

function summaryOf({ references, manifests, blobs, freedBytes, keptBytes }: PrunePlan, endedMs: number): PruneSummary {
  return { endedMs, references: references.length, manifests: manifests.length, blobs: blobs.length, freedBytes, keptBytes }
}
