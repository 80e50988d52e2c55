/** Why the service did not start, in one line that says what to do about it. */
import type { Config } from '../config/config.ts'
import { reasonOf } from '../config/errno.ts'
import { hostInUrl } from './banner.ts'

const PORT_FAILURES: Readonly<Record<string, string>> = {
  EADDRINUSE: 'the port is in use by another program; choose another with --port',
  EACCES: 'this user may not listen on that port; choose one from 1024 with --port',
  EADDRNOTAVAIL: 'this machine has no such address; choose another with --host',
  EAI_AGAIN: 'the name cannot be looked up now; choose an address with --host',
  ENOTFOUND: 'there is no such host name; choose another with --host',
}
const STORE_FAILURES: ReadonlySet<string> = new Set([
  'EACCES',
  'EEXIST',
  'EISDIR',
  'ELOOP',
  'ENAMETOOLONG',
  'ENOENT',
  'ENOSPC',
  'ENOTDIR',
  'EPERM',
  'EROFS',
])

/** Its address is null where a descriptor was to be listened on. */
type SystemError = NodeJS.ErrnoException & { readonly address?: string | null; readonly port?: number }

/** @param error as `startService` rejects: of the system, or with a message that says it all */
export function describeStartFailure(error: unknown, config: Config, uid: number): string {
  const { host, port, imagePath } = config
  const { code = '', message, path, address } = error as SystemError
  const portFailure = isAboutPort(error as SystemError) ? PORT_FAILURES[code] : undefined
  if (portFailure !== undefined) {
    const side = sidePortOf((error as SystemError).port, config)
    return `cannot listen on ${hostInUrl(host)}:${side?.port ?? port}: ${portFailure.replace('--port', side?.setting ?? '--port')}`
  }
  if (!STORE_FAILURES.has(code)) return String(message).split('\n', 1)[0] ?? ''
  return `cannot use ${path ?? address ?? imagePath} for the store: ${reasonOf(error)} (uid ${uid}); choose another directory with --image-path`
}

/** Undefined for the port of pulls. */
function sidePortOf(failed: number | undefined, { port, health, metrics, admin }: Config) {
  const sides = [
    { port: health, setting: '--health' },
    { port: metrics, setting: '--metrics' },
    { port: admin.port, setting: 'admin.port' },
  ]
  return sides.find((side) => side.port !== 0 && side.port !== port && side.port === failed)
}

/** The store's lock is a socket, too: its address is a path. */
function isAboutPort({ code = '', syscall = '', address }: SystemError): boolean {
  return !address?.startsWith('/') && (/^(?:listen|bind|getaddrinfo)$/.test(syscall) || code.startsWith('EADDR'))
}
