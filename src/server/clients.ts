/** Who counts as one client, and how much each holds: so that nobody can take what the others need. */
import { isIPv6 } from 'node:net'

const LOOPBACK = /^127\.|^::1$/

/** Who counts as one client: an IPv4 address, or the /64 that one host has of IPv6. Undefined for this host, and for one that has gone. */
export function clientOf(remoteAddress: string | undefined): string | undefined {
  const address = remoteAddress?.replace(/^::ffff:(?=\d+\.)/, '')
  if (address === undefined || LOOPBACK.test(address)) return undefined
  return isIPv6(address) ? networkOf(address) : address
}

/** The first four groups, the zeros that `::` stands for among them. */
function networkOf(address: string): string {
  const [head = '', tail] = address.split('%', 1)[0]?.split('::') ?? []
  const [before, after] = [groupsOf(head), groupsOf(tail ?? '')]
  const zeros = tail === undefined ? 0 : 8 - before.length - after.length
  return [...before, ...Array.from({ length: Math.max(0, zeros) }, () => '0'), ...after].slice(0, 4).join(':')
}

function groupsOf(text: string): string[] {
  return text === '' ? [] : text.split(':')
}

/** How many of something each client holds: no more than `most` says at that moment. */
export class ClientCounts {
  readonly #counts = new Map<string, number>()

  constructor(private readonly most: () => number) {}

  /** One more, unless that is too many; to be given back by `leave`. This host has no limit. */
  take(client: string | undefined): boolean {
    if (client === undefined) return true
    const count = this.#counts.get(client) ?? 0
    if (count >= this.most()) return false
    this.#counts.set(client, count + 1)
    return true
  }

  leave(client: string | undefined): void {
    if (client === undefined) return
    const left = (this.#counts.get(client) ?? 1) - 1
    if (left === 0) this.#counts.delete(client)
    else this.#counts.set(client, left)
  }
}
