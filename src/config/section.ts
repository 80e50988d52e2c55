/** A table of settings, and what a map of the file says about them. */
import type { Findings } from './findings.ts'
import { nearest } from './nearest.ts'
import { type Entry, kindOf, showKey, type Tree } from './tree.ts'
import type { ScalarType, ValueType } from './value-types.ts'

/** What settings are for. Those of features that are not in `AVAILABLE` are read and warned about, and change nothing. */
export type Feature =
  | 'pulling'
  | 'loading'
  | 'listing'
  | 'pruning'
  | 'health'
  | 'metrics'
  | 'hello-world'
  | 'server TLS'
  | 'tokens'
  | 'archives'
const AVAILABLE: ReadonlySet<Feature> = new Set<Feature>([
  'pulling',
  'loading',
  'listing',
  'pruning',
  'health',
  'metrics',
  'hello-world',
  'server TLS',
])

/** Commands that have flags of their own. */
export type CommandName = 'serve' | 'load' | 'list' | 'prune' | 'verify' | 'check' | 'install' | 'uninstall'

type Row<T> = {
  /** Absent within a map: as the map. */
  readonly since?: Feature
  readonly help: string
  readonly default?: T
  /** How help words a default that depends on the machine. */
  readonly defaultHelp?: string
  /** In the file (not as a flag) 0 means the default, as in the program before this one. */
  readonly zeroIsDefault?: boolean
  /** Whether the value asks for the feature; without it: anything but `false` and 0. */
  asksFor?(value: T): boolean
  /** The key that an older program had for it, which is read as this one. */
  readonly formerly?: string
  /** Whether a change counts without a restart; within a map: as the map, where it is absent. `live-config.ts` has the keys of `Config` that it is about. */
  readonly live?: boolean
  /** Never shown to anybody. */
  readonly secret?: boolean
}
export type FileSetting<T> = Row<T> & { readonly type: ValueType<T>; readonly flag?: undefined }
type FlagRow = {
  /** With its dashes: `--port`. */
  readonly flag: `--${string}`
  /** Other names of the flag: `--cache-dir`, `-d`. */
  readonly aliases?: readonly `-${string}`[]
  /** Which commands take it; global ones may stand with any command, or before it. */
  readonly of: 'global' | readonly CommandName[]
  /** An empty flag is a mistake, not the default: to an older program it said something else. */
  readonly refusesEmpty?: boolean
}
export type FlagSetting<T> = Row<T> & FlagRow & { readonly type: ScalarType<T> }
/** A list in the file, and a flag that is given once for each item. */
export type RepeatedFlagSetting<T> = Row<T> & FlagRow & { readonly type: ValueType<T> & { readonly item: ScalarType<unknown> } }
export type Setting<T> = FileSetting<T> | FlagSetting<T> | RepeatedFlagSetting<T>
export type Table = Readonly<Record<string, Setting<unknown>>>

export type ValueOf<Row> = Row extends { readonly type: ValueType<infer T> } ? T : never
export type Values<Rows> = { readonly [Key in keyof Rows]?: ValueOf<Rows[Key]> }
/** What a map of the file says: the values of the keys that are set to something, and their lines. */
export type Section<Rows> = {
  readonly line: number
  readonly values: Values<Rows>
  readonly lines: { readonly [Key in keyof Rows]?: number }
}

export type MapType<Rows extends Table> = ValueType<Section<Rows>> & { readonly rows: Rows }

/** A map with the keys of the table and no others. */
export function mapOf<Rows extends Table>(rows: Rows): MapType<Rows> {
  return {
    rows,
    read(tree, key, findings) {
      if (tree.kind !== 'map' && tree.kind !== 'empty') {
        findings.mistake(tree.line, key === '' ? 'the file' : key, `found ${kindOf(tree)}, want a map with the keys ${listKeys(rows)}`)
        return undefined
      }
      return readEntries(rows, tree, key, findings)
    },
  }
}

function readEntries<Rows extends Table>(rows: Rows, tree: Tree, at: string, findings: Findings): Section<Rows> {
  const values: Record<string, unknown> = {}
  const lines: Record<string, number> = {}
  for (const [key, entry] of onlyOnce(tree.kind === 'map' ? tree.entries : [], rows, at, findings)) {
    const row = Object.hasOwn(rows, key) ? rows[key] : undefined
    if (row === undefined) findings.mistake(entry.line, keyPath(at, key), unknownKey(key, rows))
    if (row === undefined || entry.value.kind === 'empty') continue
    lines[key] = entry.line
    const value = readSetting(row, entry, keyPath(at, entry.key), findings)
    if (value !== undefined) values[key] = value
  }
  // each value was read by the type of its own row
  return { line: tree.line, values, lines } as Section<Rows>
}

/** By the keys that are meant; an older program may have had another. */
function onlyOnce(entries: readonly Entry[], rows: Table, at: string, findings: Findings): Map<string, Entry> {
  const first = new Map<string, Entry>()
  for (const entry of entries) {
    const key = Object.keys(rows).find((name) => rows[name]?.formerly === entry.key) ?? entry.key
    const earlier = first.get(key)
    if (earlier === undefined) first.set(key, entry)
    else findings.mistake(entry.line, keyPath(at, entry.key), `found a second time (first in line ${earlier.line}), want each key once`)
  }
  return first
}

function readSetting(row: Setting<unknown>, { line, value: tree }: Entry, key: string, findings: Findings): unknown {
  const value = row.type.read({ ...tree, line }, key, findings)
  if (value === 0 && row.zeroIsDefault) return undefined
  if (value !== undefined && isForLater(row, value)) findings.later(line, key)
  return value
}

/** Whether the value would switch on a feature that this version does not have. */
export function isForLater<T>(row: Setting<T>, value: T): boolean {
  if (isAvailable(row)) return false
  return row.asksFor === undefined ? value !== false && value !== 0 : row.asksFor(value)
}

export function isAvailable(row: Setting<unknown>): boolean {
  return row.since === undefined || AVAILABLE.has(row.since)
}

function keyPath(at: string, key: string): string {
  return at === '' ? showKey(key) : `${at}.${showKey(key)}`
}

function unknownKey(key: string, rows: Table): string {
  const meant = nearest(key, Object.keys(rows))
  return `found an unknown key, want ${meant === undefined ? '' : `${meant} (the nearest) or another of `}${listKeys(rows)}`
}

function listKeys(rows: Table): string {
  return Object.keys(rows).join(', ')
}
