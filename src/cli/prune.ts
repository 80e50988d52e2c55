/** The command `prune`: removes images from a store that no server holds, and says before what goes and what stays. */

import type { PruneReport } from '../cache/prune-report.ts'
import type { Pruner } from '../cache/pruner.ts'
import type { PruneRules } from '../cache/retention.ts'
import type { Config } from '../config/config.ts'
import { reasonOf } from '../config/errno.ts'
import { ConfigError } from '../config/error.ts'
import type { CommandLineValues } from '../config/flags.ts'
import { patternsAt } from '../config/housekeeping.ts'
import { loadConfig } from '../config/load.ts'
import { createLog, type Log } from '../observe/log.ts'
import { printable } from '../observe/printable.ts'
import type { LockHolder } from '../store/lock.ts'
import type { Command } from './command.ts'
import { holderOf, refuseOtherThanStore, takeStore } from './held-store.ts'
import type { Io } from './io.ts'

export const prune: Command = {
  name: 'prune',
  aliases: [],
  summary: 'Remove images from the store while no server holds it',
  flags: 'prune',
  examples: [
    'ociregistry prune --older-than 30d --keep pause,coredns --dry-run',
    "ociregistry prune --pattern '^quay.io/team/' --yes",
    'ociregistry prune --max-size 20GiB --yes',
  ],
  async run(line, io) {
    const { values } = line
    const { config } = await loadConfig({ flags: line, env: io.env, platform: io.platform, clock: io.clock })
    const rules = await rulesOf(values, io.clock.now())
    await refuseOtherThanStore(config.imagePath, 'prune')
    const awake = setInterval(() => {}, 1000) // pauses alone do not keep the process alive
    try {
      return await pruned(config, values, rules, io)
    } catch (error) {
      throw told(error, config)
    } finally {
      clearInterval(awake)
    }
  },
}

async function pruned(config: Config, values: CommandLineValues, rules: PruneRules, io: Io): Promise<number> {
  const log = createLog({ level: config.logLevel, format: config.logFormat, write: (text) => io.stderr(text), clock: io.clock })
  const { pruneDocument, pruneTable, resultLine } = await import('./prune-table.ts')
  const print = (report: PruneReport) => io.stdout(values.json === true ? pruneDocument(report) : pruneTable(report))
  if (values.dryRun === true) {
    print(await look(config, rules, io, log))
    return 0
  }
  return withStore(config, values, io, log, async (pruner) => {
    const plan = await pruner.look(rules)
    const mustAsk = io.canAsk && values.yes !== true && !isNothing(plan)
    if (mustAsk && !(await isWanted(pruneTable(plan), io))) return 1
    const report = await pruner.prune(rules)
    if (mustAsk && values.json !== true) io.stdout(resultLine(report))
    else print(report)
    for (const { what, why } of report.failures) io.stderr(`error: ${printable(`could not remove ${what}: ${why}`)}\n`)
    return report.failures.length === 0 ? 0 : 1
  })
}

function isNothing({ references, manifests, blobs }: PruneReport): boolean {
  return references.length + manifests.length + blobs.length === 0
}

/** What is asked about is shown to whoever is asked, wherever the output goes. */
async function isWanted(table: string, io: Io): Promise<boolean> {
  io.stderr(table)
  if (/^y(?:es)?$/i.test((await io.ask('Remove all this? [y/N] ')).trim())) return true
  io.stderr('nothing was removed\n')
  return false
}

/** What would go, without the store's lock: a server may hold it. */
async function look(config: Config, rules: PruneRules, { clock }: Io, log: Log): Promise<PruneReport> {
  const [{ surveyStore }, { storeToRead }, { planPrune, refusalFor }, { PruneRefused, reportOf }] = await Promise.all([
    import('../cache/survey.ts'),
    import('../store/store-parts.ts'),
    import('../cache/retention.ts'),
    import('../cache/prune-report.ts'),
  ])
  const survey = await surveyStore(storeToRead(config.imagePath, log), rules, clock, log)
  const refusal = refusalFor(survey, rules, clock.now())
  if (refusal !== undefined) throw new PruneRefused(refusal)
  const keep = (reference: string) => config.pins?.matches(reference) === true || rules.keep?.(reference) === true
  return reportOf(planPrune(survey, { ...rules, keep }, clock.now()), true)
}

async function withStore(
  config: Config,
  values: CommandLineValues,
  io: Io,
  log: Log,
  work: (pruner: Pruner) => Promise<number>,
): Promise<number> {
  const [{ Pruner }, { Publisher }, { blobsFor }, { Catalog }, { loadCatalog }, { storeParts }] = await Promise.all([
    import('../cache/pruner.ts'),
    import('../cache/publisher.ts'),
    import('../cache/survey.ts'),
    import('../cache/catalog.ts'),
    import('../cache/catalog-load.ts'),
    import('../store/store-parts.ts'),
  ])
  const { clock } = io
  const { imagePath, minFree, pins } = config
  const parts = storeParts({ imagePath, minFree, self: holderOf('ociregistry prune', io), clock, log })
  await takeStore(parts, 'prune', (holder) => adviceFor(values, io.clock.now(), holder))
  try {
    const { store, space } = parts
    const catalog = new Catalog()
    await loadCatalog(catalog, store, clock, log)
    const publisher = new Publisher({ catalog, store, space, clock, log, accessTimesMs: 0 })
    const pruner = new Pruner({
      catalog,
      catalogReady: Promise.resolve(),
      store,
      blobs: (rules) => blobsFor(rules, store, catalog),
      space,
      publisher,
      guards: () => undefined, // nobody is served
      isPinned: (reference) => pins?.matches(reference) === true,
      onBlobGone: () => {},
      clock,
      log,
    })
    const code = await work(pruner)
    await publisher.stop()
    return code
  } finally {
    await parts.hold.release()
  }
}

/** What the flags pick. @throws ConfigError where they pick nothing, or contradict each other */
async function rulesOf(values: CommandLineValues, nowMs: number): Promise<PruneRules> {
  const { pattern, date, olderThan, by, orphans, maxSize, keep = [], count } = values
  const picks = { '--pattern': pattern, '--date': date, '--older-than': olderThan, '--max-size': maxSize, '--count': count }
  const [first] = Object.entries(picks).find(([, value]) => value !== undefined) ?? []
  if (orphans === true && first !== undefined)
    throw new ConfigError(`--orphans: found beside ${first}, with which orphans go anyway, want one of the two`)
  if (orphans !== true && first === undefined)
    throw new ConfigError(
      'prune: found nothing that says what is to go, want --pattern, --date, --older-than, --max-size, --count or --orphans',
    )
  if (date !== undefined && olderThan !== undefined) throw new ConfigError('--older-than: found beside --date, want one of the two')
  if (by !== undefined && date === undefined && olderThan === undefined)
    throw new ConfigError('--by: found without --date or --older-than, want it with one of them')
  const patterns = pattern === undefined ? undefined : await patternsAt('--pattern', pattern)
  const kept = await Promise.all(keep.map((each) => patternsAt('--keep', each)))
  const age = ageOf(values, nowMs)
  return {
    ...(patterns && { matches: (reference) => patterns.matches(reference) }),
    ...(age && { olderThan: age }),
    ...(maxSize !== undefined && { maxBytes: maxSize }),
    ...(count !== undefined && { count }),
    ...(orphans === true && { orphansOnly: true }),
    keep: (reference) => kept.some((each) => each.matches(reference)),
  }
}

function ageOf({ date, olderThan, by }: CommandLineValues, nowMs: number): PruneRules['olderThan'] {
  if (date !== undefined) return { by: by ?? 'created', ageMs: nowMs - date }
  return olderThan === undefined ? undefined : { by: by ?? 'accessed', ageMs: olderThan }
}

/** The same, asked of the server that holds the store, if that is one and can be asked for just that. */
function adviceFor(values: CommandLineValues, nowMs: number, holder: LockHolder | undefined): string {
  const query = adminQuery(values, nowMs)
  if (holder?.admin === undefined) return 'wait until it has ended'
  if (query === undefined) return `the server prunes by one rule at a time (${holder.admin}/cmd/prune): stop it and run this again`
  const token = /^https?:\/\/(?:127\.|localhost|\[::1\])/.test(holder.admin) ? '' : ' -H "Authorization: Bearer $TOKEN"'
  return `or ask the server to do it: curl -X DELETE${token} '${holder.admin}/cmd/prune?${query}'`
}

/** Undefined for rules that the admin API cannot put together: what it would do instead is more than was asked for. */
export function adminQuery(values: CommandLineValues, nowMs: number): string | undefined {
  const { pattern, maxSize, orphans, keep = [], count = -1, dryRun } = values
  const age = ageOf(values, nowMs)
  const types = [
    ...(pattern === undefined ? [] : [{ type: 'pattern', expr: pattern }]),
    ...(age === undefined ? [] : [{ type: age.by, dur: `${Math.max(0, Math.floor(age.ageMs / 1000))}s` }]),
    ...(maxSize === undefined ? [] : [{ type: 'size', maxSize: String(maxSize) }]),
    ...(orphans === true ? [{ type: 'orphans' }] : []),
  ]
  if (types.length !== 1) return undefined
  return new URLSearchParams({
    ...types[0],
    ...(keep.length > 0 && { keep: keep.join(',') }),
    count: String(count),
    ...(dryRun === true && { dryRun: 'true' }),
  }).toString()
}

function told(error: unknown, { imagePath }: Config): unknown {
  const { name, message, code, path = imagePath } = error as NodeJS.ErrnoException
  if (name === 'PruneRefused') return new ConfigError(`cannot prune ${imagePath}: ${message}`, { cause: error })
  return code === undefined ? error : new ConfigError(`cannot prune the store ${imagePath}: ${path}: ${reasonOf(error)}`, { cause: error })
}
