/** The help: printed from the tables of commands and settings, so that it cannot disagree with them. */
import { FLAGS, type Flag, isOf } from '../config/flags.ts'
import { type CommandName, isAvailable } from '../config/section.ts'
import type { Command } from './command.ts'

const INDENT = '   '

/** What `ociregistry` alone prints. */
export function globalHelp(commands: readonly Command[]): string {
  return sections([
    ['NAME', ['ociregistry - a pull-only, pull-through, caching OCI distribution server']],
    ['USAGE', ['ociregistry [global options] [command [command options]]']],
    ['COMMANDS', columns(commands.map(({ name, aliases, summary }) => [[name, ...aliases].join(', '), summary]))],
    ['GLOBAL OPTIONS', options('global')],
    ['EXAMPLES', ['ociregistry serve', "ociregistry help serve    # the options of 'serve'"]],
  ])
}

export function commandHelp({ name, aliases, summary, argument, flags, examples }: Command): string {
  return sections([
    ['NAME', [`ociregistry ${[name, ...aliases].join(', ')} - ${summary}`]],
    [
      'USAGE',
      [`ociregistry [global options] ${name}${argument === undefined ? '' : ` ${argument}`}${flags === undefined ? '' : ' [options]'}`],
    ],
    ...(flags === undefined ? [] : [['OPTIONS', options(flags)] as const]),
    ['GLOBAL OPTIONS', options('global')],
    ['EXAMPLES', examples],
  ])
}

/** No settings, but flags all the same. */
const BUILT_IN: readonly (readonly [string, string])[] = [
  ['--help, -h', 'Show help.'],
  ['--version, -v', 'Show the version.'],
]

function options(of: 'global' | CommandName): string[] {
  const rows = FLAGS.filter((flag) => isOf(flag, of) && isAvailable(flag)).map((flag) => [usage(flag), describe(flag)] as const)
  return columns(of === 'global' ? [...rows, ...BUILT_IN] : rows)
}

function usage({ flag, aliases = [], type, default: value }: Flag): string {
  const whole = type.placeholder === undefined ? `${flag}${value === true ? '=false' : ''}` : `${flag} ${type.placeholder}`
  return [whole, ...aliases].join(', ')
}

/** A flag that is on by default is of use only to switch it off. */
function describe({ help, type, default: value, defaultHelp }: Flag): string {
  const shown = defaultHelp ?? value
  const worthShowing = shown !== undefined && (type.placeholder !== undefined || value === true)
  return worthShowing ? `${help} (default: ${shown})` : help
}

function columns(rows: readonly (readonly [string, string])[]): string[] {
  const width = Math.max(...rows.map(([left]) => left.length))
  return rows.map(([left, right]) => `${left.padEnd(width)}  ${right}`)
}

function sections(all: readonly (readonly [title: string, lines: readonly string[]])[]): string {
  return all.map(([title, lines]) => `${title}:\n${lines.map((line) => `${INDENT}${line}\n`).join('')}`).join('\n')
}
