/** Makes the upstream of a soak fail in every way that it knows, one or two at a time, and well again in between. */
import type { FakeRegistry } from '../support/fake-registry.ts'
import {
  type Action,
  chunked,
  cutAt,
  flipBit,
  gzip,
  hang,
  hangAt,
  lengthOff,
  limited,
  loginPage,
  redirect,
  redirectLoop,
  refuse,
  status,
  throttle,
  truncated,
  wrongDigest,
} from '../support/fake-registry-faults.ts'
import type { RequestMatch } from '../support/fake-registry-ledger.ts'
import { Gate } from '../support/fake-registry-reply.ts'
import type { Random } from '../support/property.ts'

const KIB = 1024
const MIB = 1024 * KIB

/** Nobody listens there. */
const DEAD_HOST = 'http://127.0.0.1:9/'

type Kind = { readonly name: string; readonly make: (random: Random, gate: Gate) => Action }

const KINDS: readonly Kind[] = [
  { name: 'refuse', make: () => refuse() },
  { name: 'hang', make: (_, gate) => hang(gate) },
  { name: 'hang in the middle', make: (random, gate) => hangAt(random.below(2 * MIB), gate) },
  { name: 'cut (FIN)', make: (random) => cutAt(random.below(2 * MIB), 'fin') },
  { name: 'cut (RST)', make: (random) => cutAt(random.below(2 * MIB), 'rst') },
  { name: 'flipped bit', make: (random) => flipBit(random.below(MIB)) },
  { name: 'trickle', make: () => throttle(256 * KIB) },
  { name: 'length too long', make: () => lengthOff(7) },
  { name: 'length too short', make: () => lengthOff(-7) },
  { name: 'truncated', make: (random) => truncated(random.below(MIB)) },
  { name: 'no length', make: () => chunked() },
  { name: 'wrong digest header', make: () => wrongDigest() },
  { name: 'login page', make: () => loginPage() },
  { name: 'gzip', make: () => gzip() },
  { name: '429', make: () => limited() },
  { name: '429 with Retry-After', make: () => limited(1) },
  { name: '500', make: () => status(500) },
  { name: '503', make: () => status(503) },
  { name: '403', make: () => status(403) },
  { name: 'redirect loop', make: () => redirectLoop() },
  { name: 'redirect to a dead host', make: () => redirect(DEAD_HOST) },
]

const MATCHES: readonly RequestMatch[] = [{ kind: 'blob' }, { kind: 'blob' }, { kind: 'manifest' }, {}]

export class UpstreamFaults {
  /** How often each kind was in force. */
  readonly applied = new Map<string, number>()
  readonly #registry: FakeRegistry
  readonly #random: Random

  constructor(registry: FakeRegistry, random: Random) {
    this.#registry = registry
    this.#random = random
  }

  /** One fault, or two at once, for a while. @param wait resolves early when the soak is over */
  async once(wait: (ms: number) => Promise<unknown>): Promise<void> {
    const undo = [this.#begin(), ...(this.#random.below(3) === 0 ? [this.#begin()] : [])]
    await wait(this.#random.between(300, 5_000))
    for (const end of undo) await end()
  }

  #begin(): () => Promise<void> | void {
    const which = this.#random.below(KINDS.length + 2)
    const kind = KINDS[which]
    if (kind !== undefined) return this.#fault(kind)
    if (which === KINDS.length) {
      this.#count('connections dropped')
      this.#registry.dropConnections()
      return () => {}
    }
    this.#count('port closed')
    const stopped = this.#registry.stop()
    return () => stopped.then(() => this.#registry.start())
  }

  #fault({ name, make }: Kind): () => void {
    this.#count(name)
    const gate = new Gate()
    const fault = this.#registry.fault({ match: this.#random.pick(MATCHES), do: [make(this.#random, gate)] })
    return () => {
      fault.remove()
      gate.open()
    }
  }

  #count(name: string): void {
    this.applied.set(name, (this.applied.get(name) ?? 0) + 1)
  }
}
