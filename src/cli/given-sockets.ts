/** The sockets that a service manager opened for the server (sd_listen_fds(3)): which descriptor each is, and what it is for. */
import { ConfigError } from '../config/error.ts'
import { type GivenSockets, SOCKET_ROLES, type SocketRole } from '../server/sockets.ts'

/** SD_LISTEN_FDS_START: behind standard input, output and error. */
const FIRST = 3

/**
 * @param pid of this process: what another one was given, and its children inherited by mistake, is not ours
 * @throws ConfigError where it is not plain what each is for
 */
export function givenSockets(env: Readonly<Record<string, string | undefined>>, pid: number): GivenSockets {
  const { LISTEN_PID, LISTEN_FDS = '', LISTEN_FDNAMES } = env
  if (LISTEN_PID !== String(pid) || !/^\d{1,9}$/.test(LISTEN_FDS)) return {}
  const sockets: Partial<Record<SocketRole, number>> = {}
  for (const [i, name] of namesOf(Number(LISTEN_FDS), LISTEN_FDNAMES).entries()) {
    const role = roleOf(name)
    if (sockets[role] !== undefined) throw new ConfigError(`LISTEN_FDNAMES: found two sockets for ${role} (${LISTEN_FDNAMES}), want one`)
    sockets[role] = FIRST + i
  }
  return sockets
}

function namesOf(count: number, names: string | undefined): readonly string[] {
  if (count === 0) return []
  if (names === undefined && count === 1) return ['pulls']
  if (names === undefined) throw new ConfigError(`LISTEN_FDS: found ${count} sockets without names, want one, or ${WANTED}`)
  const list = names.split(':')
  if (list.length !== count)
    throw new ConfigError(`LISTEN_FDNAMES: found ${list.length} names for ${count} sockets (${names}), want one for each`)
  return list
}

/** Where no `FileDescriptorName=` says otherwise, systemd calls a socket by its unit. */
function roleOf(name: string): SocketRole {
  if (name === '' || name.endsWith('.socket')) return 'pulls'
  const role = SOCKET_ROLES.find((known) => known === name)
  if (role === undefined) throw new ConfigError(`LISTEN_FDNAMES: found "${name}", want ${WANTED}`)
  return role
}

const WANTED = `names of ${SOCKET_ROLES.join(', ')} (FileDescriptorName=)`
