/** What `check` prints: a table of settings for people, or one JSON document for programs. */
import type { EffectiveSetting } from '../config/effective.ts'
import { printable } from '../observe/printable.ts'
import { alignedLines } from './columns.ts'

export type CheckReport = {
  /** One line each: where, what was found, what is allowed. */
  readonly mistakes: readonly string[]
  readonly warnings: readonly string[]
  /** None where they could not be read. */
  readonly settings: readonly EffectiveSetting[]
}

/** One line for each setting: key, value, and where it comes from. */
export function settingsTable(settings: readonly EffectiveSetting[]): string {
  const rows = settings.map(({ key, text, from }) => [key, text === undefined || text === '' ? '-' : text, from])
  return alignedLines(rows)
    .map((line) => `${printable(line)}\n`)
    .join('')
}

/** @param withSettings whether they were asked for */
export function checkDocument({ mistakes, warnings, settings }: CheckReport, withSettings: boolean): string {
  const shown = settings.map(({ key, text = null, from, isLive }) => ({ key, value: text, from, needsRestart: !isLive }))
  return `${JSON.stringify({ ok: mistakes.length === 0, mistakes, warnings, ...(withSettings && { settings: shown }) }, null, 2)}\n`
}
