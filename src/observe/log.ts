/** Log lines: text for people or JSON for machines, one line each. */
import type { Clock } from './clock.ts'
import { formatJson, formatText } from './log-format.ts'

export type LogFields = Readonly<Record<string, unknown>>
export type LogLevel = 'debug' | 'info' | 'warn' | 'error'

export type Log = {
  debug(message: string, fields?: LogFields): void
  info(message: string, fields?: LogFields): void
  warn(message: string, fields?: LogFields): void
  error(message: string, fields?: LogFields): void
  /** Whether lines of that level are written now: what is said very often is put together only then. */
  isOn(level: LogLevel): boolean
}

export type LogOptions = {
  /** The least important level that is written; read for each line. At `debug` errors come with their stacks. */
  readonly level: LogLevel
  /** Read for each line, too. */
  readonly format: 'text' | 'json'
  /** Takes whole lines, each with its line end. */
  readonly write: (line: string) => void
  readonly clock: Pick<Clock, 'now'>
}

const LEVELS: readonly LogLevel[] = ['debug', 'info', 'warn', 'error']

/** A field `bug: true` shows the stacks of errors at any level: it marks what only a programmer can mend. */
export function createLog(options: LogOptions): Log {
  const { write, clock } = options
  const timeText = lastRemembered((ms) => new Date(ms).toISOString())
  const isOn = (level: LogLevel) => LEVELS.indexOf(level) >= LEVELS.indexOf(options.level)
  const line =
    (level: LogLevel) =>
    (message: string, fields: LogFields = {}) => {
      if (!isOn(level)) return
      const toLine = options.format === 'json' ? formatJson : formatText
      write(toLine({ time: timeText(clock.now()), level, message, fields, stacks: options.level === 'debug' || fields.bug === true }))
    }
  return { debug: line('debug'), info: line('info'), warn: line('warn'), error: line('error'), isOn }
}

/** Many lines are of the same millisecond. */
function lastRemembered(textOf: (ms: number) => string): (ms: number) => string {
  let last = { ms: Number.NaN, text: '' }
  return (ms) => {
    if (ms !== last.ms) last = { ms, text: textOf(ms) }
    return last.text
  }
}
