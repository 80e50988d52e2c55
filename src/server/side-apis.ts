/**
 * What is answered beside pulls, `/health`, `/metrics` and `/cmd/`: each on the port of pulls or on another one, which some may share.
 * Where pulls come in, all that it costs them is one look at the beginning of the path.
 */
import type { AddressInfo } from 'node:net'
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
  /** The descriptor of a socket that listens: in place of the port. */
  readonly socket: number | undefined
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

type SideListener = Pick<SideApi, 'port' | 'socket' | 'route'> & { readonly listener: Listener }

/** Listens for what is not answered on the port of pulls. */
export class SideListeners {
  readonly #listeners: readonly SideListener[]

  constructor(apis: readonly SideApi[], pullPort: number, deps: Omit<ListenerDeps, 'handle'>) {
    const apart = apis.filter((api) => !isWithPulls(api, pullPort))
    const firsts = apart.filter((api, i) => apart.findIndex((other) => isSamePlace(api, other)) === i)
    this.#listeners = firsts.map((first) => {
      const there = apart.filter((api) => isSamePlace(api, first))
      return { ...first, listener: new Listener({ ...deps, handle: firstFor(there, nothing) }) }
    })
  }

  /**
   * @returns the addresses of those that were given a socket, by its descriptor; undefined for a Unix socket
   * @throws the system's error for the first place that cannot be had, or one in one line for a socket
   */
  async start(host: string): Promise<ReadonlyMap<number, AddressInfo | undefined>> {
    const adopted = new Map<number, AddressInfo | undefined>()
    for (const { port, socket, route, listener } of this.#listeners) {
      if (socket === undefined) await listener.start(host, port)
      else adopted.set(socket, await listener.adopt(socket, route))
    }
    return adopted
  }

  /** As that of a listener. */
  async stop(graceMs: number): Promise<void> {
    await Promise.all(this.#listeners.map(({ listener }) => listener.stop(graceMs)))
  }
}

function isWithPulls({ port, socket }: SideApi, pullPort: number): boolean {
  return socket === undefined && (port === 0 || port === pullPort)
}

function isSamePlace(one: SideApi, other: SideApi): boolean {
  return one.socket === other.socket && (one.socket !== undefined || one.port === other.port)
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

function pointTo({ name, port, socket }: SideApi): Handle {
  const place = socket === undefined ? `port ${port}` : 'a socket of its own'
  return (_, res) => writeError(res, new OciError(404, 'UNSUPPORTED', `${name} is on ${place}`), ['cache-control', 'no-store'])
}

function nothing(...[, res]: Parameters<Handle>): void {
  writeError(res, new OciError(404, 'UNSUPPORTED', 'there is nothing at this path'), ['cache-control', 'no-store'])
}
