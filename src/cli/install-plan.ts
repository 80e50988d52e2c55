/** What belongs to an installation under systemd: which files, with what in them, and which commands come before and after. Nothing is touched here. */
import { parseSocketAddress, type SocketAddress } from '../config/value-types.ts'
import type { SystemdTexts } from './systemd-texts.ts'

export type PlannedFile = {
  /** As on the host it is for, whatever directory that is built in. */
  readonly path: string
  readonly content: string | Uint8Array
  readonly mode: number
  /** Somebody's own, once it is there: it is neither changed nor removed. */
  readonly isTheirs?: boolean
}

export type Command = readonly [program: string, ...args: string[]]

const PROGRAM = '/usr/local/bin/ociregistry'
const SERVICE = '/etc/systemd/system/ociregistry.service'
const SOCKET = '/etc/systemd/system/ociregistry.socket'
const SYSUSERS = '/etc/sysusers.d/ociregistry.conf'
const TMPFILES = '/etc/tmpfiles.d/ociregistry.conf'
const CONFIG = '/etc/ociregistry/config.yaml'
const STORE = '/var/lib/ociregistry'
/** Where a service of systemd looks for `node`. */
export const PATH: readonly string[] = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin']
/** Where another address than the usual one lies, so that an upgrade keeps it. */
const SERVICE_ADDRESS = `${SERVICE}.d/listen.conf`
export const SOCKET_ADDRESS = `${SOCKET}.d/listen.conf`

const UNITS = ['ociregistry.service', 'ociregistry.socket'] as const

export const DEFAULT_ADDRESS: SocketAddress = { host: '127.0.0.1', port: 8080 }

/** @param listen undefined: whatever is there stays */
export function filesToInstall(texts: SystemdTexts, program: Uint8Array, listen: SocketAddress | undefined): readonly PlannedFile[] {
  const text = (path: string, content: string): PlannedFile => ({ path, content, mode: 0o644 })
  return [
    { path: PROGRAM, content: program, mode: 0o755 },
    text(SERVICE, texts.service),
    text(SOCKET, texts.socket),
    ...(listen === undefined ? [] : addressFiles(listen).map(([path, content]) => text(path, content))),
    text(SYSUSERS, texts.sysusers),
    text(TMPFILES, texts.tmpfiles),
    { ...text(CONFIG, texts.config), isTheirs: true },
  ]
}

function addressFiles(listen: SocketAddress): readonly (readonly [path: string, content: string])[] {
  return [
    [SERVICE_ADDRESS, `[Service]\nEnvironment=OCIREGISTRY_HOST=${listen.host} OCIREGISTRY_PORT=${listen.port}\n`],
    [SOCKET_ADDRESS, `[Socket]\nListenStream=\nListenStream=${formatAddress(listen)}\n`],
  ]
}

/** What `SOCKET_ADDRESS` says; undefined where that was changed by hand. */
export function addressIn(text: string): SocketAddress | undefined {
  return parseSocketAddress(/^ListenStream=(\S+)$/m.exec(text)?.[1] ?? '')
}

/** In the order in which they go. */
export const FILES_TO_REMOVE: readonly string[] = [SERVICE_ADDRESS, SOCKET_ADDRESS, SERVICE, SOCKET, SYSUSERS, TMPFILES, PROGRAM]
/** Removed where nothing of anybody else's is in them. */
export const DIRECTORIES_TO_REMOVE: readonly string[] = [`${SERVICE}.d`, `${SOCKET}.d`]
export const KEPT = `${CONFIG}, the store ${STORE} and the user ociregistry are kept`

/**
 * @param changed paths of files that are new, or not what they were
 * @param root undefined: this host
 */
export function commandsAfterInstall(changed: ReadonlySet<string>, root: string | undefined): readonly Command[] {
  if (root !== undefined) return [['systemctl', `--root=${root}`, 'enable', ...UNITS]]
  const movesSocket = changed.has(SOCKET) || changed.has(SOCKET_ADDRESS)
  const isNew = movesSocket || [PROGRAM, SERVICE, SERVICE_ADDRESS].some((path) => changed.has(path))
  return [
    ['systemd-sysusers', SYSUSERS],
    ['systemd-tmpfiles', '--create', TMPFILES],
    ['systemctl', 'daemon-reload'],
    ['systemctl', 'enable', ...UNITS],
    ...(movesSocket ? [['systemctl', 'stop', ...UNITS] as const] : []), // a socket is not moved while its service runs
    ['systemctl', 'start', 'ociregistry.socket'],
    ['systemctl', isNew ? 'restart' : 'start', 'ociregistry.service'],
  ]
}

export function commandsBeforeRemoval(root: string | undefined): readonly Command[] {
  return [root === undefined ? ['systemctl', 'disable', '--now', ...UNITS] : ['systemctl', `--root=${root}`, 'disable', ...UNITS]]
}

export function commandsAfterRemoval(root: string | undefined): readonly Command[] {
  return root === undefined ? [['systemctl', 'daemon-reload']] : []
}

/** Who reaches a server that listens there. */
export function whoReaches(address: SocketAddress): { readonly line: string; readonly isOpen: boolean } {
  const where = formatAddress(address)
  if (/^(?:127\.|::1$|localhost$)/.test(address.host)) return { line: `only this host reaches the server, at ${where}`, isOpen: false }
  return { line: `everybody who reaches ${where} can read what is cached; the admin API is for this host, or wants a token`, isOpen: true }
}

export function formatAddress({ host, port }: SocketAddress): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`
}
