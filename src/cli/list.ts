/** The command `list`: prints what a store holds, or what is being downloaded into it. It only reads, also beside a server that runs. */
import { join } from 'node:path'
import type { Config } from '../config/config.ts'
import { reasonOf } from '../config/errno.ts'
import { ConfigError } from '../config/error.ts'
import type { Patterns } from '../config/expression.ts'
import type { CommandLineValues } from '../config/flags.ts'
import { patternsAt } from '../config/housekeeping.ts'
import { loadConfig } from '../config/load.ts'
import { createLog } from '../observe/log.ts'
import type { Command } from './command.ts'
import { refuseOtherThanStore } from './held-store.ts'
import type { Io } from './io.ts'
import type { TableStyle } from './list-table.ts'

export const list: Command = {
  name: 'list',
  aliases: [],
  summary: 'Print what is stored; a server may run on the store',
  flags: 'list',
  examples: [
    'ociregistry list --header --image-path /var/lib/ociregistry',
    "ociregistry list --pattern '^docker.io/library/' --format url > images.txt",
    'ociregistry list --pulls --header',
  ],
  async run(line, io) {
    const { values } = line
    refuseContradictions(values)
    const { config } = await loadConfig({ flags: line, env: io.env, platform: io.platform, clock: io.clock })
    await refuseOtherThanStore(config.imagePath, 'list')
    try {
      await (values.pulls === true ? printPulls(config, values, io) : printImages(config, values, io))
      return 0
    } catch (error) {
      if (error instanceof ConfigError || (error as NodeJS.ErrnoException).code === undefined) throw error
      const { path = config.imagePath } = error as NodeJS.ErrnoException
      throw new ConfigError(`cannot list the store ${config.imagePath}: ${path}: ${reasonOf(error)}`, { cause: error })
    }
  },
}

/** What one of two flags would make of the other is nobody's guess. */
const CONTRADICTIONS = [
  ['--json', '--format', ({ json, format }) => json === true && format === 'url'],
  ['--blobs', '--format', ({ blobs, format }) => blobs === true && format === 'url'],
  ['--pulls', '--format', ({ pulls, format }) => pulls === true && format === 'url'],
  ['--pulls', '--blobs', ({ pulls, blobs }) => pulls === true && blobs === true],
  ['--pulls', '--pattern', ({ pulls, pattern }) => pulls === true && pattern !== undefined],
] as const satisfies readonly (readonly [one: string, other: string, isSo: (values: CommandLineValues) => boolean])[]

function refuseContradictions(values: CommandLineValues): void {
  const [one, other] = CONTRADICTIONS.find(([, , isSo]) => isSo(values)) ?? []
  if (one !== undefined) throw new ConfigError(`${one}: found beside ${other}, want one of the two`)
}

async function printImages(config: Config, values: CommandLineValues, io: Io): Promise<void> {
  // loaded on first use: other commands need none of it
  const [{ overlookStore }, { takeInventory, totalsOf }, { storeToRead }, tables] = await Promise.all([
    import('../cache/survey.ts'),
    import('../cache/inventory.ts'),
    import('../store/store-parts.ts'),
    import('./list-table.ts'),
  ])
  const patterns = await patternsOf(config, values)
  const log = createLog({ level: config.logLevel, format: config.logFormat, write: (text) => io.stderr(text), clock: io.clock })
  const stored = await overlookStore(storeToRead(config.imagePath, log), io.clock, log)
  const all = takeInventory(stored)
  const isMeant = (reference: string) => patterns === undefined || patterns.matches(reference)
  const rows = all.filter(({ reference }) => isMeant(reference))
  const totals = totalsOf(rows, stored, isMeant)
  if (values.json === true) return io.stdout(tables.imageDocument(config.imagePath, rows, stored, totals))
  if (rows.length === 0) return io.stderr(`${nothingIn(config, all.length, patterns)}${tables.lostLine(totals)}`)
  if (values.format === 'url') io.stdout(tables.referenceLines(rows))
  else print(tables.imageTable(rows, styleOf(config, values, io), values.blobs === true ? stored : undefined), io)
  io.stderr(tables.totalsLines(totals))
}

async function printPulls(config: Config, values: CommandLineValues, io: Io): Promise<void> {
  const [{ listSpool }, tables] = await Promise.all([import('../store/spool-list.ts'), import('./list-table.ts')])
  const pulls = await listSpool(join(config.imagePath, 'pulls'))
  if (values.json === true) return io.stdout(tables.pullDocument(config.imagePath, pulls))
  if (pulls.length === 0) return io.stderr(`nothing is being downloaded into ${config.imagePath}, or was left unfinished\n`)
  print(tables.pullTable(pulls, styleOf(config, values, io)), io)
  io.stderr(tables.pullTotalsLine(pulls))
}

function print(pieces: Iterable<string>, io: Io): void {
  for (const piece of pieces) io.stdout(piece)
}

async function patternsOf({ list: { patterns } }: Config, { pattern }: CommandLineValues): Promise<Patterns | undefined> {
  return pattern === undefined ? patterns : patternsAt('--pattern', pattern)
}

function styleOf({ list }: Config, values: CommandLineValues, { stdoutIsTerminal }: Io): TableStyle {
  return { header: values.header ?? list.header, shortDigest: values.shortDigest ?? list.shortDigest, aligned: stdoutIsTerminal }
}

function nothingIn({ imagePath }: Config, stored: number, patterns: Patterns | undefined): string {
  if (stored === 0 || patterns === undefined) return `no images in ${imagePath}\n`
  return `none of ${stored} in ${imagePath} matches ${patterns.source}\n`
}
