/** What `verify` prints: a table for people, or one JSON document for programs. */
import type { CheckReport, Finding } from '../cache/store-check.ts'
import { printable } from '../observe/printable.ts'
import { sizeText } from '../store/size-text.ts'
import type { Amount } from '../store/store-files.ts'
import { alignedLines } from './columns.ts'

/** `quarantined`: out of the way, and nothing that is stored needs it. */
export type Outcome = { readonly is: 'mended' | 'quarantined' } | { readonly is: 'remains'; readonly why: string }

export type VerifyReport = {
  /** Its directory. */
  readonly store: string
  readonly check: CheckReport
  /** What came of what is wrong, after a repair. */
  readonly outcomes?: ReadonlyMap<Finding, Outcome>
}

const REFERENCES_SHOWN = 3

/** Whether nothing is wrong, or nothing wrong remains. */
export function isSound(report: VerifyReport): boolean {
  return report.check.findings.every((finding) => !remainsWrong(report, finding))
}

/** Whether nothing is missing of any image whose manifest is stored. Not after a repair, which may bring other manifests. */
export function isComplete({ check }: VerifyReport): boolean {
  return check.findings.every(({ verdict }) => verdict !== 'incomplete')
}

export function verifyTable(report: VerifyReport): string {
  const { store, check, outcomes } = report
  const { blobs, records, references } = check.checked
  const wrong = check.findings.filter(({ verdict }) => verdict === 'wrong').length
  const remaining = check.findings.filter((finding) => remainsWrong(report, finding)).length
  const totals = [
    `checked ${store}: ${count(blobs.files, 'blob')} (${sizeText(blobs.bytes)}), ${count(records.files, 'record')}, ${count(references.files, 'reference')}`,
    `images: ${check.images.complete} complete, ${check.images.incomplete} incomplete`,
    `not checked: ${amount('pulls/', check.spool)}, ${amount('quarantine/', check.quarantine)}`,
    outcomes === undefined ? `wrong: ${wrong}` : `wrong: ${wrong} found, ${wrong - remaining} no longer, ${remaining} remaining`,
  ]
  return [...rowsOf(report), ...totals, ...adviceOn(report, remaining)].map((line) => `${printable(line)}\n`).join('')
}

function adviceOn({ check, outcomes }: VerifyReport, remaining: number): string[] {
  const mend =
    'to mend what is wrong: stop the server and run ociregistry verify --repair, or remove the files while it runs: they are fetched again'
  const complete = 'incomplete images are completed by ociregistry load, or when they are pulled from the server'
  return [
    ...(remaining > 0 && outcomes === undefined ? [mend] : []),
    ...(check.findings.some(({ verdict }) => verdict === 'incomplete') ? [complete] : []),
  ]
}

export function verifyDocument(report: VerifyReport): string {
  const { store, check, outcomes } = report
  const { findings, ...numbers } = check
  const document = {
    store,
    ...numbers,
    wrong: findings.filter((finding) => remainsWrong(report, finding)).length,
    findings: findings.map((finding) => ({
      verdict: finding.verdict,
      kind: finding.kind,
      digest: finding.kind === 'reference' ? undefined : finding.digest,
      path: finding.path,
      references: finding.references,
      why: finding.why,
      outcome: outcomes?.get(finding),
    })),
  }
  return `${printable(JSON.stringify(document))}\n`
}

function remainsWrong({ outcomes }: VerifyReport, finding: Finding): boolean {
  return finding.verdict === 'wrong' && (outcomes?.get(finding)?.is ?? 'remains') === 'remains'
}

function rowsOf({ check: { findings }, outcomes }: VerifyReport): string[] {
  if (findings.length === 0) return []
  const rows = findings.map((finding) => [
    finding.kind,
    nameOf(finding),
    referencesOf(finding),
    whatIsWrong(finding, outcomes?.get(finding)),
  ])
  const table = [['KIND', 'NAME', 'REFERENCES', 'WHAT IS WRONG'], ...rows]
  return [...alignedLines(table), '']
}

/** The file, where its name is not what it is known by. */
function nameOf({ kind, digest, path }: Finding): string {
  return kind === 'reference' ? path : digest
}

function referencesOf({ references }: Finding): string {
  const more = references.length - REFERENCES_SHOWN
  return [...references.slice(0, REFERENCES_SHOWN), ...(more > 0 ? [`and ${more} more`] : [])].join(', ') || '-'
}

function whatIsWrong({ verdict, why }: Finding, outcome: Outcome | undefined): string {
  const what = verdict === 'wrong' ? why : `${verdict === 'unused' ? 'not wrong, but not served' : 'incomplete'}: ${why}`
  if (outcome === undefined) return what
  return outcome.is === 'remains' ? `${what}; not mended: ${outcome.why}` : `${what}; ${outcome.is}`
}

function amount(where: string, { files, bytes }: Amount): string {
  return `${count(files, 'file')} in ${where}${files === 0 ? '' : ` (${sizeText(bytes)})`}`
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? '' : 's'}`
}
