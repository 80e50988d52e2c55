/**
 * Mends what was found wrong in the store of a running server: it goes to quarantine, and comes back from memory, where that still has it right,
 * or from the registries that supplied it, in the background.
 */
import type { Config } from '../config/config.ts'
import type { Log } from '../observe/log.ts'
import type { Digest } from '../oci/digest.ts'
import type { Store } from '../store/store.ts'
import { fileOfReference, type StoreFile, type StoreFiles } from '../store/store-files.ts'
import type { Upstream, UpstreamDirectory } from '../upstream/upstream.ts'
import { troubleOf } from './answer.ts'
import type { Catalog } from './catalog.ts'
import type { Fills } from './fills.ts'
import type { Manifests } from './manifests.ts'
import type { Publisher } from './publisher.ts'
import { type Source, sourceName } from './sources.ts'
import { usesOf } from './uses.ts'

export type MenderDeps = {
  readonly catalog: Catalog
  readonly store: Store
  readonly files: StoreFiles
  readonly fills: Fills
  readonly manifests: Manifests
  readonly publisher: Publisher
  readonly upstreams: UpstreamDirectory
  /** Read each time: they may change. */
  readonly settings: Pick<Config, 'airGapped'>
  readonly log: Log
}

export class Mender {
  readonly #deps: MenderDeps
  /** Manifests that could not be fetched again yet, and where they may be had. */
  readonly #lost = new Map<Digest, readonly Source[]>()

  constructor(deps: MenderDeps) {
    this.#deps = deps
  }

  /** @param identity of the file that was found wrong: another one that lies there by now stays. @throws the system's error */
  async mend(file: StoreFile, identity: string, why: string): Promise<void> {
    if (!(await this.#deps.files.quarantine(file, identity, why))) return
    if (file.kind === 'blob') await this.#mendBlob(file.digest)
    else if (file.kind === 'record') await this.#mendRecord(file.digest)
    else this.#mendReference(file)
  }

  /** Queues a blob that is missing behind all that clients want. */
  fetchBlob(digest: Digest, sources: readonly Source[]): void {
    const { fills, log } = this.#deps
    const [first, ...others] = sources.filter((source) => this.#upstreamOf(source) !== undefined)
    if (first === undefined) return
    const { fill, joined } = fills.start(digest, first, 'background')
    for (const source of others) fill.addSource(source)
    if (!joined) log.info('fetching a lost blob again', { digest, source: sourceName(first) })
  }

  /** Tries the manifests again that could not be fetched before, where their registries are well. */
  async fetchManifests(): Promise<void> {
    for (const [digest, sources] of [...this.#lost]) {
      if (this.#deps.catalog.manifest(digest) !== undefined || (await this.#fetchManifest(digest, sources))) this.#lost.delete(digest)
    }
  }

  async #mendBlob(digest: Digest): Promise<void> {
    const { catalog, fills, log } = this.#deps
    if (await fills.restore(digest)) log.info('a damaged blob is written again from memory', { digest })
    else this.fetchBlob(digest, usesOf(catalog, [digest]).get(digest)?.sources ?? [])
  }

  /** The same record may lie in another directory, too, where it is right. */
  async #mendRecord(digest: Digest): Promise<void> {
    const { catalog, store, publisher, log } = this.#deps
    if ((await store.getRecord(digest)) !== undefined) return
    if (publisher.restore(digest)) {
      log.info('a damaged manifest is written again from memory', { digest })
      return
    }
    for (const { reference } of catalog.refsOf(digest)) publisher.saveRef(reference) // an older program's record held the only one
    this.#lost.set(digest, usesOf(catalog, [digest]).get(digest)?.sources ?? [])
    catalog.removeManifest(digest)
    await this.fetchManifests()
  }

  /** What it said is known, unless it was damaged before the start. */
  #mendReference(file: StoreFile): void {
    const { catalog, publisher } = this.#deps
    for (const { reference } of catalog.refs()) {
      if (fileOfReference(reference).path !== file.path) continue
      publisher.saveRef(reference)
      return
    }
  }

  /** @returns whether there is nothing left to be tried */
  async #fetchManifest(digest: Digest, sources: readonly Source[]): Promise<boolean> {
    const { manifests, log } = this.#deps
    const known = sources.flatMap((source) => this.#upstreamOf(source) ?? [])
    for (const { source, upstream } of known) {
      if (!upstream.mayBeAsked('background')) continue
      try {
        const { registry, repository } = source
        await manifests.get({ registry, repository, digest }, { onlyIfCached: false }, false)
        log.info('a damaged manifest was fetched again', { digest, source: sourceName(source) })
        return true
      } catch (error) {
        if (troubleOf(error) === undefined) throw error
        log.warn('could not fetch a damaged manifest again', { digest, source: sourceName(source), error })
      }
    }
    return known.length === 0
  }

  /** Undefined where it is never to be asked. */
  #upstreamOf(source: Source): { readonly source: Source; readonly upstream: Upstream } | undefined {
    if (this.#deps.settings.airGapped) return undefined
    try {
      return { source, upstream: this.#deps.upstreams.of(source.registry) }
    } catch (error) {
      if (troubleOf(error) === undefined) throw error
      return undefined // the configuration closes it by now
    }
  }
}
