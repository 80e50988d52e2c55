/** The port of `/health`: plain HTTP, apart from the pull API, so that who watches over the server needs nothing of what clients need. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { Log } from '../observe/log.ts'

export class HealthListener {
  readonly #server
  readonly #log: Log

  /** @param answer never rejects */
  constructor(answer: (req: IncomingMessage, res: ServerResponse) => Promise<void>, log: Log) {
    this.#log = log
    this.#server = createServer((req, res) => void answer(req, res))
  }

  /** @throws the system's error */
  start(host: string, port: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen({ host, port }, () => {
        this.#server.off('error', reject)
        this.#server.on('error', (error) => this.#log.error('health port failed', { error }))
        resolve()
      })
    })
  }

  /** At once: nobody is in the middle of anything. */
  stop(): Promise<void> {
    return new Promise((resolve) => {
      this.#server.close(() => resolve())
      this.#server.closeAllConnections()
    })
  }
}
