/** Who comes from this address is a client like any other: to a server this host is one of its own only by loopback. */
import { networkInterfaces } from 'node:os'

/** An address of this machine that is not loopback; undefined where it has none. */
export const outside = Object.values(networkInterfaces())
  .flatMap((list) => list ?? [])
  .find(({ internal, family }) => !internal && family === 'IPv4')?.address

/** Of tests that need it. */
export const NEEDS_OUTSIDE = { skip: outside === undefined && 'privilege: this machine has no address but loopback' }
