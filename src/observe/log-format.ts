/** How one log line is written, as text or as JSON. Whatever the values hold, it stays one line, and no value can pass for two. */
import type { LogFields, LogLevel } from './log.ts'
import { printable } from './printable.ts'

export type LogEntry = {
  /** As ISO 8601 has it. */
  readonly time: string
  readonly level: LogLevel
  readonly message: string
  readonly fields: LogFields
  /** Whether errors are shown with their stacks. */
  readonly stacks: boolean
}

/** Of one width. */
const LEVEL_TEXTS: Readonly<Record<LogLevel, string>> = { debug: 'DEBUG', info: 'INFO ', warn: 'WARN ', error: 'ERROR' }

/** `2026-11-20T21:00:00.123Z INFO  message key=value …` */
export function formatText({ time, level, message, fields, stacks }: LogEntry): string {
  let line = `${time} ${LEVEL_TEXTS[level]} ${message}`
  for (const key in fields) {
    const value = fields[key]
    if (value !== undefined) line += ` ${key}=${typeof value === 'number' ? value : textOf(value, stacks)}`
  }
  return `${printable(line)}\n`
}

/** One JSON object; the names `time`, `level` and `msg` are the line's own. */
export function formatJson({ time, level, message, fields, stacks }: LogEntry): string {
  const own = { time, level, msg: message }
  return `${printable(stringify({ ...own, ...fields, ...own }, stacks))}\n`
}

/** The message of an error and of what caused it. */
export function messageOf(error: Error): string {
  const { message, name, cause } = error
  const own = message !== '' ? message : ((error as NodeJS.ErrnoException).code ?? name)
  const causes = cause instanceof Error ? messageOf(cause) : ''
  const unsaid = causes.split(': ').filter((part) => !own.includes(part))
  return [own, ...unsaid].join(': ')
}

/** Words, names, addresses, digests: needs no closer look. */
const PLAIN = /^[\w.:/@;+-]+$/

function textOf(value: unknown, stacks: boolean): string {
  const text = plainText(value, stacks)
  if (PLAIN.test(text)) return text
  return /^[^\s"=\\\p{Cc}]+$/u.test(text) ? text : JSON.stringify(text)
}

function plainText(value: unknown, stacks: boolean): string {
  if (typeof value === 'string') return value
  if (value instanceof Error) return stacks ? stackOf(value) : messageOf(value)
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? 'Invalid Date' : value.toISOString()
  return typeof value === 'object' && value !== null ? stringify(value, stacks) : String(value)
}

/** JSON of anything: a log line must not fail. */
function stringify(value: object, stacks: boolean): string {
  try {
    return JSON.stringify(value, (_, part: unknown) => toJson(part, stacks))
  } catch (error) {
    return JSON.stringify({ unprintable: String(error) })
  }
}

function toJson(part: unknown, stacks: boolean): unknown {
  if (typeof part === 'bigint') return String(part)
  if (!(part instanceof Error)) return part
  const { code } = part as NodeJS.ErrnoException
  return { message: messageOf(part), code, stack: stacks ? stackOf(part) : undefined }
}

function stackOf(error: Error): string {
  const own = error.stack ?? messageOf(error)
  return error.cause instanceof Error ? `${own}\ncaused by ${stackOf(error.cause)}` : own
}
