/**
 * Tells the service manager how the service is (sd_notify(3)). Node cannot send what its socket takes, a datagram, so that `systemd-notify` does. Where
 * nobody asks to be told, nothing is started.
 */
import { execFile } from 'node:child_process'
import { printable } from './printable.ts'

/** Longer than a manager that is busy needs; nothing waits for it but the end, and what is told after it. */
const TELL_MS = 5_000
/** More than people read in one line; the log has all of it. */
const LONGEST_STATUS = 500

export type ServiceManager = {
  /** It has started, or a reload is over. @param status one line for people */
  ready(status: string): Promise<void>
  /** From now on until `ready`. */
  reloading(status: string): Promise<void>
  /** Nothing is told after it. @param withinMs how long it may take to end */
  stopping(status: string, withinMs: number): Promise<void>
}

export type NotifyOptions = {
  readonly env: Readonly<Record<string, string | undefined>>
  /** It is not told: the service runs all the same. */
  readonly onFailure: (why: string) => void
}

/** Its promises resolve when it was told, and never reject. It is told one thing after the other: a reload that seems to begin last would never end. */
export function serviceManager({ env, onFailure }: NotifyOptions): ServiceManager {
  let last = Promise.resolve()
  let isStopping = false
  const tell = (...state: string[]) => {
    if (env.NOTIFY_SOCKET && !isStopping) last = last.then(() => notify(state, env, onFailure))
    return last
  }
  return {
    ready: (status) => tell('READY=1', statusLine(status)),
    reloading: (status) => tell('RELOADING=1', `MONOTONIC_USEC=${monotonicUs()}`, statusLine(status)),
    stopping: (status, withinMs) => {
      const told = tell('STOPPING=1', statusLine(status), `EXTEND_TIMEOUT_USEC=${withinMs * 1000}`)
      isStopping = true
      return told
    },
  }
}

/** Whatever a mistake quotes: an argument of 128 KiB starts no program. */
function statusLine(status: string): string {
  return `STATUS=${printable(status.length > LONGEST_STATUS ? `${status.slice(0, LONGEST_STATUS)}…` : status)}`
}

/** As the manager reads it: CLOCK_MONOTONIC, which no other clock of Node is. */
function monotonicUs(): bigint {
  return process.hrtime.bigint() / 1000n
}

/** One message with all of them. */
function notify(state: readonly string[], env: NodeJS.ProcessEnv, onFailure: NotifyOptions['onFailure']): Promise<void> {
  return new Promise((resolve) => {
    const onEnd = (error: Error | null) => {
      if (error !== null) onFailure(`cannot tell the service manager ${state[0]}: ${error.message.split('\n', 1)[0]}`)
      resolve()
    }
    try {
      execFile('systemd-notify', state, { env, timeout: TELL_MS }, onEnd)
    } catch (error) {
      onEnd(error as Error) // most failures to start it are told there, some are thrown here
    }
  })
}
