/** The socket that a service manager opened for the server (sd_listen_fds(3)): which descriptor it is, if there is one. */
import { ConfigError } from '../config/error.ts'

/** SD_LISTEN_FDS_START: behind standard input, output and error. */
const FIRST = 3

/**
 * @param pid of this process: what another one was given, and its children inherited by mistake, is not ours
 * @throws ConfigError for more than one: there is no telling what the others are for
 */
export function givenSocket(env: Readonly<Record<string, string | undefined>>, pid: number): number | undefined {
  const { LISTEN_PID, LISTEN_FDS = '', LISTEN_FDNAMES } = env
  if (LISTEN_PID !== String(pid) || !/^\d{1,9}$/.test(LISTEN_FDS)) return undefined
  const count = Number(LISTEN_FDS)
  if (count > 1) {
    const names = LISTEN_FDNAMES === undefined ? '' : ` (${LISTEN_FDNAMES.replaceAll(':', ', ')})`
    throw new ConfigError(`LISTEN_FDS: found ${count} sockets from the service manager${names}, want one: that of pulls`)
  }
  return count === 0 ? undefined : FIRST
}
