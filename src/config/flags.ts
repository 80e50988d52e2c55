/** Splits a command line into words and flags, and reads the flags by the table of settings. Which command takes which is the caller's affair. */
import { parseArgs } from 'node:util'
import { ConfigError } from './error.ts'
import { nearest } from './nearest.ts'
import type { FlagSetting, Setting } from './section.ts'
import { type SettingValues, settings } from './settings.ts'

/** A flag and the key of the setting that it gives. */
export type Flag = FlagSetting<unknown> & { readonly key: string }

/** All flags, in the order of the table. */
export const FLAGS: readonly Flag[] = Object.entries<Setting<unknown>>(settings).flatMap(([key, row]) =>
  row.flag === undefined ? [] : [{ ...row, key }],
)

export type CommandLine = {
  /** What is no flag: the command, and what follows it. */
  readonly words: readonly string[]
  readonly given: readonly Flag[]
  readonly values: SettingValues
  readonly help: boolean
  readonly version: boolean
}

/**
 * Takes `--port 8080`, `--port=8080` and, as the program before this one did, `-port 8080`. The last of two equal flags counts.
 * @param args without `node` and the script
 * @throws ConfigError for an unknown flag, or a value that is missing or not allowed
 */
export function parseCommandLine(args: readonly string[]): CommandLine {
  const tokens = tokensOf(args)
  const options = tokens.filter((token) => token.kind === 'option')
  const values: Record<string, unknown> = {}
  const given: Flag[] = []
  for (const option of options) {
    const flag = flagOf(option)
    if (flag === undefined) continue
    given.push(flag)
    values[flag.key] = readValue(flag, option)
  }
  return {
    words: tokens.flatMap((token, i) => (token.kind === 'positional' ? [readWord(token.value, tokens[i - 1])] : [])),
    given,
    values: values as SettingValues, // each was read by the type of its own row
    help: options.some((option) => option.name === 'help'),
    version: options.some((option) => option.name === 'version'),
  }
}

type Token = ReturnType<typeof tokensOf>[number]
type Option = Extract<Token, { readonly kind: 'option' }>

function tokensOf(args: readonly string[]) {
  const end = args.indexOf('--')
  const doubled = args.map((arg, i) => (/^-[a-z][a-z-]+(?:=|$)/.test(arg) && (end < 0 || i < end) ? `-${arg}` : arg))
  const flags = FLAGS.map(({ flag, type }) => [flag.slice(2), { type: type.placeholder === undefined ? 'boolean' : 'string' }] as const)
  const options = { ...Object.fromEntries(flags), help: { type: 'boolean', short: 'h' }, version: { type: 'boolean' } } as const
  return parseArgs({ args: doubled, options, strict: false, tokens: true, allowPositionals: true }).tokens
}

/** Undefined for `--help` and `--version`, which are no settings. */
function flagOf({ name, rawName }: Option): Flag | undefined {
  if (name === 'help' || name === 'version') return undefined
  const flag = FLAGS.find((each) => each.flag === rawName)
  if (flag !== undefined) return flag
  const meant = nearest(rawName, [...FLAGS.map((each) => each.flag), '--help', '--version'])
  throw new ConfigError(
    `${rawName}: found an unknown flag, want ${meant === undefined ? '' : `${meant} (the nearest) or another `}one that --help lists`,
  )
}

function readValue(flag: Flag, { value, inlineValue }: Option): unknown {
  const { type } = flag
  if (type.placeholder === undefined && value === undefined) return true
  if (value === undefined || (value === '' && flag.default !== undefined) || (!inlineValue && /^-(?!\d)/.test(value))) {
    throw new ConfigError(`${flag.flag}: found no value, want ${type.want}`)
  }
  if (value === '') return undefined // the default, whatever the file says
  const scalar = { text: value, quoted: false, isText: true }
  const parsed = type.parse(scalar)
  if (parsed === undefined) throw new ConfigError(`${flag.flag}: found ${type.show(scalar)}, want ${type.want}`)
  return parsed
}

/** Refuses `--air-gapped false`, which would switch it on and leave a word `false` behind. */
function readWord(word: string, before: Token | undefined): string {
  if (before?.kind !== 'option' || before.value !== undefined || !/^(?:true|false)$/i.test(word)) return word
  throw new ConfigError(`${before.rawName}: found "${word}" behind a blank, want ${before.rawName}=${word}`)
}
