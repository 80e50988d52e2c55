/** What a person at a terminal sees while images are loaded: numbers in, lines out. */
import type { Amounts, LoadPhase } from '../cache/image-progress.ts'
import { printable } from '../observe/printable.ts'
import { sizeText } from '../store/size-text.ts'
import { alignedLines } from './columns.ts'

export type LoadRow = Amounts & {
  readonly name: string
  readonly phase: LoadPhase
  readonly bytesPerSecond: number | undefined
}

export type LoadView = Amounts & {
  /** Those that are being loaded. */
  readonly rows: readonly LoadRow[]
  readonly images: { readonly all: number; readonly over: number; readonly failed: number }
  readonly bytesPerSecond: number | undefined
}

const PHASES: Readonly<Record<LoadPhase, string>> = {
  waiting: 'waiting',
  manifests: 'manifests',
  blobs: '',
  referrers: 'referrers',
  retrying: 'waiting for the registry',
  over: '',
}
/** More would push the last line out of sight. */
const MOST_ROWS = 16

/** One line for each image that is being loaded, and one for all; none is longer than the terminal is wide. */
export function viewLines(view: LoadView, columns: number): readonly string[] {
  const { rows, images } = view
  const shown = alignedLines(rows.slice(0, MOST_ROWS).map((row) => [row.name, amountText(row), paceText(row), PHASES[row.phase]]))
  const hidden = rows.length > MOST_ROWS ? [`and ${rows.length - MOST_ROWS} more`] : []
  const failed = images.failed === 0 ? '' : `, ${images.failed} failed`
  const total = [`${images.over} of ${images.all} images${failed}`, amountText(view), paceText(view)]
    .filter((part) => part !== '')
    .join('; ')
  return [...shown, ...hidden, total].map((line) => cut(printable(line), columns))
}

function amountText({ totalBytes, presentBytes, fetchedBytes }: Amounts): string {
  const doneBytes = presentBytes + fetchedBytes
  return totalBytes === 0 ? '' : `${sizeText(doneBytes)} of ${sizeText(totalBytes)} (${Math.floor((doneBytes / totalBytes) * 100)}%)`
}

function paceText({
  bytesPerSecond,
  totalBytes,
  presentBytes,
  fetchedBytes,
}: Amounts & { readonly bytesPerSecond: number | undefined }): string {
  if (bytesPerSecond === undefined || bytesPerSecond < 1) return ''
  const leftBytes = totalBytes - presentBytes - fetchedBytes
  return `${sizeText(Math.round(bytesPerSecond))}/s, ${timeText(leftBytes / bytesPerSecond)} left`
}

/** `0:07`, `12:30`, `3:05:00`. */
export function timeText(seconds: number): string {
  const whole = Math.ceil(seconds)
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60]
  const two = (part: number) => String(part).padStart(2, '0')
  return hours > 0 ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`
}

/** In its last column a terminal may begin a new line. */
function cut(line: string, columns: number): string {
  const chars = [...line]
  return chars.length < columns ? line : `${chars.slice(0, Math.max(0, columns - 2)).join('')}…`
}
