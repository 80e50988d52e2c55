/** From the arguments to a command and its exit code. A mistake of the person at the terminal becomes one line on stderr. */
import { ConfigError } from '../config/error.ts'
import { type CommandLine, parseCommandLine } from '../config/flags.ts'
import { printable } from '../observe/printable.ts'
import type { Command } from './command.ts'
import { commands, findCommand } from './commands.ts'
import { commandHelp, globalHelp } from './help.ts'
import type { Io } from './io.ts'
import { version } from './version.ts'

/**
 * @param args without `node` and the script
 * @returns the exit code: 0, or 1 after an error line
 */
export async function run(args: readonly string[], io: Io): Promise<number> {
  try {
    return await obey(parseCommandLine(args), io)
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    io.stderr(`error: ${printable(error.message)}\n`)
    return 1
  }
}

function obey(line: CommandLine, io: Io): number | Promise<number> {
  const [word, ...others] = line.words
  if (line.version) return version.run(line, io)
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

function refuseFlagsOfOthers({ given }: CommandLine, command: Command | undefined): void {
  const foreign = given.find(({ of }) => of !== 'global' && of !== command?.flags)
  if (foreign === undefined) return
  const where = command === undefined ? 'without a command' : `with the command ${command.name}`
  throw new ConfigError(`${foreign.flag}: found ${where}, want it with the command ${foreign.of}`)
}

function refuseStrayWord({ name, argument }: Command, words: readonly string[]): void {
  const stray = words[argument === undefined ? 0 : 1]
  if (stray !== undefined)
    throw new ConfigError(`${JSON.stringify(stray)}: found a word behind the command ${name}, want only options there`)
}
