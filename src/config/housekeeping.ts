/** Reads what the settings say of loading, listing and removing images: expressions are compiled, and judged is what no key alone can be. */
import { readFile } from 'node:fs/promises'
import type { Platform } from '../oci/manifest.ts'
import type { AdminConfig, BudgetConfig, Config, ListConfig, LoadConfig, PruneConfig } from './config.ts'
import { reasonOf } from './errno.ts'
import { ConfigError } from './error.ts'
import { type Patterns, parsePatterns } from './expression.ts'
import type { CommandLine } from './flags.ts'
import type { Section } from './section.ts'
import { adminTable, listTable, pruneTable, type SettingValues, settings } from './settings.ts'

type File = { readonly name: string; readonly section: Section<typeof settings> }

/** Shorter ones can be guessed. */
const MIN_TOKEN_LENGTH = 16
const MIN_FREQUENCY_MS = 1000

export type Housekeeping = Pick<Config, 'prune' | 'budget' | 'pins' | 'admin' | 'load' | 'list'>

/** @throws ConfigError for the first mistake, with file, line and key */
export async function readHousekeeping(file: File, flags: Pick<CommandLine, 'values'>, host: Platform): Promise<Housekeeping> {
  const given = { ...file.section.values, ...flags.values }
  return {
    prune: await toPrune(file),
    budget: toBudget(file, given),
    pins: await toPins(file),
    admin: await toAdmin(file),
    load: toLoad(given, host),
    list: await toList(file),
  }
}

async function toPrune({ name, section }: File): Promise<PruneConfig> {
  const { values = {}, lines = {}, line = 1 } = section.values.pruneConfig ?? {}
  const at = (key: keyof typeof values) => `${name}:${lines[key] ?? line}: pruneConfig.${key}`
  const { enabled = pruneTable.enabled.default, type = pruneTable.type.default, expr } = values
  const { duration = pruneTable.duration.default, frequency = pruneTable.frequency.default, count = pruneTable.count.default } = values
  const patterns = expr === undefined || type !== 'pattern' ? undefined : await patternsAt(at('expr'), expr)
  if (enabled) {
    if (type === 'pattern' && patterns === undefined)
      throw new ConfigError(`${at('expr')}: found nothing beside type pattern, want expressions`)
    if (type !== 'pattern' && duration < 0) throw new ConfigError(`${at('duration')}: found less than nothing, want an age such as 30d`)
    if (frequency < MIN_FREQUENCY_MS) throw new ConfigError(`${at('frequency')}: found less than 1s, want a duration such as 1d`)
  }
  return {
    enabled,
    type,
    durationMs: duration,
    patterns,
    frequencyMs: frequency,
    count: count > 0 ? count : undefined,
    dryRun: values.dryRun === true || values.dryrun === true,
  }
}

function toBudget({ name, section: { lines } }: File, given: SettingValues): BudgetConfig {
  const { maxSize, highWatermark = settings.highWatermark.default, lowWatermark = settings.lowWatermark.default } = given
  if (lowWatermark > highWatermark) {
    const [key, line] = lines.lowWatermark === undefined ? ['highWatermark', lines.highWatermark] : ['lowWatermark', lines.lowWatermark]
    throw new ConfigError(
      `${name}:${line}: ${key}: found a low watermark of ${lowWatermark}% above the high one of ${highWatermark}%, want it below`,
    )
  }
  const partOf = (percent: number) => Math.floor(((maxSize ?? 0) / 100) * percent)
  return { maxBytes: maxSize, highBytes: partOf(highWatermark), lowBytes: partOf(lowWatermark) }
}

async function toPins({ name, section: { values, lines } }: File): Promise<Patterns | undefined> {
  const pins = await Promise.all((values.pins ?? []).map((pin, i) => patternsAt(`${name}:${lines.pins}: pins[${i}]`, pin)))
  if (pins.length === 0) return undefined
  return { source: pins.map(({ source }) => source).join(','), matches: (text) => pins.some((pin) => pin.matches(text)) }
}

/** The token is read for each request that needs it; here only whether there is one. */
async function toAdmin({ name, section }: File): Promise<AdminConfig> {
  const { values: { tokenFile, port = adminTable.port.default } = {}, lines = {} } = section.values.admin ?? {}
  if (tokenFile !== undefined) {
    const at = `${name}:${lines.tokenFile}: admin.tokenFile`
    const text = await readFile(tokenFile, 'utf8').catch((cause: unknown) => {
      throw new ConfigError(`${at}: cannot read ${tokenFile}: ${reasonOf(cause)}, want a readable file`, { cause })
    })
    if (text.trim().length < MIN_TOKEN_LENGTH)
      throw new ConfigError(`${at}: found a token of ${text.trim().length} characters in ${tokenFile}, want at least ${MIN_TOKEN_LENGTH}`)
  }
  return { tokenFile, port }
}

function toLoad(given: SettingValues, host: Platform): LoadConfig {
  const { preloadImages, imageFile, platforms = [{ os: given.os ?? host.os, architecture: given.arch ?? host.architecture }] } = given
  return {
    preloadImages,
    imageFile,
    platforms: platforms.includes('all') ? 'all' : platforms.filter((platform) => platform !== 'all'),
    referrers: given.referrers ?? settings.referrers.default,
    concurrency: given.concurrency ?? settings.concurrency.default,
  }
}

async function toList({ name, section }: File): Promise<ListConfig> {
  const { values = {}, lines = {} } = section.values.listConfig ?? {}
  const { expr, header = listTable.header.default, shortDigest = listTable.shortDigest.default } = values
  return {
    header,
    shortDigest,
    patterns: expr === undefined ? undefined : await patternsAt(`${name}:${lines.expr}: listConfig.expr`, expr),
  }
}

/** @param at where it stands: a flag, or file, line and key. @throws ConfigError */
export async function patternsAt(at: string, source: string): Promise<Patterns> {
  try {
    return await parsePatterns(source)
  } catch (cause) {
    throw new ConfigError(`${at}: found ${(cause as Error).message}, want Go's regular expressions, separated by commas`, { cause })
  }
}
