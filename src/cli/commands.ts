/** The table of commands. Help is printed from it, so that the two cannot disagree. */
import { ConfigError } from '../config/error.ts'
import { nearest } from '../config/nearest.ts'
import { check } from './check.ts'
import type { Command } from './command.ts'
import { commandHelp, globalHelp } from './help.ts'
import { install, uninstall } from './install.ts'
import { list } from './list.ts'
import { load } from './load.ts'
import { prune } from './prune.ts'
import { serve } from './serve.ts'
import { verify } from './verify.ts'
import { version } from './version.ts'

const help: Command = {
  name: 'help',
  aliases: ['h'],
  summary: 'Explain the program, or one of its commands',
  argument: '[command]',
  examples: ['ociregistry help', 'ociregistry help serve'],
  run({ words: [, topic] }, io) {
    io.stdout(topic === undefined ? globalHelp(commands) : commandHelp(findCommand(topic)))
    return 0
  },
}

export const commands: readonly Command[] = [serve, load, list, prune, verify, check, install, uninstall, version, help]

/** @throws ConfigError for a word that is no command */
export function findCommand(word: string): Command {
  const command = commands.find(({ name, aliases }) => name === word || aliases.includes(word))
  if (command !== undefined) return command
  const names = commands.map(({ name }) => name)
  const meant = nearest(word, names)
  throw new ConfigError(
    `${JSON.stringify(word)}: found an unknown command, want ${meant === undefined ? '' : `${meant} (the nearest) or another of `}${names.join(', ')}`,
  )
}
