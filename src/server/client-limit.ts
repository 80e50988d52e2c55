/** How many requests of one client are answered at once: one that asks for more is sent away for a moment, so that it cannot take what the others need. */
import type { ServerResponse } from 'node:http'
import { OciError } from '../oci/error.ts'
import { ClientCounts, clientOf } from './clients.ts'
import type { ListenerDeps } from './listener.ts'
import { writeError } from './respond.ts'

type Handle = ListenerDeps['handle']

/** Not 429: containerd and Docker repeat that at once, and skopeo waits for half a minute; all of them go on to the registry after a 503. */
const STATUS = 503
const RETRY_AFTER_S = '1'

/** @param most per client, asked each time; 0: no limit. This host has none: what runs here can do worse */
export function limitPerClient(handle: Handle, most: () => number): Handle {
  const counts = new ClientCounts(() => most() || Number.POSITIVE_INFINITY)
  return (req, res, note) => {
    const client = clientOf(req.socket.remoteAddress)
    if (!counts.take(client)) return refuse(res, most())
    if (client !== undefined) res.once('close', () => counts.leave(client))
    return handle(req, res, note)
  }
}

function refuse(res: ServerResponse, most: number): void {
  const message = `more than ${most} requests of this client at once: try again when one of them has ended (maxRequestsPerClient)`
  writeError(res, new OciError(STATUS, 'TOOMANYREQUESTS', message, { 'retry-after': RETRY_AFTER_S }), ['cache-control', 'no-store'])
}
