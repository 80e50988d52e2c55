/** Flags of the programs that people come from, and that are none here: what to say to whoever types them. */
import type { FlagSetting } from './section.ts'

export type OlderFlag = {
  /** The first is its name, the others are short for it. */
  readonly names: readonly `-${string}`[]
  /** `maybe`: a word behind it is its value. */
  readonly value: 'always' | 'maybe' | 'never'
  readonly is: Fate
}

type Fate =
  /** A command has taken its place, and a flag of that command its value. */
  | { readonly fate: 'command'; readonly command: 'load' | 'list' | 'prune'; readonly flag?: string; readonly missing?: string }
  /** To go on without it could be dangerous, so nobody does. */
  | { readonly fate: 'later'; readonly problem: string }

/** The first three are those of ociregistry 1.7, the last one is of containerd-registry-cache. */
export const OLDER_FLAGS: readonly OlderFlag[] = [
  { names: ['--load-images'], value: 'always', is: { fate: 'command', command: 'load', flag: '--image-file' } },
  { names: ['--list-cache'], value: 'never', is: { fate: 'command', command: 'list' } },
  { names: ['--prune'], value: 'maybe', is: { fate: 'command', command: 'prune', flag: '--pattern', missing: 'PATTERN' } },
  {
    names: ['--bucket', '-b'],
    value: 'always',
    is: { fate: 'later', problem: 'a flag that comes with a later version, want --image-path with a directory in its place' },
  },
]

/** A flag as it was typed, under one of its names. */
export type TypedFlag = { readonly name: string; readonly text: string | undefined } & (
  | { readonly flag: Pick<FlagSetting<unknown>, 'flag' | 'of'> }
  | { readonly older: OlderFlag }
)

/** The older flag of that name. */
export function olderFlagCalled(name: string): OlderFlag | undefined {
  return OLDER_FLAGS.find(({ names }) => names.some((each) => each === name))
}

/** The command line that does the same now. @param command what was typed, if there was one */
export function newCommandLine(command: string | undefined, typed: readonly TypedFlag[]): string {
  const name = commandInPlaceOf(typed) ?? command ?? commandOf(typed)
  return ['ociregistry', name, ...typed.flatMap((each) => inNewWords(name, each))].join(' ')
}

/** The command that has taken the place of a flag. */
export function commandInPlaceOf(typed: readonly TypedFlag[]): string | undefined {
  for (const each of typed) if ('older' in each && each.older.is.fate === 'command') return each.older.is.command
  return undefined
}

/** The one that its flags are of, if that is not `serve`. */
function commandOf(typed: readonly TypedFlag[]): string {
  for (const each of typed)
    if ('flag' in each && each.flag.of !== 'global' && !each.flag.of.includes('serve')) return each.flag.of[0] ?? 'serve'
  return 'serve'
}

/** None where the command does not take it. */
function inNewWords(command: string, typed: TypedFlag): string[] {
  const { text } = typed
  if ('flag' in typed) {
    const { flag, of } = typed.flag
    if (of !== 'global' && !of.some((name) => name === command)) return []
    return [text === undefined ? flag : withValue(flag, text)]
  }
  const { is } = typed.older
  if (is.fate !== 'command' || is.command !== command || is.flag === undefined) return []
  return [text === undefined || text === '' ? `${is.flag} ${is.missing ?? "''"}` : withValue(is.flag, text)]
}

/** Behind a blank, what looks like a flag would be one, and a switch would be on. */
function withValue(flag: string, text: string): string {
  return `${flag}${/^(?:-.*|true|false|yes|no|on|off)$/is.test(text) ? '=' : ' '}${quote(text)}`
}

/** For a shell. */
function quote(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`
}
