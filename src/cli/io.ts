/** What a command sees of the world: handed in, so that a test can be the world. */
import { isatty } from 'node:tty'
import type { Clock } from '../observe/clock.ts'
import { systemClock } from '../observe/clock.ts'
import type { Platform } from '../oci/manifest.ts'
import { platformOfNode } from '../oci/platform.ts'
import type { Service, ServiceDeps } from '../server/service.ts'
import { drawingColumns } from './terminal.ts'

export type Io = {
  readonly env: Readonly<Record<string, string | undefined>>
  /** This machine's, in Go's names. */
  readonly platform: Platform
  readonly process: {
    readonly uid: number
    readonly gid: number
    readonly pid: number
    readonly commandLine: string /** The path of this very file. */
    readonly program: string
  }
  readonly clock: Clock
  /** The width of the terminal that stderr is; undefined where it is none on which lines can be drawn again. */
  terminalColumns(): number | undefined
  /** Whether a person reads it, and no program. */
  readonly stdoutIsTerminal: boolean
  /** Whether somebody sits at a terminal, wherever the output goes. */
  readonly canAsk: boolean
  /** What they answer in one line; nothing where they are gone. */
  ask(question: string): Promise<string>
  stdout(text: string): void
  stderr(text: string): void
  /** Calls `stop` for each SIGINT and SIGTERM, until the returned function is called. */
  onStopSignal(stop: () => void): () => void
  /** Calls `reload` for each SIGHUP, as long as the process lives. */
  onReloadSignal(reload: () => void): void
  /** Ends the process at once. */
  exit(code: number): void
  startService(deps: ServiceDeps): Promise<Service>
}

/** The real world. */
export function processIo(): Io {
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {}) // a reader that is gone, as in `| head -1`, ends nothing
  return {
    env: process.env,
    platform: platformOfNode(process.platform, process.arch),
    process: {
      uid: process.getuid?.() ?? -1,
      gid: process.getgid?.() ?? -1,
      pid: process.pid,
      commandLine: process.argv.slice(1).join(' '),
      program: process.argv[1] ?? '',
    },
    clock: systemClock,
    terminalColumns: () => drawingColumns(process.stderr, process.env.TERM),
    stdoutIsTerminal: process.stdout.isTTY === true,
    canAsk: isatty(0), // a look at `process.stdin` opens it, for commands that never read it
    ask,
    stdout: (text) => process.stdout.write(text),
    stderr: (text) => process.stderr.write(text),
    onStopSignal: (stop) => onSignals(['SIGINT', 'SIGTERM'], stop),
    onReloadSignal: (reload) => void onSignals(['SIGHUP'], reload),
    exit: (code) => process.exit(code),
    // loaded on first use: `version` and `help` need none of it
    startService: async (deps) => (await import('../server/service.ts')).startService(deps),
  }
}

async function ask(question: string): Promise<string> {
  const { createInterface } = await import('node:readline/promises')
  const lines = createInterface({ input: process.stdin, output: process.stderr })
  const gone = new Promise<string>((resolve) => lines.once('close', () => resolve('')))
  try {
    return await Promise.race([lines.question(question), gone])
  } finally {
    lines.close()
  }
}

function onSignals(signals: readonly NodeJS.Signals[], handle: () => void): () => void {
  for (const signal of signals) process.on(signal, handle)
  return () => {
    for (const signal of signals) process.off(signal, handle)
  }
}
