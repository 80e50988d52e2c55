/** The matrix: which cells there are, what each is called, and what clients are to see in it. Pure. */
import { FAULTS, type Fault, type Outcome } from './faults.ts'
import { pairwise } from './pairwise.ts'

export type What = 'tag' | 'digest' | 'blob' | 'range'
export type State = 'cold' | 'cached' | 'half'
export type Cell = { readonly fault: Fault; readonly what: What; readonly state: State; readonly clients: number }

/** What clients see of a cell while its fault is in force. */
export type Expected = Outcome | 'hit' | 'stale'

const WHATS: readonly What[] = ['tag', 'digest', 'blob', 'range']
const STATES: readonly State[] = ['cold', 'cached', 'half']
const CLIENTS: readonly number[] = [1, 8]

export function allCells(): Cell[] {
  return FAULTS.flatMap((fault) =>
    WHATS.flatMap((what) => STATES.flatMap((state) => CLIENTS.map((clients) => ({ fault, what, state, clients })))),
  )
}

/** Fewer: every two values of different dimensions meet in one of them. */
export function somePairs(): Cell[] {
  return pairwise([FAULTS.length, WHATS.length, STATES.length, CLIENTS.length]).map(([fault = 0, what = 0, state = 0, clients = 0]) => ({
    fault: FAULTS[fault] as Fault,
    what: WHATS[what] as What,
    state: STATES[state] as State,
    clients: CLIENTS[clients] as number,
  }))
}

export function isBlob({ what }: Cell): boolean {
  return what === 'blob' || what === 'range'
}

/** Of what is cached, only a tag asks the upstream; and what was confirmed to be something else is that. */
export function expectedOf(cell: Cell): Expected {
  const { fault, what, state } = cell
  const manifest = what === 'tag' ? (fault.manifest.tag ?? fault.manifest.digest) : fault.manifest.digest
  if (state === 'cached') return what !== 'tag' ? 'hit' : manifest === 'served' ? 'served' : 'stale'
  if (!isBlob(cell)) return manifest
  return state === 'half' ? (fault.blob.half ?? fault.blob.cold) : fault.blob.cold
}

const THINGS: Readonly<Record<What, string>> = {
  tag: 'manifest by tag',
  digest: 'manifest by digest',
  blob: 'blob',
  range: 'range of a blob',
}
const ADJECTIVES: Readonly<Record<State, string>> = { cold: 'new', cached: 'cached', half: 'half-downloaded' }
const VERBS: Readonly<Record<Expected, string>> = {
  hit: 'is served from the cache',
  stale: 'is served as it was, and the answer says so',
  served: 'is served',
  refused: 'is refused with the status of the table',
  broken: 'is refused or ends short',
  awaited: 'is served when that is over',
  honest: 'is served, refused or ends short',
}

/** A sentence. */
export function nameOf(cell: Cell): string {
  const { fault, what, state, clients } = cell
  const whose = clients === 1 ? 'one client' : `${clients} clients at once`
  return `a ${ADJECTIVES[state]} ${THINGS[what]} that ${whose === 'one client' ? 'one client asks' : `${whose} ask`} for while ${fault.name} ${VERBS[expectedOf(cell)]}`
}
