/** What was typed after `npm run bench --`. */
import { parseArgs } from 'node:util'
import { type ProgramName, programNames } from './programs/program.ts'

export type Options = {
  readonly help: boolean
  readonly quick: boolean
  readonly write: boolean
  /** Names of measures, or parts of them; none: all of them. */
  readonly only: readonly string[]
  readonly without: readonly ProgramName[]
}

export const usage = `npm run bench                            all measures, about twelve minutes
npm run bench -- --quick                 all of it with small sizes: shows that it works, not how fast anything is
npm run bench -- --write                 also puts the table into bench/README.md
npm run bench -- start joined            only measures of such names, or with that in their names
npm run bench -- --without docker-registry
`

/** Throws with one line that says what is wrong. */
export function parseOptions(args: readonly string[]): Options {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      help: { type: 'boolean', short: 'h', default: false },
      quick: { type: 'boolean', default: false },
      write: { type: 'boolean', default: false },
      without: { type: 'string', multiple: true, default: [] },
    },
  })
  const { help, quick, write, without } = values
  if (write && (quick || positionals.length > 0 || without.length > 0))
    throw new Error('--write needs a whole run: no --quick, no --without, no selection')
  return { help, quick, write, only: positionals, without: without.map(programName) }
}

function programName(text: string): ProgramName {
  const name = programNames.find((known) => known === text)
  if (name === undefined) throw new Error(`--without ${text}: there is no such program; known: ${programNames.join(', ')}`)
  return name
}
