/** The server of a soak: asked to end, or killed, and started again; and told on if it ends by itself. */
import type { Running } from '../e2e/support/processes.ts'
import type { Installation } from '../e2e/support/server.ts'

/** Answers get 10 s to end, and what is verified is published. */
const GRACE_MS = 30_000

export class ServerLife {
  restarts = 0
  kills = 0
  readonly #installation: Installation
  readonly #onTrouble: (line: string) => void
  #running: Running | undefined
  #isWanted = false

  constructor(installation: Installation, onTrouble: (line: string) => void) {
    this.#installation = installation
    this.#onTrouble = onTrouble
  }

  /** Of the process that runs now. */
  get pid(): number | undefined {
    return this.#isWanted ? this.#running?.pid : undefined
  }

  /** @throws Error if it does not answer */
  async start(): Promise<void> {
    const running = await this.#installation.launch()
    this.#running = running
    this.#isWanted = true
    running.exited.then(({ code, signal }) => {
      if (this.#isWanted && this.#running === running)
        this.#onTrouble(`the server ended by itself (${code ?? signal}): ${running.output().slice(-2000)}`)
    })
    await this.#installation.ready(running)
  }

  async kill(): Promise<void> {
    this.kills++
    this.#isWanted = false
    await this.#running?.stop('SIGKILL')
  }

  async stop(): Promise<void> {
    this.restarts++
    this.#isWanted = false
    const running = this.#running
    if (running === undefined) return
    process.kill(running.pid, 'SIGTERM')
    const late = setTimeout(() => process.kill(running.pid, 'SIGKILL'), GRACE_MS)
    const { code, signal } = await running.exited
    clearTimeout(late)
    if (code !== 0) this.#onTrouble(`asked to end, the server did so with ${code ?? signal}: ${running.output().slice(-2000)}`)
  }
}
