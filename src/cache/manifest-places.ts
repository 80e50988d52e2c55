/**
 * How many manifests are fetched at once: so many of one registry, and so many in all. They go on without the clients that asked for them, and each may
 * hold some MiB. Where all places are taken, the one that has been slow for longest gives way: registries that trickle keep nobody from the others.
 */
import { OVER } from '../async/over.ts'
import type { Clock } from '../observe/clock.ts'
import type { Registry } from '../oci/name.ts'
import { UpstreamError } from '../upstream/error.ts'
import type { Budgets } from './budgets.ts'
import { within } from './within.ts'

export type ManifestPlacesDeps = {
  readonly budgets: Pick<Budgets, 'manifestsAtOnce' | 'manifestsOfOneRegistry' | 'slowSourceMs' | 'firstByteMs'>
  readonly clock: Clock
}

type Running = { readonly registry: Registry; readonly end: AbortController; isSlow: boolean }
type Waiting = { readonly registry: Registry; readonly begin: (running: Running) => void }

export class ManifestPlaces {
  readonly #deps: ManifestPlacesDeps
  /** In the order in which they began. */
  readonly #running = new Set<Running>()
  readonly #runningOf = new Map<Registry, number>()
  readonly #waiting = new Set<Waiting>()

  constructor(deps: ManifestPlacesDeps) {
    this.#deps = deps
  }

  /**
   * Runs `work` when there is a place for it.
   * @param work its signal says that it has to give way
   * @throws UpstreamError 'timeout' if there is no place within `firstByteMs`, or it had to give way; what `work` rejects with
   */
  async run<T>(registry: Registry, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const { clock, budgets } = this.#deps
    const running = this.#hasPlace(registry) ? this.#take(registry) : await this.#turn(registry)
    const over = new AbortController()
    void clock.sleep(budgets.slowSourceMs, over.signal).then((slept) => {
      running.isSlow = slept
      if (slept) this.#makeRoom()
    })
    try {
      return await work(running.end.signal)
    } finally {
      over.abort(OVER)
      this.#give(running)
    }
  }

  #hasPlace(registry: Registry): boolean {
    return this.#running.size < this.#deps.budgets.manifestsAtOnce && this.#mayHaveMore(registry)
  }

  #mayHaveMore(registry: Registry): boolean {
    return (this.#runningOf.get(registry) ?? 0) < this.#deps.budgets.manifestsOfOneRegistry
  }

  #take(registry: Registry): Running {
    const running = { registry, end: new AbortController(), isSlow: false }
    this.#running.add(running)
    this.#runningOf.set(registry, (this.#runningOf.get(registry) ?? 0) + 1)
    return running
  }

  #give(running: Running): void {
    const { registry } = running
    this.#running.delete(running)
    const left = (this.#runningOf.get(registry) ?? 1) - 1
    if (left === 0) this.#runningOf.delete(registry)
    else this.#runningOf.set(registry, left)
    this.#beginNext()
  }

  async #turn(registry: Registry): Promise<Running> {
    const { clock, budgets } = this.#deps
    const what = `too many manifests are being fetched: that of ${registry} could not be begun`
    return within(clock, budgets.firstByteMs, what, (signal) => {
      return new Promise((begin) => {
        const waiting = { registry, begin }
        signal.addEventListener('abort', () => this.#waiting.delete(waiting), { once: true })
        this.#waiting.add(waiting)
        this.#makeRoom()
      })
    })
  }

  #beginNext(): void {
    for (const waiting of this.#waiting) {
      if (this.#running.size >= this.#deps.budgets.manifestsAtOnce) break
      if (!this.#mayHaveMore(waiting.registry)) continue
      this.#waiting.delete(waiting)
      waiting.begin(this.#take(waiting.registry)) // counts from now on, before it gets to know
    }
    this.#makeRoom()
  }

  /** As many of the slow ones give way as others could begin in their places. */
  #makeRoom(): void {
    if (this.#running.size < this.#deps.budgets.manifestsAtOnce) return
    let wanted = 0
    for (const { registry } of this.#waiting) if (this.#mayHaveMore(registry)) wanted++
    for (const { end, isSlow, registry } of this.#running) {
      if (wanted <= 0) return
      if (!isSlow) continue
      wanted--
      if (!end.signal.aborted)
        end.abort(new UpstreamError('timeout', `${registry} was slow to send a manifest, and others waited for their turn`))
    }
  }
}
