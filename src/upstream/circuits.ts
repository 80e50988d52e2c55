/** The circuits of one registry: its own, and one for each token realm that it names, since the one may be well while the other is not. */
import { Lru } from '../async/lru.ts'
import { Circuit, type CircuitOptions } from './circuit.ts'
import type { UpstreamHealth, Urgency } from './upstream.ts'

/** A registry chooses the names of its realms; real ones have one or two. */
const MAX_REALMS = 16

export class Circuits {
  readonly #options: Omit<CircuitOptions, 'name'>
  readonly #realms = new Lru<string, Circuit>({ capacity: MAX_REALMS })
  /** Counts what the registry's own origin does. */
  readonly registry: Circuit

  /** @param origin of the registry */
  constructor(origin: URL, options: Omit<CircuitOptions, 'name'>) {
    this.#options = options
    this.registry = new Circuit({ ...options, name: origin.origin })
  }

  /** Of a token realm, by its origin: apart from the registry's even where that is the same. */
  realm({ origin }: URL): Circuit {
    const known = this.#realms.get(origin)
    if (known !== undefined) return known
    const circuit = new Circuit({ ...this.#options, name: `its token realm ${origin}` })
    this.#realms.set(origin, circuit)
    return circuit
  }

  /** See `Upstream`. A client's request may do without the realm: its token may be at hand. */
  mayBeAsked(urgency: Urgency): boolean {
    return urgency === 'client' ? this.registry.mayBeAsked(urgency) : this.#blocking(urgency) === undefined
  }

  /** See `Upstream`. Waits for the realms as well: who waits was refused, maybe by one of them. @throws as `Circuit.untilMayBeAsked` */
  async untilMayBeAsked(urgency: Urgency, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted()
    for (let blocked = this.#blocking(urgency); blocked !== undefined; blocked = this.#blocking(urgency)) {
      await blocked.untilMayBeAsked(urgency, signal)
    }
  }

  /** A realm in trouble is no more than trouble: not every request needs it. */
  health(): UpstreamHealth {
    const own = this.registry.health()
    if (own.state !== 'well') return own
    const ill = this.#realms.values().map((realm) => realm.health())
    const worst = ill.find(({ state }) => state === 'down') ?? ill.find(({ state }) => state === 'troubled')
    return worst === undefined ? own : { ...worst, state: 'troubled' }
  }

  stop(): void {
    for (const circuit of this.#all) circuit.stop()
  }

  #blocking(urgency: Urgency): Circuit | undefined {
    return this.#all.find((circuit) => !circuit.mayBeAsked(urgency))
  }

  get #all(): Circuit[] {
    return [this.registry, ...this.#realms.values()]
  }
}
