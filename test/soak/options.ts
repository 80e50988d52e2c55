/** What was typed after `npm run test:soak --`. */
import { randomInt } from 'node:crypto'
import { parseArgs } from 'node:util'

export type Options = { readonly help: boolean; readonly minutes: number; readonly seed: number }

export const usage = `npm run test:soak -- [--minutes 5] [--seed <n>]

Random clients, faults of the upstream, deletions in the store, restarts and kills, for so many minutes (fractions too) and two more at most.
The seed repeats the images and what is done to the server, though not the very instants. Ends with 0 if everything was as promised.
`

/** @throws Error with one line that says what is wrong */
export function parseOptions(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      help: { type: 'boolean', short: 'h', default: false },
      minutes: { type: 'string', default: '5' },
      seed: { type: 'string', default: String(randomInt(2 ** 31)) },
    },
  })
  const minutes = Number(values.minutes)
  const seed = Number(values.seed)
  if (!(minutes > 0 && minutes <= 7 * 24 * 60)) throw new Error(`--minutes ${values.minutes}: give a number above 0 and of a week at most`)
  if (!Number.isSafeInteger(seed)) throw new Error(`--seed ${values.seed}: give a whole number`)
  return { help: values.help, minutes, seed }
}
