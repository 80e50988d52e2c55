/**
 * The scrub: reads all that is stored, now and again, in the background and at a bounded rate, has mended what is wrong, and fetched what was there
 * once. One file at a time, one chunk at a time, with pauses between them. A restart goes on where it was.
 */
import { OVER } from '../async/over.ts'
import type { ScrubConfig } from '../config/config.ts'
import type { Clock } from '../observe/clock.ts'
import type { Log } from '../observe/log.ts'
import type { Digest } from '../oci/digest.ts'
import type { ScrubNote } from '../store/scrub-note.ts'
import type { Space } from '../store/space.ts'
import type { Store } from '../store/store.ts'
import { filesOf, type StoreFile, type StoreFiles } from '../store/store-files.ts'
import type { StoreNote } from '../store/store-note.ts'
import type { Catalog, ManifestEntry } from './catalog.ts'
import type { Fills } from './fills.ts'
import { Inspector } from './inspector.ts'
import { lostBlobs } from './judge.ts'
import type { Mender } from './mender.ts'
import { Pace } from './pace.ts'
import { sourcesOf } from './uses.ts'

export type ScrubDeps = {
  readonly settings: ScrubConfig
  readonly files: StoreFiles
  readonly notes: StoreNote<ScrubNote>
  readonly store: Store
  readonly catalog: Catalog
  readonly fills: Fills
  readonly mender: Mender
  readonly space: Pick<Space, 'trouble'>
  /** Whether images that somebody pulled are to be complete. */
  readonly completes: boolean
  readonly clock: Clock
  readonly log: Log
}

/** How often it is seen whether there is something to be done, for the first time so long after the start. */
const LOOK_MS = 10 * 60_000
/** How often the note is written: what a crash has it read again. */
const NOTE_MS = 60_000
/** What looking for a blob costs, in bytes of reading. */
const LOOK_BYTES = 1024

type Pass = { files: number; bytes: number; wrong: number }

export class Scrub {
  readonly #deps: ScrubDeps
  readonly #pace: Pace
  readonly #stopping = new AbortController()
  /** Images that were seen with all their blobs. */
  readonly #whole = new WeakSet<ManifestEntry>()
  #note: ScrubNote | undefined
  #loop = Promise.resolve()

  constructor(deps: ScrubDeps) {
    this.#deps = deps
    this.#pace = new Pace(deps.clock, deps.settings.bytesPerSecond)
  }

  /** The catalog is complete by then. */
  start(): void {
    this.#loop = this.#lookNowAndThen()
  }

  async stop(): Promise<void> {
    this.#stopping.abort(OVER)
    await this.#loop
  }

  async #lookNowAndThen(): Promise<void> {
    const { clock, log } = this.#deps
    const { signal } = this.#stopping
    while (await clock.sleep(LOOK_MS, signal)) {
      await this.#look().catch((error: unknown) => {
        if (!signal.aborted) log.error('the scrub was interrupted; it goes on later', { error })
      })
    }
  }

  async #look(): Promise<void> {
    const { mender, notes, settings, clock } = this.#deps
    if (this.#mustNotWrite) return
    await mender.fetchManifests()
    if (this.#note === undefined) {
      await notes.removeLeftovers()
      this.#note = await notes.read()
    }
    if (isScrubDue(this.#note, settings.everyMs, clock.now())) await this.#pass(this.#note?.at === undefined ? undefined : this.#note)
  }

  /** The store is another's, or cannot be written. */
  get #mustNotWrite(): boolean {
    const kind = this.#deps.space.trouble?.kind
    return kind === 'held' || kind === 'readOnly'
  }

  /** @param from where an earlier one stopped */
  async #pass(from: ScrubNote | undefined): Promise<void> {
    const { files, clock, log } = this.#deps
    const beganMs = from?.beganMs ?? clock.now()
    const inspector = new Inspector(files, this.#pace)
    const pass: Pass = { files: 0, bytes: 0, wrong: 0 }
    let notedMs = clock.monotonic()
    this.#note = { beganMs, at: from?.at ?? '' }
    try {
      for await (const file of files.list(from?.at)) {
        if (this.#mustNotWrite) return
        await this.#check(file, inspector, pass)
        this.#note = { beganMs, at: file.path }
        if (clock.monotonic() - notedMs < NOTE_MS) continue
        await this.#write(this.#note)
        notedMs = clock.monotonic()
      }
      await this.#fetchLostBlobs()
      this.#note = { beganMs, at: undefined }
      log.info('scrub finished', pass)
    } finally {
      await this.#write(this.#note)
    }
  }

  async #check(file: StoreFile, inspector: Inspector, pass: Pass): Promise<void> {
    const inspected = await inspector.inspect(file, this.#stopping.signal)
    if (inspected.verdict === 'gone') return
    pass.files++
    pass.bytes += inspected.sizeBytes
    if (inspected.verdict === 'wrong') {
      pass.wrong++
      await this.#mend(file, inspected.identity, inspected.why)
    } else if ('blob' in inspected && !inspected.verified) await this.#deps.store.markVerified(file.digest, inspected.identity)
  }

  /** One that cannot be moved must not keep the others from being looked at. */
  async #mend(file: StoreFile, identity: string, why: string): Promise<void> {
    const { mender, log } = this.#deps
    await mender
      .mend(file, identity, why)
      .catch((error: unknown) => log.error('cannot mend a damaged file', { file: file.path, why, error }))
  }

  async #fetchLostBlobs(): Promise<void> {
    const { files, catalog } = this.#deps
    const quarantined = new Set((await files.quarantined()).filter(({ kind }) => kind === 'blob').map(({ digest }) => digest))
    for (const entry of [...catalog.manifests()])
      if (entry.kind === 'image' && !entry.attestation) await this.#fetchLost(entry, quarantined)
  }

  async #fetchLost(entry: ManifestEntry, quarantined: ReadonlySet<Digest>): Promise<void> {
    const { catalog, mender, completes } = this.#deps
    const needed = entry.blobs.filter(({ foreign }) => !foreign)
    const stored = new Set<Digest>()
    for (const { digest } of needed) if (await this.#isThere(digest)) stored.add(digest)
    const lost = lostBlobs(needed, {
      isStored: (digest) => stored.has(digest),
      isQuarantined: (digest) => quarantined.has(digest),
      wasWhole: this.#whole.has(entry),
      completes,
    })
    if (stored.size === needed.length) this.#whole.add(entry)
    for (const { digest } of lost) mender.fetchBlob(digest, sourcesOf(catalog, entry.digest))
  }

  /** Stored, or on its way there. */
  async #isThere(digest: Digest): Promise<boolean> {
    const { fills, files } = this.#deps
    if (fills.of(digest) !== undefined) return true
    await this.#pace.spend(LOOK_BYTES, this.#stopping.signal)
    for (const file of filesOf('blob', digest)) if ((await files.identity(file)) !== undefined) return true
    return false
  }

  /** What cannot be noted is read again after a restart. */
  async #write(note: ScrubNote): Promise<void> {
    if (this.#mustNotWrite) return
    await this.#deps.notes.write(note).catch((error: unknown) => this.#deps.log.warn('cannot note how far the scrub has come', { error }))
  }
}

/** Whether a pass is to begin, or to go on. One that began in the future was noted by a clock that was wrong. */
export function isScrubDue(note: ScrubNote | undefined, everyMs: number, nowMs: number): boolean {
  if (note === undefined || note.at !== undefined) return true
  return nowMs - note.beganMs >= everyMs || note.beganMs > nowMs
}
