/** The reference of all settings in docs/operations.md: made from the table in src/config/, so that it cannot disagree with it. */
import { isAvailable, type MapType, type Setting, type Table } from '../src/config/section.ts'
import { DEFAULT_MIN_FREE, settings } from '../src/config/settings.ts'
import type { ListType, ScalarType, ValueType } from '../src/config/value-types.ts'

export const BEGIN = '<!-- settings: made by `npm run docs` -->'
export const END = '<!-- end of settings -->'

/** The page with the reference as it should be. @throws Error for a page without the two marks */
export function withReference(page: string): string {
  const [begin, end] = [page.indexOf(BEGIN), page.indexOf(END)]
  if (begin < 0 || end < begin) throw new Error(`want ${BEGIN} and ${END} in the page`)
  return `${page.slice(0, begin + BEGIN.length)}\n\n${settingsReference()}\n${page.slice(end)}`
}

function settingsReference(): string {
  const outOfTheBox = { ...settings, minFree: { ...settings.minFree, default: DEFAULT_MIN_FREE } }
  const head = ['key', 'flag', 'value', 'default', 'change counts', 'what it does']
  const lines = [head, head.map(() => '---'), ...rowsOf(outOfTheBox, '', false)].map((cells) => `| ${cells.join(' | ')} |`)
  return `${lines.join('\n')}\n`
}

function rowsOf(rows: Table, at: string, isLive: boolean): string[][] {
  return Object.entries(rows)
    .filter(([, row]) => isAvailable(row))
    .flatMap(([key, row]) => rowsOfSetting(`${at}${key}`, row, row.live ?? isLive))
}

function rowsOfSetting(key: string, row: Setting<unknown>, isLive: boolean): string[][] {
  const { type, help } = row
  if (isMap(type)) return rowsOf(type.rows, `${key}.`, isLive)
  if (isList(type) && isMap(type.item)) return rowsOf(type.item.rows, `${key}[].`, isLive)
  const flags = row.flag === undefined ? [] : [row.flag, ...(row.aliases ?? [])]
  return [[code(key), flags.map(code).join(', '), wantOf(type), defaultOf(row), isLive ? 'at once' : 'at the next start', cell(help)]]
}

function wantOf(type: ValueType<unknown>): string {
  return isList(type) ? `a list; each item: ${cell((type.item as ScalarType<unknown>).want)}` : cell((type as ScalarType<unknown>).want)
}

function defaultOf({ type, default: value, defaultHelp }: Setting<unknown>): string {
  return value === undefined ? cell(defaultHelp ?? '') : code((type as ScalarType<unknown>).format(value))
}

function code(text: string): string {
  return `\`${text}\``
}

/** A bar would end the cell. */
function cell(text: string): string {
  return text.replaceAll('|', '\\|')
}

function isMap(type: ValueType<unknown>): type is MapType<Table> {
  return 'rows' in type
}

function isList(type: ValueType<unknown>): type is ListType<unknown> {
  return 'item' in type
}
