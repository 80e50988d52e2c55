/** Flags that are no settings: what one run of a command is to do. No file has them. */
import { moment } from './moment.ts'
import type { Table } from './section.ts'
import { rate } from './sizes.ts'
import { boolean, choice, duration, expressionText, integer, repeated } from './value-types.ts'

export const commandFlags = {
  json: {
    flag: '--json',
    of: ['load', 'list', 'prune', 'verify', 'check'],
    type: boolean,
    default: false,
    help: 'Print one JSON document in place of a table.',
  },
  print: {
    flag: '--print',
    of: ['check'],
    type: boolean,
    default: false,
    help: 'Print all settings, and where each comes from; passwords are hidden.',
  },
  rate: {
    flag: '--rate',
    of: ['verify'],
    type: rate,
    defaultHelp: '200MiB while a server runs on the store, else as fast as it goes',
    help: 'How many bytes to read in a second.',
  },
  repair: {
    flag: '--repair',
    of: ['verify'],
    type: boolean,
    default: false,
    help: 'Move what is wrong to quarantine/ and fetch it again; only while no server runs on the store.',
  },
  pattern: {
    flag: '--pattern',
    of: ['list', 'prune'],
    type: expressionText,
    refusesEmpty: true,
    help: "Only references that match one of these, separated by commas: Go's regular expressions on registry/repository:tag or @digest.",
  },
  header: { flag: '--header', of: ['list'], type: boolean, default: false, help: 'Print the names of the columns.' },
  shortDigest: { flag: '--short-digest', of: ['list'], type: boolean, default: false, help: 'Cut digests to ten digits.' },
  format: {
    flag: '--format',
    of: ['list'],
    type: choice('table', 'url'),
    default: 'table',
    help: 'A table, or one reference a line, as load reads them.',
  },
  blobs: { flag: '--blobs', of: ['list'], type: boolean, default: false, help: 'Print the blobs of each image, too.' },
  pulls: {
    flag: '--pulls',
    of: ['list'],
    type: boolean,
    default: false,
    help: 'Print what is being downloaded, or was left unfinished, in place of images.',
  },
  date: {
    flag: '--date',
    aliases: ['--prune-before'],
    of: ['prune'],
    type: moment,
    help: 'Only what is older than this moment of local time.',
  },
  olderThan: { flag: '--older-than', of: ['prune'], type: duration, help: 'Only what is older than so long.' },
  by: {
    flag: '--by',
    of: ['prune'],
    type: choice('accessed', 'created'),
    defaultHelp: 'created with --date, else accessed',
    help: 'What counts as age: the last pull, or the first.',
  },
  orphans: {
    flag: '--orphans',
    of: ['prune'],
    type: boolean,
    default: false,
    help: 'Only what no reference needs; with the others it goes anyway.',
  },
  keep: {
    flag: '--keep',
    of: ['prune'],
    type: repeated(expressionText),
    refusesEmpty: true,
    help: 'Expressions as of --pattern for what stays, with all that it needs; may be given several times.',
  },
  count: {
    flag: '--count',
    of: ['prune'],
    type: integer(1, 2 ** 31 - 1),
    defaultHelp: 'no limit',
    help: 'How many images go at most, the oldest first.',
  },
  dryRun: { flag: '--dry-run', of: ['prune'], type: boolean, default: false, help: 'Only say what would go.' },
  yes: { flag: '--yes', of: ['prune'], type: boolean, default: false, help: 'Do not ask on a terminal.' },
} as const satisfies Table
