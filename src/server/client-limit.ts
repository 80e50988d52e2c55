/** How many requests of one client are answered at once: one that asks for more is sent away for a moment, so that it cannot take what the others need. */
import type { ServerResponse } from 'node:http'
import { isIPv6 } from 'node:net'
import { OciError } from '../oci/error.ts'
import type { ListenerDeps } from './listener.ts'
import { writeError } from './respond.ts'

type Handle = ListenerDeps['handle']

/** Not 429: containerd and Docker repeat that at once, and skopeo waits for half a minute; all of them go on to the registry after a 503. */
const STATUS = 503
const RETRY_AFTER_S = '1'
const LOOPBACK = /^127\.|^::1$/

/** @param most per client; 0: no limit. This host has none: what runs here can do worse */
export function limitPerClient(handle: Handle, most: number): Handle {
  if (most === 0) return handle
  const counts = new Map<string, number>()
  const leave = (client: string) => {
    const left = (counts.get(client) ?? 1) - 1
    if (left === 0) counts.delete(client)
    else counts.set(client, left)
  }
  return (req, res, note) => {
    const client = clientOf(req.socket.remoteAddress)
    if (client === undefined) return handle(req, res, note)
    const count = counts.get(client) ?? 0
    if (count >= most) return refuse(res, most)
    counts.set(client, count + 1)
    res.once('close', () => leave(client))
    return handle(req, res, note)
  }
}

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

function refuse(res: ServerResponse, most: number): void {
  const message = `more than ${most} requests of this client at once: try again when one of them has ended (maxRequestsPerClient)`
  writeError(res, new OciError(STATUS, 'TOOMANYREQUESTS', message, { 'retry-after': RETRY_AFTER_S }), ['cache-control', 'no-store'])
}
