/** What a command is. The table of them is in `commands.ts`. */
import type { CommandLine } from '../config/flags.ts'
import type { CommandName } from '../config/section.ts'
import type { Io } from './io.ts'

export type Command = {
  readonly name: string
  readonly aliases: readonly string[]
  /** One sentence for help, without a full stop. */
  readonly summary: string
  /** What may stand behind the command, for help: `[command]`. */
  readonly argument?: string
  /** The name under which flags are its own in the tables of flags. */
  readonly flags?: CommandName
  /** The exit code of a mistake of whoever typed it: 1, unless that says something else. */
  readonly mistakeCode?: number
  /** Command lines that work as they stand. */
  readonly examples: readonly string[]
  /** @returns the exit code */
  run(line: CommandLine, io: Io): number | Promise<number>
}
