/** What a command sees of the world: handed in, so that a test can be the world. */
import type { Clock } from '../observe/clock.ts'
import { systemClock } from '../observe/clock.ts'
import type { Platform } from '../oci/manifest.ts'
import { platformOfNode } from '../oci/platform.ts'
import type { Service, ServiceDeps } from '../server/service.ts'

export type Io = {
  readonly env: Readonly<Record<string, string | undefined>>
  /** This machine's, in Go's names. */
  readonly platform: Platform
  readonly process: { readonly uid: number; readonly gid: number; readonly pid: number; readonly commandLine: string }
  readonly clock: Clock
  stdout(text: string): void
  stderr(text: string): void
  /** Calls `stop` for each SIGINT and SIGTERM, until the returned function is called. */
  onStopSignal(stop: () => void): () => void
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
    },
    clock: systemClock,
    stdout: (text) => process.stdout.write(text),
    stderr: (text) => process.stderr.write(text),
    onStopSignal,
    exit: (code) => process.exit(code),
    // loaded on first use: `version` and `help` need none of it
    startService: async (deps) => (await import('../server/service.ts')).startService(deps),
  }
}

function onStopSignal(stop: () => void): () => void {
  const signals = ['SIGINT', 'SIGTERM'] as const
  for (const signal of signals) process.on(signal, stop)
  return () => {
    for (const signal of signals) process.off(signal, stop)
  }
}
