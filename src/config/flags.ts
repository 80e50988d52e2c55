/** Splits a command line into words and flags, and reads the flags by the table of settings. Which command takes which is the caller's affair. */
import { parseArgs } from 'node:util'
import { commandFlags } from './command-flags.ts'
import { ConfigError } from './error.ts'
import { nearest } from './nearest.ts'
import { OLDER_FLAGS, olderFlagCalled, type TypedFlag } from './older-flags.ts'
import type { CommandName, FlagSetting, RepeatedFlagSetting, Setting, Values } from './section.ts'
import { type SettingValues, settings } from './settings.ts'

/** A flag, the key of the setting that it gives, and whether it gives one item of a list. */
export type Flag = FlagSetting<unknown> & { readonly key: string; readonly repeated: boolean }

/** All flags, in the order of the tables. */
export const FLAGS: readonly Flag[] = Object.entries<Setting<unknown>>({ ...settings, ...commandFlags }).flatMap(([key, row]): Flag[] => {
  if (row.flag === undefined) return []
  return isRepeated(row) ? [{ ...row, type: row.type.item, key, repeated: true }] : [{ ...row, key, repeated: false }]
})

/** Whether a command takes it; global ones stand apart. `check` takes what `serve` does, whose configuration it looks at. */
export function isOf({ of }: Pick<Flag, 'of'>, command: 'global' | CommandName | undefined): boolean {
  if (of === 'global') return command === 'global'
  return of.some((name) => name === command || (name === 'serve' && command === 'check'))
}

function isRepeated(row: FlagSetting<unknown> | RepeatedFlagSetting<unknown>): row is RepeatedFlagSetting<unknown> {
  return 'item' in row.type
}

export type CommandLineValues = SettingValues & Values<typeof commandFlags>

export type CommandLine = {
  /** What is no flag: the command, and what follows it. */
  readonly words: readonly string[]
  readonly given: readonly Flag[]
  /** All flags in the order of the line, also those of older programs. */
  readonly typed: readonly TypedFlag[]
  readonly values: CommandLineValues
  readonly help: boolean
  readonly version: boolean
}

const HELP = ['--help', '-h']
const VERSION = ['--version', '-v']

/**
 * Takes `--port 8080`, `--port=8080`, `-p 8080`, `-p8080` and, as the program before this one did, `-port 8080`.
 * @param args without `node` and the script
 * @throws ConfigError for an unknown flag, a value that is missing or not allowed, or one setting that is given twice
 */
export function parseCommandLine(args: readonly string[]): CommandLine {
  const tokens = tokensOf(args)
  const options = tokens.filter((token) => token.kind === 'option')
  const values: Record<string, unknown> = {}
  const names = new Map<Flag, string>()
  const typed = options.flatMap((option): TypedFlag[] => {
    const [name, text] = [nameOf(option), option.value]
    const older = olderFlagCalled(name)
    if (older !== undefined) return [{ name, text, older }]
    const flag = flagOf(name)
    if (flag === undefined) return []
    const earlier = names.get(flag) ?? name
    if (earlier !== name) throw new ConfigError(`${name}: found beside ${earlier}, which is the same setting, want one of the two`)
    names.set(flag, name)
    const value = readValue(flag, name, option)
    const isGiven = !flag.repeated && Object.hasOwn(values, flag.key)
    if (isGiven && !isSwitchedAlike(flag, values[flag.key], value)) throw new ConfigError(`${name}: found more than once, want it once`)
    values[flag.key] = flag.repeated ? [...((values[flag.key] as readonly unknown[] | undefined) ?? []), value] : value
    return [{ name, text, flag }]
  })
  return {
    words: tokens.flatMap((token, i) => (token.kind === 'positional' ? [readWord(token.value, tokens[i - 1])] : [])),
    given: [...names.keys()],
    typed,
    values: values as CommandLineValues, // each was read by the type of its own row
    help: options.some((option) => HELP.includes(nameOf(option))),
    version: options.some((option) => VERSION.includes(nameOf(option))),
  }
}

type Token = ReturnType<typeof tokensOf>[number]
type Option = Extract<Token, { readonly kind: 'option' }>

function tokensOf(args: readonly string[]) {
  const end = args.indexOf('--')
  const before = end < 0 ? args : args.slice(0, end)
  const flags = FLAGS.flatMap(({ flag, aliases = [], type }) => {
    return [flag, ...aliases].map((name) => [name, type.placeholder === undefined ? 'boolean' : 'string'] as const)
  })
  const older = OLDER_FLAGS.flatMap(({ names, value }) => names.map((name) => [name, value === 'never' ? 'boolean' : 'string'] as const))
  const builtIn = [...HELP, ...VERSION].map((name) => [name, 'boolean'] as const)
  const options = Object.fromEntries([...flags, ...older, ...builtIn].map(([name, type]) => [name.replace(/^--?/, ''), { type }]))
  const written = [...before.map((arg, i) => asLongFlag(arg, before[i + 1])), ...args.slice(before.length)]
  return parseArgs({ args: written, options, strict: false, tokens: true, allowPositionals: true }).tokens
}

/**
 * `-port` as the older program took it, `-p8080` and `-p=8080` as the other did: all become long flags, the short ones of one letter. A word behind
 * one dash is never taken for a short flag with its value: `-debug` is no directory `ebug`.
 */
function asLongFlag(arg: string, next: string | undefined): string {
  const long = /^-[a-z][a-z-]+(?:=|$)/.test(arg) ? `-${arg}` : arg
  const [, letter, value = ''] = /^-([a-z])(?:$|=?(.+)$)/is.exec(long) ?? []
  if (letter !== undefined) return value === '' ? `--${letter}` : `--${letter}=${value}`
  const wantsNoMore = olderFlagCalled(long)?.value === 'maybe' && (next === undefined || next.startsWith('-'))
  return wantsNoMore ? `${long}=` : long
}

/** A switch that is on does not mind being switched on. */
function isSwitchedAlike({ type }: Flag, earlier: unknown, value: unknown): boolean {
  return type.placeholder === undefined && earlier === value
}

/** As it was typed, but for a second dash. */
function nameOf({ name }: Option): string {
  return name.length === 1 ? `-${name}` : `--${name}`
}

/** Undefined for those that are no settings. */
function flagOf(name: string): Flag | undefined {
  if (HELP.includes(name) || VERSION.includes(name)) return undefined
  const flag = FLAGS.find((each) => each.flag === name || each.aliases?.some((alias) => alias === name))
  if (flag !== undefined) return flag
  const meant = name.length < 3 ? undefined : nearest(name, [...FLAGS.map((each) => each.flag), '--help', '--version'])
  throw new ConfigError(
    `${name}: found an unknown flag, want ${meant === undefined ? '' : `${meant} (the nearest) or another `}one that --help lists`,
  )
}

/** A negative number does not, and neither does the dash that is standard input. */
const LOOKS_LIKE_FLAG = /^-(?![\d,]|$)/

function readValue(
  { type, default: fallback, refusesEmpty = fallback !== undefined }: Flag,
  name: string,
  { value, inlineValue }: Option,
): unknown {
  if (type.placeholder === undefined && value === undefined) return true
  if (value === undefined || (value === '' && refusesEmpty) || (!inlineValue && LOOKS_LIKE_FLAG.test(value))) {
    throw new ConfigError(`${name}: found no value, want ${type.want}`)
  }
  if (value === '') return undefined // the default, whatever the file says
  const scalar = { text: value, quoted: false, isText: true }
  const parsed = type.parse(scalar)
  if (parsed === undefined) throw new ConfigError(`${name}: found ${type.show(scalar)}, want ${type.want}`)
  return parsed
}

/** Refuses `--air-gapped false`, which would switch it on and leave a word `false` behind. */
function readWord(word: string, before: Token | undefined): string {
  if (before?.kind !== 'option' || before.value !== undefined || !/^(?:true|false)$/i.test(word)) return word
  throw new ConfigError(`${nameOf(before)}: found "${word}" behind a blank, want ${nameOf(before)}=${word}`)
}
