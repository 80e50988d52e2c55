/** Runs one program with a line of input, without a shell: for a while and for so much output, then its whole process group is killed. */
import { type ChildProcess, spawn } from 'node:child_process'
import type { Clock } from '../observe/clock.ts'

export type HelperRun = {
  /** Looked for in the PATH of `env`. */
  readonly program: string
  readonly input: string
  readonly env: Readonly<Record<string, string | undefined>>
  readonly clock: Clock
  readonly timeoutMs: number
  /** Ends the run. */
  readonly signal: AbortSignal
}

export class HelperError extends Error {
  /** @param late whether it took too long */
  constructor(
    message: string,
    readonly late = false,
  ) {
    super(message)
    this.name = 'HelperError'
  }
}

const MAX_OUTPUT_BYTES = 64 * 1024

/** @throws HelperError if the program cannot be run, runs for too long, or writes too much */
export async function runHelper({
  program,
  input,
  env,
  clock,
  timeoutMs,
  signal,
}: HelperRun): Promise<{ code: number | null; stdout: string }> {
  if (signal.aborted) throw new HelperError('it was not started')
  // detached: in a group of its own, which its children are in as well
  const child = spawn(program, ['get'], { env, stdio: ['pipe', 'pipe', 'ignore'], detached: true })
  const done = new AbortController()
  const stopped = new Promise<never>((_, reject) =>
    signal.addEventListener('abort', () => reject(new HelperError('it was ended')), { signal: done.signal }),
  )
  const late = clock.sleep(timeoutMs, done.signal).then((slept) => {
    if (slept) throw new HelperError(`it did not answer within ${timeoutMs} ms`, true)
    return new Promise<never>(() => {})
  })
  try {
    return await Promise.race([finished(child, program, input), late, stopped])
  } catch (error) {
    kill(child)
    throw error
  } finally {
    done.abort()
  }
}

function finished(child: ChildProcess, program: string, input: string): Promise<{ code: number | null; stdout: string }> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let size = 0
    child.once('error', (error: NodeJS.ErrnoException) => reject(new HelperError(whyNotStarted(program, error))))
    child.stdin?.on('error', () => {}) // it may end without reading
    child.stdin?.end(input)
    child.stdout?.on('data', (chunk: Buffer) => {
      size += chunk.length
      if (size > MAX_OUTPUT_BYTES) reject(new HelperError(`it wrote more than ${MAX_OUTPUT_BYTES} bytes`))
      else chunks.push(chunk)
    })
    child.once('close', (code) => resolve({ code, stdout: Buffer.concat(chunks).toString('utf8') }))
  })
}

function whyNotStarted(program: string, { code, message }: NodeJS.ErrnoException): string {
  if (code === 'ENOENT') return `there is no program ${program} in PATH`
  return code === 'EACCES' ? `${program} may not be run` : message
}

/** With whatever it has started. */
function kill(child: ChildProcess): void {
  child.stdout?.destroy()
  child.stdin?.destroy()
  if (child.pid === undefined) return
  try {
    process.kill(-child.pid, 'SIGKILL')
  } catch {
    // the group is gone
  }
}
