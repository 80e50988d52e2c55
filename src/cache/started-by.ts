/** The log of what a request began, and others may have joined: each line names that request. */
import type { Log, LogFields, LogLevel } from '../observe/log.ts'

/** @param startedBy the id of the request; undefined where none began it */
export function logOf(log: Log, startedBy: string | undefined): Log {
  if (startedBy === undefined) return log
  const line = (level: LogLevel) => (message: string, fields?: LogFields) => log[level](message, { ...fields, startedBy })
  return { debug: line('debug'), info: line('info'), warn: line('warn'), error: line('error'), isOn: (level) => log.isOn(level) }
}
