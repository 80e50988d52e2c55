/**
 * Tells the service manager how the service is (sd_notify(3)). Node cannot send what its socket takes, a datagram, so that `systemd-notify` does. Where
 * nobody asks to be told, nothing is started.
 */
import { execFile } from 'node:child_process'

/** Longer than a manager that is busy needs; nothing waits for it but the end. */
const TELL_MS = 5_000

export type ServiceManager = {
  /** @param status one line for people */
  ready(status: string): Promise<void>
  /** @param withinMs how long it may take to end */
  stopping(status: string, withinMs: number): Promise<void>
}

export type NotifyOptions = {
  readonly env: Readonly<Record<string, string | undefined>>
  /** It is not told: the service runs all the same. */
  readonly onFailure: (why: string) => void
}

/** Its promises resolve when it was told, and never reject. */
export function serviceManager({ env, onFailure }: NotifyOptions): ServiceManager {
  const tell = (...state: string[]) => (env.NOTIFY_SOCKET ? notify(state, env, onFailure) : Promise.resolve())
  return {
    ready: (status) => tell('READY=1', `STATUS=${status}`),
    stopping: (status, withinMs) => tell('STOPPING=1', `STATUS=${status}`, `EXTEND_TIMEOUT_USEC=${withinMs * 1000}`),
  }
}

/** One message with all of them. */
function notify(state: readonly string[], env: NodeJS.ProcessEnv, onFailure: NotifyOptions['onFailure']): Promise<void> {
  return new Promise((resolve) => {
    execFile('systemd-notify', state, { env, timeout: TELL_MS }, (error) => {
      if (error !== null) onFailure(`cannot tell the service manager ${state[0]}: ${error.message.split('\n', 1)[0]}`)
      resolve()
    })
  })
}
