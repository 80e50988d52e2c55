/** Removing images by the admin API: its parameters as rules, and what went or would go as text. */
import { PruneRefused, type PruneReport } from '../../cache/prune-report.ts'
import type { PruneRules } from '../../cache/retention.ts'
import { digestFileName } from '../../oci/digest.ts'
import { OciError } from '../../oci/error.ts'
import { sizeText } from '../../store/size-text.ts'
import { type AdminAnswer, textOfLines } from './answer.ts'
import { patterns, shortened } from './lists.ts'
import { mistake, type Parameters } from './parameters.ts'
import type { AdminParts } from './parts.ts'

const TYPES = ['created', 'accessed', 'pattern', 'orphans', 'size'] as const
const DEFAULT_COUNT = 5
/** As Go's programs read them. */
const TRUE = ['1', 't', 'T', 'true', 'TRUE', 'True']
const FALSE = ['0', 'f', 'F', 'false', 'FALSE', 'False']

export async function prune(parameters: Parameters, { pruner, read }: AdminParts): Promise<AdminAnswer> {
  const rules = await rulesOf(parameters, read)
  const dryRun = parameters.value('dryRun', 'true or false', booleanOf) ?? false
  try {
    const report = dryRun ? await pruner.look(rules) : await pruner.prune(rules)
    return { json: report, text: () => textOf(report) }
  } catch (error) {
    if (error instanceof PruneRefused || error instanceof OciError) throw new OciError(409, 'DENIED', error.message, {}, { cause: error })
    throw error
  }
}

/** What does not belong to its type does not count, as documented ever since. */
export async function rulesOf(parameters: Parameters, read: AdminParts['read']): Promise<PruneRules> {
  const type = parameters.value('type', TYPES.join(', '), (text) => TYPES.find((known) => known === text.toLowerCase()))
  if (type === undefined) throw mistake('type', undefined, TYPES.join(', '))
  const keep = parameters.filter('keep')
  const count = countOf(parameters)
  return {
    ...(await criterionOf(type, parameters, read)),
    orphansOnly: type === 'orphans',
    ...(keep === undefined ? {} : { keep: await patterns('keep', keep, read) }),
    ...(count === undefined ? {} : { count }),
  }
}

async function criterionOf(
  type: (typeof TYPES)[number],
  parameters: Parameters,
  read: AdminParts['read'],
): Promise<Omit<PruneRules, 'orphansOnly'>> {
  const value = <T>(name: string, want: string, parse: (text: string) => T | undefined): T => {
    const found = parameters.value(name, want, parse)
    if (found === undefined) throw mistake(name, undefined, `${want}, beside type=${type}`)
    return found
  }
  switch (type) {
    case 'created':
    case 'accessed': {
      const parse = (text: string) => (text.startsWith('-') ? undefined : read.duration(text))
      return { olderThan: { by: type, ageMs: value('dur', 'a duration such as 30d, 12h or 1h30m', parse) } }
    }
    case 'pattern':
      return {
        matches: await patterns(
          'expr',
          value('expr', 'expressions, separated by commas', (text) => text || undefined),
          read,
        ),
      }
    case 'size':
      return { maxBytes: value('maxSize', 'a size such as 20GiB', read.size) }
    case 'orphans':
      return {}
  }
}

/** None at all is no wish that anybody has: 0 might stand for all as well. */
function countOf(parameters: Parameters): number | undefined {
  const want = 'a whole number from 1 on, or -1 for all'
  const count = parameters.integer('count', want) ?? DEFAULT_COUNT
  if (count === 0 || count < -1) throw mistake('count', String(count), want)
  return count === -1 ? undefined : count
}

function booleanOf(text: string): boolean | undefined {
  if (TRUE.includes(text)) return true
  return FALSE.includes(text) ? false : undefined
}

function textOf({ dryRun, references, manifests, blobs, stays, unsure, failures, freedBytes }: PruneReport): string {
  const went = dryRun ? 'would remove' : 'removed'
  const orphaned = (orphan: boolean) => (orphan ? ' (orphan)' : '')
  const lines = [
    ...references.map(({ reference, digest, neededBy }) => `${went} reference: ${shortened(reference)} ${digest}${stayingFor(neededBy)}`),
    ...manifests.map(({ digest, references: [name = '-'], orphan }) => `${went} manifest: ${shortened(name)} ${digest}${orphaned(orphan)}`),
    ...ownFirst(blobs).map(({ digest, orphan }) => `${went} blob: ${digestFileName(digest)}${orphaned(orphan)}`),
    ...stays.map(({ reference, why, by }) => `stays: ${reference} (${why}${by === undefined ? '' : ` by ${by}`})`),
    ...(unsure === undefined ? [] : [`no orphan goes: ${unsure}`]),
    ...failures.map(({ what, why }) => `not removed: ${what} (${why})`),
    `${went} ${references.length} reference(s), ${manifests.length} manifest(s), ${blobs.length} blob(s): ${sizeText(freedBytes)}`,
  ]
  return textOfLines(lines)
}

function stayingFor(neededBy: string | undefined): string {
  return neededBy === undefined ? '' : ` (its manifest stays, needed by ${neededBy})`
}

/** Orphans apart: nobody asked for those by name. */
function ownFirst(blobs: PruneReport['blobs']): PruneReport['blobs'] {
  return [...blobs.filter(({ orphan }) => !orphan), ...blobs.filter(({ orphan }) => orphan)]
}
