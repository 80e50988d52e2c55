/** From the arguments to a command and its exit code. A mistake of the person at the terminal becomes one line on stderr. */
import { ConfigError } from '../config/error.ts'
import { type CommandLine, isOf, parseCommandLine } from '../config/flags.ts'
import { newCommandLine } from '../config/older-flags.ts'
import { printable } from '../observe/printable.ts'
import type { Command } from './command.ts'
import { commands, findCommand } from './commands.ts'
import { commandHelp, globalHelp } from './help.ts'
import type { Io } from './io.ts'
import { version } from './version.ts'

/**
 * @param args without `node` and the script
 * @returns the exit code: 0, or that of the command's mistakes after an error line
 */
export async function run(args: readonly string[], io: Io): Promise<number> {
  try {
    return await obey(parseCommandLine(args), io)
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    io.stderr(`error: ${printable(error.message)}\n`)
    return mistakeCodeOf(args)
  }
}

/** The flags may be what is wrong: so it is looked for among the words themselves. */
function mistakeCodeOf(args: readonly string[]): number {
  return commands.find(({ name }) => args.includes(name))?.mistakeCode ?? 1
}

function obey(line: CommandLine, io: Io): number | Promise<number> {
  const [word, ...others] = line.words
  if (line.version) return version.run(line, io)
  if (line.help && word === undefined) return print(globalHelp(commands), io)
  refuseOlderFlags(line)
  const command = word === undefined ? undefined : findCommand(word)
  if (line.help && command !== undefined) return print(commandHelp(command), io)
  refuseFlagsOfOthers(line, command)
  if (command === undefined) return print(globalHelp(commands), io)
  refuseStrayWord(command, others)
  return command.run(line, io)
}

function print(text: string, io: Io): number {
  io.stdout(text)
  return 0
}

/** Whoever types a flag of a program before this one gets the command line that does the same now. */
function refuseOlderFlags({ typed, words: [word] }: CommandLine): void {
  const first = typed.find((each) => 'older' in each)
  if (first === undefined || !('older' in first)) return
  const { is } = first.older
  if (is.fate === 'later') throw new ConfigError(`${first.name}: found ${is.problem}`)
  throw new ConfigError(`${first.name}: found a flag of an older version, want: ${newCommandLine(word, typed)}`)
}

function refuseFlagsOfOthers({ typed }: CommandLine, command: Command | undefined): void {
  for (const each of typed) {
    if (!('flag' in each)) continue
    const { name, flag } = each
    const isOlderName = name !== flag.flag
    if (command === undefined && (flag.of !== 'global' || isOlderName)) {
      throw new ConfigError(`${name}: found without a command, want: ${newCommandLine(undefined, typed)}`)
    }
    if (flag.of !== 'global' && !isOf(flag, command?.flags)) {
      throw new ConfigError(`${name}: found with the command ${command?.name}, want it with the command ${flag.of.join(' or ')}`)
    }
  }
}

function refuseStrayWord({ name, argument }: Command, words: readonly string[]): void {
  const stray = words[argument === undefined ? 0 : 1]
  if (stray !== undefined)
    throw new ConfigError(`${JSON.stringify(stray)}: found a word behind the command ${name}, want only options there`)
}
