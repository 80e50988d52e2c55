/** What fills fail with, in one word for those who count. */
import { isSystemError } from '../store/space.ts'
import type { UpstreamErrorKind } from '../upstream/error.ts'
import { troubleOf } from './answer.ts'

/** `store`: the disk. `stopped`: nobody wanted it any more, or the server is stopping. */
export type FillFailure = UpstreamErrorKind | 'store' | 'stopped' | 'other'

/** A table, so that none is forgotten. */
const ALL: Readonly<Record<FillFailure, true>> = {
  notFound: true,
  denied: true,
  limited: true,
  unreachable: true,
  dns: true,
  tls: true,
  failed: true,
  corrupt: true,
  timeout: true,
  circuitOpen: true,
  refusedAddress: true,
  store: true,
  stopped: true,
  other: true,
}

export const FILL_FAILURES = Object.keys(ALL) as readonly FillFailure[]

export function fillFailureOf(error: Error): FillFailure {
  return troubleOf(error) ?? (isSystemError(error) ? 'store' : 'other')
}
