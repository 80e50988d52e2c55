/** Sockets that somebody else opened, and keeps open when this server stops: what each is for, and what people call it. */
import type { AddressInfo } from 'node:net'

/** `pulls` is where everything is answered that has no port and no socket of its own. */
export const SOCKET_ROLES = ['pulls', 'health', 'metrics', 'admin'] as const
export type SocketRole = (typeof SOCKET_ROLES)[number]

/** Descriptors of sockets that listen. */
export type GivenSockets = Readonly<Partial<Record<SocketRole, number>>>

/** For people. @param address undefined for a Unix socket, whose path nobody says */
export function socketText(address: AddressInfo | undefined, scheme: 'http' | 'https'): string {
  if (address === undefined) return 'a Unix socket'
  const { address: ip, family, port } = address
  return `${scheme}://${family === 'IPv6' ? `[${ip}]` : ip}:${port}`
}
