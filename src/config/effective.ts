/** What each setting is, and where it comes from: what `check --print` shows, and by what a reload tells what has changed. */
import type { Platform } from '../oci/manifest.ts'
import type { ProxyConfig } from './config.ts'
import type { CommandLine } from './flags.ts'
import type { MapType, Section, Setting, Table } from './section.ts'
import { DEFAULT_MIN_FREE, type SettingKey, settings } from './settings.ts'
import type { ListType, ScalarType, ValueType } from './value-types.ts'

export type EffectiveSetting = {
  /** As a path: `scrub.every`, `registries[docker.io].auth.user`. */
  readonly key: string
  /** As one would write it; undefined where nothing is set and there is no default. Secrets are hidden. */
  readonly text: string | undefined
  /** `--port`, `config.yaml:3`, `environment`, `default`. */
  readonly from: string
  /** To be compared, never shown. */
  readonly value: unknown
  /** Whether a change counts without a restart. */
  readonly isLive: boolean
}

export type SettingSources = {
  /** The name of the file. */
  readonly file: string
  readonly section: Section<typeof settings>
  readonly flags: Pick<CommandLine, 'values' | 'given'>
  readonly platform: Platform
  readonly proxies: ProxyConfig
}

const DEFAULT = 'default'
const HIDDEN = '(hidden)'

/** All of them, in the order of the table. */
export function effectiveSettings({ file, section, flags, platform, proxies }: SettingSources): readonly EffectiveSetting[] {
  const outOfTheBox: Readonly<Record<string, unknown>> = { os: platform.os, arch: platform.architecture, minFree: DEFAULT_MIN_FREE }
  const given = flags.values as Readonly<Record<string, unknown>>
  const inFile = section.values as Readonly<Record<string, unknown>>
  const all = Object.entries<Setting<unknown>>(settings).flatMap(([key, row]) => {
    const isFlag = Object.hasOwn(given, key)
    const from = isFlag ? (row.flag ?? DEFAULT) : originOf(file, section.lines[key as SettingKey])
    const withDefault = outOfTheBox[key] === undefined ? row : { ...row, default: outOfTheBox[key] }
    return describe(withDefault, {
      key,
      value: isFlag ? given[key] : inFile[key],
      from,
      file,
      isLive: row.live === true,
      withDefaults: true,
    })
  })
  return [...all, ...describeProxies(proxies)]
}

type Place = {
  readonly key: string
  readonly value: unknown
  readonly from: string
  readonly file: string
  readonly isLive: boolean
  /** Whether keys are named that nobody has set. */
  readonly withDefaults: boolean
}

function describe(row: Setting<unknown>, place: Place): readonly EffectiveSetting[] {
  const { type } = row
  if (isMap(type)) return describeMap(type.rows, place)
  if (isList(type) && isMap(type.item)) return describeEntries(type.item.rows, place)
  const { key, isLive } = place
  const value = place.value ?? row.default
  const isSet = place.value !== undefined
  const text = value === undefined ? row.defaultHelp : row.secret === true ? HIDDEN : textOf(type, value)
  return [{ key, text, from: isSet ? place.from : DEFAULT, value, isLive }]
}

function describeMap(rows: Table, place: Place): readonly EffectiveSetting[] {
  const { key, value, file, isLive, withDefaults } = place
  const { values, lines } = (value ?? { values: {}, lines: {} }) as Section<Record<string, Setting<unknown>>>
  return Object.entries(rows).flatMap(([name, row]) => {
    if (!withDefaults && values[name] === undefined) return []
    const own = { key: `${key}.${name}`, value: values[name], from: originOf(file, lines[name]), isLive: row.live ?? isLive }
    return describe(row, { ...place, ...own })
  })
}

/** Entries are told apart by their names, so that one more above them changes none; where they have none, by their place. */
function describeEntries(rows: Table, place: Place): readonly EffectiveSetting[] {
  const sections = (place.value ?? []) as readonly Section<Record<string, Setting<unknown>>>[]
  if (sections.length === 0) return [{ key: place.key, text: undefined, from: DEFAULT, value: undefined, isLive: place.isLive }]
  return sections.flatMap((section, i) => {
    return describeMap(rows, { ...place, key: `${place.key}[${section.values.name ?? i}]`, value: section, withDefaults: false })
  })
}

function describeProxies({ http, https }: ProxyConfig): EffectiveSetting[] {
  return [https, http].flatMap((proxy) => {
    if (proxy === undefined) return []
    return [{ key: proxy.variable, text: proxy.origin, from: 'environment', value: proxy, isLive: false }]
  })
}

function originOf(file: string, line: number | undefined): string {
  return line === undefined ? DEFAULT : `${file}:${line}`
}

function textOf(type: ValueType<unknown>, value: unknown): string {
  if (Array.isArray(value) && isList(type)) return `[${value.map((item) => textOf(type.item, item)).join(', ')}]`
  return (type as ScalarType<unknown>).format(value)
}

function isMap(type: ValueType<unknown>): type is MapType<Table> {
  return 'rows' in type
}

function isList(type: ValueType<unknown>): type is ListType<unknown> {
  return 'item' in type
}
