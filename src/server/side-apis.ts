/**
 * What is answered beside pulls, `/health` and `/cmd/`: each on the port of pulls or on another one, which some may share.
 * Where pulls come in, all that it costs them is one look at the beginning of the path.
 */
import type { Clock } from '../observe/clock.ts'
import type { Log, LogLevel } from '../observe/log.ts'
import { OciError } from '../oci/error.ts'
import { Listener, type ListenerDeps } from './listener.ts'
import { writeError } from './respond.ts'

type Handle = ListenerDeps['handle']

export type SideApi = {
  /** For people: `the admin API`. */
  readonly name: string
  /** 0: that of pulls. */
  readonly port: number
  readonly isFor: (url: string) => boolean
  readonly handle: Handle
  /** Of the log line of a request on a port of its own. */
  readonly level: LogLevel
}

/** The handler for the port of pulls: what belongs elsewhere is told so. */
export function besidePulls(pull: Handle, apis: readonly SideApi[], pullPort: number): Handle {
  const here = apis.filter((api) => isWithPulls(api, pullPort))
  const elsewhere = apis.filter((api) => !isWithPulls(api, pullPort)).map((api) => ({ ...api, handle: pointTo(api) }))
  return firstFor([...here, ...elsewhere], pull)
}

/** Listens for what is not answered on the port of pulls. */
export class SideListeners {
  readonly #listeners: readonly { readonly port: number; readonly listener: Listener }[]

  constructor(apis: readonly SideApi[], pullPort: number, clock: Clock, log: Log) {
    const ports = new Set(apis.filter((api) => !isWithPulls(api, pullPort)).map(({ port }) => port))
    this.#listeners = [...ports].map((port) => {
      const there = apis.filter((api) => api.port === port)
      const level = there.every((api) => api.level === 'debug') ? 'debug' : 'info'
      return { port, listener: new Listener({ handle: firstFor(there, nothing), level, clock, log }) }
    })
  }

  /** @throws the system's error for the first port that cannot be had */
  async start(host: string): Promise<void> {
    for (const { port, listener } of this.#listeners) await listener.start(host, port)
  }

  /** As that of a listener. */
  async stop(graceMs: number): Promise<void> {
    await Promise.all(this.#listeners.map(({ listener }) => listener.stop(graceMs)))
  }
}

function isWithPulls({ port }: SideApi, pullPort: number): boolean {
  return port === 0 || port === pullPort
}

function firstFor(apis: readonly SideApi[], otherwise: Handle): Handle {
  return (req, res, note) => {
    const url = req.url ?? ''
    const api = url.startsWith('/v2/') ? undefined : apis.find(({ isFor }) => isFor(url))
    return (api?.handle ?? otherwise)(req, res, note)
  }
}

function pointTo({ name, port }: SideApi): Handle {
  return (_, res) => writeError(res, new OciError(404, 'UNSUPPORTED', `${name} is on port ${port}`), ['cache-control', 'no-store'])
}

function nothing(...[, res]: Parameters<Handle>): void {
  writeError(res, new OciError(404, 'UNSUPPORTED', 'there is nothing at this path'), ['cache-control', 'no-store'])
}
