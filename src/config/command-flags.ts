/** Flags that are no settings: what one run of a command is to do. No file has them. */
import type { Table } from './section.ts'
import { rate } from './sizes.ts'
import { boolean } from './value-types.ts'

export const commandFlags = {
  json: { flag: '--json', of: 'verify', type: boolean, default: false, help: 'Print one JSON document in place of a table.' },
  rate: {
    flag: '--rate',
    of: 'verify',
    type: rate,
    defaultHelp: '200MiB while a server runs on the store, else as fast as it goes',
    help: 'How many bytes to read in a second.',
  },
  repair: {
    flag: '--repair',
    of: 'verify',
    type: boolean,
    default: false,
    help: 'Move what is wrong to quarantine/ and fetch it again; only while no server runs on the store.',
  },
} as const satisfies Table
