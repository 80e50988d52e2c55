/** A world for commands: keeps what they print, and sends the signals that a test wants. */
import assert from 'node:assert/strict'
import type { Io } from '../../src/cli/io.ts'
import type { Config } from '../../src/config/config.ts'
import type { Service, ServiceDeps } from '../../src/server/service.ts'
import { ManualClock } from '../support/clock.ts'

export class FakeIo implements Io {
  readonly env: Record<string, string> = {}
  readonly platform = { os: 'linux', architecture: 'amd64' }
  readonly process = { uid: 1000, gid: 100, pid: 42, commandLine: 'ociregistry serve', program: '/opt/ociregistry.cjs' }
  readonly clock = new ManualClock()
  /** Of the terminal; undefined: there is none. */
  columns: number | undefined
  stdoutIsTerminal = false
  /** What was printed, on both streams. */
  out = ''
  err = ''
  /** How the process was ended before its time. */
  readonly exits: number[] = []
  /** What services were started with. */
  readonly started: ServiceDeps[] = []
  stops = 0
  /** What running services were given since. */
  readonly reloads: Config[] = []
  /** Where services listen, if not on ports of their own. */
  sockets: Service['sockets'] = {}
  #handlers: (() => void)[] = []
  readonly #reloadHandlers: (() => void)[] = []

  /** Replaced by tests whose service does not start. */
  startService = async (deps: ServiceDeps): Promise<Service> => {
    this.started.push(deps)
    const port = deps.config.port === 0 ? 34567 : deps.config.port
    const reload = (config: Config) => this.reloadService(config)
    return { port, sockets: this.sockets, drainMs: () => 30_000, stopRequested: this.#stopRequested, reload, stop: async () => this.stop() }
  }
  /** Replaced by tests whose service cannot be reloaded. */
  reloadService = async (config: Config): Promise<void> => void this.reloads.push(config)
  /** As the admin API does. */
  requestStop = (): void => {}
  readonly #stopRequested = new Promise<void>((resolve) => {
    this.requestStop = resolve
  })
  /** Replaced by tests whose service does not stop. */
  stop = async (): Promise<void> => {
    this.stops++
  }

  canAsk = false
  /** What was asked, and what is answered. */
  readonly questions: string[] = []
  answer = ''

  async ask(question: string): Promise<string> {
    this.questions.push(question)
    return this.answer
  }

  terminalColumns(): number | undefined {
    return this.columns
  }

  stdout(text: string): void {
    this.out += text
  }

  stderr(text: string): void {
    this.err += text
  }

  onStopSignal(stop: () => void): () => void {
    this.#handlers.push(stop)
    return () => {
      this.#handlers = this.#handlers.filter((handler) => handler !== stop)
    }
  }

  onReloadSignal(reload: () => void): void {
    this.#reloadHandlers.push(reload)
  }

  /** Sends the signal to reload, which ends a process that does not listen for it. */
  hangUp(): void {
    assert.notEqual(this.#reloadHandlers.length, 0, 'the process was ended')
    for (const handler of this.#reloadHandlers) handler()
  }

  exit(code: number): void {
    this.exits.push(code)
  }

  /** As many as listen for signals to stop. */
  get listeners(): number {
    return this.#handlers.length
  }

  /** Sends a signal and lets what follows from it happen. */
  async signal(): Promise<void> {
    for (const handler of this.#handlers) handler()
    await settled()
  }
}

/** Resolves when everything that needs no more than promises has happened. */
export async function settled(): Promise<void> {
  for (let i = 0; i < 3; i++) await new Promise((resolve) => setImmediate(resolve))
}
