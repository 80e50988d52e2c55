/** What the kernel holds of a connection on loopback: lets a reset come behind the bytes before it, instead of destroying them. */
import { readFileSync } from 'node:fs'
import type { Socket } from 'node:net'

/** Bounds the wait where the other side does not read. */
const MAX_TURNS = 2000

/** Resolves when the other side, on this machine too, has read all that was written. Where the kernel does not say (no Linux), at once. */
export async function passedOn(socket: Socket): Promise<void> {
  for (let turn = 0; turn < MAX_TURNS && heldBytes(socket) > 0; turn++) await new Promise((resolve) => setImmediate(resolve))
}

/** Bytes that wait to be sent, and bytes that wait to be read at the other end (proc_net_tcp: `tx_queue:rx_queue`). */
function heldBytes({ localPort = 0, remotePort = 0, remoteFamily }: Socket): number {
  const held = tableOf(remoteFamily).map((line) => {
    const [, local = '', remote = '', , queues = ''] = line.trim().split(/\s+/)
    const [sent = '0', received = '0'] = queues.split(':')
    if (portOf(local) === localPort && portOf(remote) === remotePort) return Number.parseInt(sent, 16)
    return portOf(local) === remotePort && portOf(remote) === localPort ? Number.parseInt(received, 16) : 0
  })
  return held.reduce((sum, bytes) => sum + bytes, 0)
}

function tableOf(family: string | undefined): string[] {
  try {
    return readFileSync(`/proc/net/tcp${family === 'IPv6' ? '6' : ''}`, 'latin1').split('\n')
  } catch {
    return []
  }
}

function portOf(address: string): number {
  return Number.parseInt(address.split(':')[1] ?? '', 16)
}
