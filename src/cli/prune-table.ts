/** What `prune` prints: tables for people, or one JSON document for programs. */
import type { PruneReport } from '../cache/prune-report.ts'
import { printable } from '../observe/printable.ts'
import { formatLocalTime } from '../store/record.ts'
import { sizeText } from '../store/size-text.ts'

export function pruneDocument(report: PruneReport): string {
  return `${printable(JSON.stringify(report))}\n`
}

export function pruneTable(report: PruneReport): string {
  const { references, manifests, blobs, stays } = report
  const goes = report.dryRun ? 'would go' : 'went'
  const [orphanManifests, orphanBlobs] = [manifests.filter(({ orphan }) => orphan), blobs.filter(({ orphan }) => orphan)]
  const sections: (readonly [title: string, rows: readonly (readonly string[])[]])[] = [
    [
      `What ${goes}:`,
      references.map(({ reference, createdMs, pulledMs, neededBy }) => [
        reference,
        'created',
        formatLocalTime(createdMs),
        'pulled',
        formatLocalTime(pulledMs),
        ...(neededBy === undefined ? [] : [`its content stays, needed by ${neededBy}`]),
      ]),
    ],
    [
      `Orphans, which no reference needs, that ${goes} too:`,
      [
        ...orphanManifests.map(({ digest, kind }) => [kind === 'index' ? 'list' : kind, digest]),
        ...orphanBlobs.map(({ digest, sizeBytes }) => ['blob', digest, sizeText(sizeBytes)]),
      ],
    ],
    ['What stays:', stays.map(({ reference, why, by }) => [reference, by === undefined ? why : `${why} by ${by}`])],
  ]
  if (report.unsure !== undefined) sections.push(['No orphan goes:', [[report.unsure]]])
  const lines = sections.flatMap(([title, rows]) => (rows.length === 0 ? [] : [title, ...aligned(rows), '']))
  return `${lines.map((line) => `${printable(line)}\n`).join('')}${resultLine(report)}`
}

export function resultLine({ dryRun, references, manifests, blobs, freedBytes }: PruneReport): string {
  const what = `${count(references.length, 'reference')}, ${count(manifests.length, 'manifest')} and ${count(blobs.length, 'blob')}`
  return dryRun ? `would remove ${what}: ${sizeText(freedBytes)} would come free\n` : `removed ${what}: ${sizeText(freedBytes)} came free\n`
}

function aligned(rows: readonly (readonly string[])[]): string[] {
  const widths: number[] = []
  for (const row of rows) for (const [i, cell] of row.entries()) widths[i] = Math.max(widths[i] ?? 0, cell.length)
  return rows.map((row) => `  ${row.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join('  ')}`.trimEnd())
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? '' : 's'}`
}
