/** A log that keeps its lines for a test to look at. */
import type { Log, LogFields, LogLevel } from '../../src/observe/log.ts'

export type LogLine = { readonly level: LogLevel; readonly message: string; readonly fields: LogFields }

export class MemoryLog implements Log {
  readonly lines: LogLine[] = []

  debug(message: string, fields: LogFields = {}): void {
    this.lines.push({ level: 'debug', message, fields })
  }
  info(message: string, fields: LogFields = {}): void {
    this.lines.push({ level: 'info', message, fields })
  }
  warn(message: string, fields: LogFields = {}): void {
    this.lines.push({ level: 'warn', message, fields })
  }
  error(message: string, fields: LogFields = {}): void {
    this.lines.push({ level: 'error', message, fields })
  }
  isOn(): boolean {
    return true
  }
}
