/**
 * What is answered beside pulls, `/health`, `/metrics` and `/cmd/`: each on the port of pulls or on another one, which some may share.
 * Where pulls come in, all that it costs them is one look at the beginning of the path.
 */
import type { LogLevel } from '../observe/log.ts'
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
  /** What metrics call it. */
  readonly route: string
  /** Of a request's line in the log. */
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

  constructor(apis: readonly SideApi[], pullPort: number, deps: Omit<ListenerDeps, 'handle'>) {
    const ports = new Set(apis.filter((api) => !isWithPulls(api, pullPort)).map(({ port }) => port))
    this.#listeners = [...ports].map((port) => {
      const there = apis.filter((api) => api.port === port)
      return { port, listener: new Listener({ ...deps, handle: firstFor(there, nothing) }) }
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
    if (api === undefined) return otherwise(req, res, note)
    note.route = api.route
    note.level = api.level
    return api.handle(req, res, note)
  }
}

function pointTo({ name, port }: SideApi): Handle {
  return (_, res) => writeError(res, new OciError(404, 'UNSUPPORTED', `${name} is on port ${port}`), ['cache-control', 'no-store'])
}

function nothing(...[, res]: Parameters<Handle>): void {
  writeError(res, new OciError(404, 'UNSUPPORTED', 'there is nothing at this path'), ['cache-control', 'no-store'])
}
