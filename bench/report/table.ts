/** Figures become a table: ours, the others', how ours compares, and whether that is enough. */
import type { DetailLine, Details, Measure, Row, Sample } from '../measures/measure.ts'
import { type ProgramName, programNames } from '../programs/program.ts'
import type { Sizes } from '../sizes.ts'

export type Samples = Partial<Record<ProgramName, Sample>>
export type Result = { readonly measure: Measure; readonly samples: Samples }

const [ours, ...others] = programNames
const header = ['measure', ...programNames, ...others.map((name) => `of ${name}`), 'to reach', '']

export function tableOf(results: readonly Result[], sizes: Sizes): string {
  const lines = results.flatMap(({ measure, samples }) => measure.rows(sizes).map((row) => cells(row, samples)))
  const detailed = results.flatMap(({ measure: { details }, samples }) => (details === undefined ? [] : `\n${detailsOf(details, samples)}`))
  return `${markdown([header, ...lines], 2)}${detailed.join('')}`
}

/** A measure's own table: one program below the other. */
function detailsOf({ title, columns }: Details, samples: Samples): string {
  const line = ({ label, values }: DetailLine) => [label, ...columns.map(({ digits }, i) => text(values[i], digits))]
  const lines = programNames.flatMap((name) => samples[name]?.details ?? []).map(line)
  return markdown([[title, ...columns.map(({ label }) => label)], ...lines])
}

function cells(row: Row, samples: Samples): string[] {
  const figure = (name: ProgramName) => samples[name]?.figures[row.key]
  const ratio = (name: ProgramName) => divide(figure(ours), figure(name))
  return [
    row.label,
    ...programNames.map((name) => text(figure(name), row.digits)),
    ...others.map((name) => text(ratio(name), 2)),
    goalText(row),
    verdict(row, row.goal?.of === undefined ? figure(ours) : ratio(row.goal.of)),
  ]
}

/** Nothing is so many times as much as nothing. */
const divide = (a: number | undefined, b: number | undefined) => (a === undefined || b === undefined || b === 0 ? undefined : a / b)

function text(value: number | undefined, digits: number): string {
  if (value === undefined) return ''
  return value.toLocaleString('en', { minimumFractionDigits: digits, maximumFractionDigits: digits })
}

function goalText({ goal, digits }: Row): string {
  if (goal === undefined) return ''
  const { atLeast, atMost, of } = goal
  const number = (value: number) => text(value, of === undefined ? digits : 1)
  const bound = atLeast === undefined ? `at most ${number(atMost ?? Number.NaN)}` : `at least ${number(atLeast)}`
  return of === undefined ? bound : `${bound} of ${of}`
}

function verdict({ goal }: Row, reached: number | undefined): string {
  if (goal === undefined || reached === undefined) return ''
  const enough = reached >= (goal.atLeast ?? Number.NEGATIVE_INFINITY) && reached <= (goal.atMost ?? Number.POSITIVE_INFINITY)
  return enough ? 'yes' : '**no**'
}

/** Readable as it is, too: columns of equal width, numbers to the right. @param words how many columns at the end hold none */
function markdown([head = [], ...body]: readonly string[][], words = 0): string {
  const widths = head.map((_, column) => Math.max(3, ...[head, ...body].map((row) => row[column]?.length ?? 0)))
  const right = (column: number) => column > 0 && column < head.length - words
  const pad = (cell: string, column: number) => (right(column) ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0))
  const line = (row: readonly string[]) => `| ${row.map(pad).join(' | ')} |`
  const rule = widths.map((width, column) => (right(column) ? `${'-'.repeat(width - 1)}:` : '-'.repeat(width)))
  return `${[line(head), `| ${rule.join(' | ')} |`, ...body.map(line)].join('\n')}\n`
}
