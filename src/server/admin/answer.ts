/** What an operation of the admin API answers: the same for people as text, and for programs as JSON. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { printable } from '../../observe/printable.ts'
import { type HeaderList, writeBody } from '../respond.ts'

export type AdminAnswer = {
  /** Default: 200. */
  readonly status?: number
  readonly json: unknown
  /** Made when it is asked for. */
  readonly text: () => string
}

/** Lines as text, each on one line, whatever registries have put into it. */
export function textOfLines(lines: readonly string[]): string {
  return lines.map((line) => `${printable(line)}\n`).join('')
}

/** @param headers of every answer to that request */
export function writeAnswer(
  req: IncomingMessage,
  res: ServerResponse,
  headers: HeaderList,
  { status = 200, json, text }: AdminAnswer,
): void {
  if (prefersJson(req.headers.accept)) writeBody(res, status, [...headers, 'content-type', 'application/json'], `${JSON.stringify(json)}\n`)
  else writeBody(res, status, [...headers, 'content-type', 'text/plain; charset=utf-8'], text())
}

/** Whether an `Accept` (RFC 9110 12.5.1) names JSON, and nothing that fits text and comes before it or weighs more. */
export function prefersJson(accept: string | undefined): boolean {
  const ranges = (accept ?? '').toLowerCase().split(',').map(parseRange)
  const best = (types: readonly string[]) => {
    const fitting = ranges.map(({ type, weight }, i) => ({ fits: types.includes(type), weight, i })).filter(({ fits }) => fits)
    return fitting.sort((a, b) => b.weight - a.weight || a.i - b.i)[0]
  }
  const [json, text] = [best(['application/json']), best(['text/plain', 'text/*', '*/*'])]
  if (json === undefined || json.weight === 0) return false
  return text === undefined || json.weight > text.weight || (json.weight === text.weight && json.i < text.i)
}

function parseRange(range: string): { readonly type: string; readonly weight: number } {
  const [type = '', ...parameters] = range.split(';').map((part) => part.trim())
  const q = parameters.find((parameter) => parameter.startsWith('q='))
  return { type, weight: q === undefined ? 1 : Number(q.slice(2)) || 0 }
}
