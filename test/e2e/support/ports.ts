/** Free TCP ports on the loopback address. */
import { randomInt } from 'node:crypto'
import { createServer } from 'node:net'

/** Below the range from which Linux takes the ports of outgoing connections, so that nobody takes it between this look and its use. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(12_000, 32_000)
    if (await isFree(port)) return port
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}
