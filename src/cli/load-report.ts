/** What `load` prints in the end: a table for people, or one JSON document for programs. */
import type { Amounts, ImageProgress, LoadResult } from '../cache/image-progress.ts'
import { printable } from '../observe/printable.ts'
import type { ImageOfList } from '../server/image-files.ts'
import { sizeText } from '../store/size-text.ts'
import { alignedLines } from './columns.ts'

export type LoadReport = {
  /** Its directory. */
  readonly store: string
  readonly images: readonly { readonly item: ImageOfList; readonly progress: ImageProgress }[]
  /** What images share is counted once. */
  readonly amounts: Amounts
}

type Outcome = LoadResult['is']

const WORDS: Readonly<Record<Outcome, string>> = { loaded: 'loaded', complete: 'complete', failed: 'failed', stopped: 'not loaded' }

/** Whether all that was listed is there. */
export function isLoaded({ images }: LoadReport): boolean {
  return images.every(({ progress: { result } }) => result?.is === 'loaded' || result?.is === 'complete')
}

export function loadTable(report: LoadReport): string {
  const rows = report.images.map(({ item, progress }) => [
    progress.name,
    WORDS[outcomeOf(progress)],
    ...sizesOf(progress),
    remarksOn(item, progress),
  ])
  const table = rows.length === 0 ? [] : [...alignedLines([['IMAGE', 'RESULT', 'SIZE', 'FETCHED', 'REMARKS'], ...rows]), '']
  const advice = isLoaded(report) ? [] : ['run it again to load the rest: what is complete stays, and downloads go on where they stopped']
  return [...table, totals(report), ...advice].map((line) => `${printable(line)}\n`).join('')
}

export function loadDocument(report: LoadReport): string {
  const { store, images, amounts } = report
  const document = {
    store,
    ...countsOf(report),
    ...amounts,
    images: images.map(({ item: { list, line }, progress }) => {
      const { warnings = [], ...result } = progress.result ?? { is: 'stopped' }
      const { is, ...more } = result
      return { image: progress.name, list, line, result: is, ...more, warnings, ...progress.amounts() }
    }),
  }
  return `${printable(JSON.stringify(document))}\n`
}

/** One line for an image that is over. */
export function resultLine(progress: ImageProgress): string {
  const { result } = progress
  const { fetchedBytes } = progress.amounts()
  const more = result?.is === 'failed' ? `: ${result.why}` : result?.is === 'loaded' ? ` (${sizeText(fetchedBytes)} fetched)` : ''
  return `${printable(`${WORDS[outcomeOf(progress)]}: ${progress.name}${more}`)}\n`
}

function totals(report: LoadReport): string {
  const { loaded, complete, failed, stopped } = countsOf(report)
  const { fetchedBytes, presentBytes } = report.amounts
  const others = [failed > 0 ? `, ${failed} failed` : '', stopped > 0 ? `, ${stopped} not loaded` : ''].join('')
  return `images: ${loaded} loaded, ${complete} complete before${others}; ${sizeText(fetchedBytes)} fetched, ${sizeText(presentBytes)} were there`
}

function countsOf({ images }: LoadReport): Readonly<Record<Outcome, number>> {
  const counts = { loaded: 0, complete: 0, failed: 0, stopped: 0 }
  for (const { progress } of images) counts[outcomeOf(progress)]++
  return counts
}

function outcomeOf({ result }: ImageProgress): Outcome {
  return result?.is ?? 'stopped'
}

function sizesOf(progress: ImageProgress): readonly [size: string, fetched: string] {
  const { totalBytes, fetchedBytes } = progress.amounts()
  return totalBytes === 0 ? ['-', '-'] : [sizeText(totalBytes), fetchedBytes === 0 ? '-' : sizeText(fetchedBytes)]
}

/** Where it is listed, if that is of use. */
function remarksOn({ list, line }: ImageOfList, { result }: ImageProgress): string {
  const failure = result?.is === 'failed' ? [`${result.why} (${list}:${line})`] : []
  return [...failure, ...(result?.warnings ?? []).map((warning) => `warning: ${warning}`)].join('; ')
}
