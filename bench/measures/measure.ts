/** What a measure is: which programs take part, what is done with each, and which rows of the table its figures become. */
import type { Content } from '../content.ts'
import type { Program, ProgramName, Server } from '../programs/program.ts'
import type { Sizes } from '../sizes.ts'
import type { Scope } from '../steps.ts'
import type { Upstream } from '../upstream/start.ts'

export type Bench = {
  /** Below it each step has a directory of its own. */
  readonly directory: string
  readonly sizes: Sizes
  readonly content: Content
  /** As fast as it can. */
  readonly upstream: Upstream
  /** Starts a program with everything in its cache that is not for a cold measure. */
  startWarm(scope: Scope, program: Program): Promise<Server>
}

/** What one program did. */
export type Sample = {
  /** For the table, by the row's key. */
  readonly figures: Readonly<Record<string, number>>
  /** All that is worth keeping beside them. */
  readonly raw: unknown
  /** For the measure's own table. */
  readonly details?: readonly DetailLine[]
  /** Why the figures can be believed, or not: printed while it runs. */
  readonly note?: string
}

export type Row = {
  /** Of the figure. */
  readonly key: string
  readonly label: string
  readonly digits: number
  /** What ours has to reach: by itself, or as a part of another program's figure. */
  readonly goal?: { readonly atLeast?: number; readonly atMost?: number; readonly of?: ProgramName }
}

/** A table of a measure's own, below the common one, for what has more sides than one row shows. */
export type Details = { readonly title: string; readonly columns: readonly { readonly label: string; readonly digits: number }[] }
/** `values` in the order of the columns. */
export type DetailLine = { readonly label: string; readonly values: readonly number[] }

export type Measure = {
  readonly name: string
  readonly programs: readonly Program[]
  /** Whether programs are started with a warm cache, which has to be made first. */
  readonly warm: boolean
  /** For one program. */
  limitMs(sizes: Sizes): number
  take(scope: Scope, program: Program, bench: Bench): Promise<Sample>
  rows(sizes: Sizes): readonly Row[]
  readonly details?: Details
}

export function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b)
  const middle = (sorted.length - 1) / 2
  return ((sorted[Math.floor(middle)] ?? Number.NaN) + (sorted[Math.ceil(middle)] ?? Number.NaN)) / 2
}

/** The smallest of the numbers that is not less than so many percent of them. */
export function percentile(numbers: readonly number[], percent: number): number {
  const sorted = [...numbers].sort((a, b) => a - b)
  return sorted[Math.max(0, Math.ceil((sorted.length * percent) / 100) - 1)] ?? Number.NaN
}

export const MIB = 2 ** 20
