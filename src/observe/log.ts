/** Log lines: text for people or JSON for machines, one line each, to stderr or a file. */
import { closeSync, openSync, writeSync } from 'node:fs'
import type { Clock } from './clock.ts'
import { formatJson, formatText } from './log-format.ts'

export type LogFields = Readonly<Record<string, unknown>>
export type LogLevel = 'debug' | 'info' | 'warn' | 'error'

export type Log = {
  debug(message: string, fields?: LogFields): void
  info(message: string, fields?: LogFields): void
  warn(message: string, fields?: LogFields): void
  error(message: string, fields?: LogFields): void
}

export type LogOptions = {
  /** The least important level that is written; read for each line. At `debug` errors come with their stacks. */
  readonly level: LogLevel
  readonly format: 'text' | 'json'
  /** Takes whole lines, each with its line end. */
  readonly write: (line: string) => void
  readonly clock: Pick<Clock, 'now'>
}

const LEVELS: readonly LogLevel[] = ['debug', 'info', 'warn', 'error']

/** A field `bug: true` shows the stacks of errors at any level: it marks what only a programmer can mend. */
export function createLog(options: LogOptions): Log {
  const { format, write, clock } = options
  const toLine = format === 'json' ? formatJson : formatText
  const line = (level: LogLevel) => {
    const rank = LEVELS.indexOf(level)
    return (message: string, fields: LogFields = {}) => {
      const least = options.level
      if (rank < LEVELS.indexOf(least)) return
      write(toLine({ time: clock.now(), level, message, fields, stacks: least === 'debug' || fields.bug === true }))
    }
  }
  return { debug: line('debug'), info: line('info'), warn: line('warn'), error: line('error') }
}

export type LogOutput = {
  readonly write: (line: string) => void
  /** Goes on in the file that has the name now: what had it before may have been moved away. @throws the system's error; then the old one goes on */
  readonly reopen: () => void
  readonly close: () => void
}

/**
 * Opens a log file for appending, mode 0644. Lines that cannot be written (disk full) are lost, or cut: serving goes on, and the next one begins on a
 * line of its own.
 * @throws the system's error if the file cannot be opened
 */
export function openLogOutput(file: string): LogOutput {
  const open = () => openSync(file, 'a', 0o644)
  let fd = open()
  let isCut = false
  const withoutFail = (work: () => void) => {
    try {
      work()
    } catch {
      // nowhere left to say so
    }
  }
  return {
    write: (line) =>
      withoutFail(() => {
        const text = isCut ? `\n${line}` : line
        isCut = writeSync(fd, text) < Buffer.byteLength(text)
      }),
    reopen: () => {
      const next = open()
      withoutFail(() => closeSync(fd))
      fd = next
      isCut = false
    },
    close: () => withoutFail(() => closeSync(fd)),
  }
}
