/** Programs that run beside a test: started without a shell, ended by their id, their output kept for the day a test fails. */
import { type ChildProcess, spawn } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Cleanup, hasFailed, onEnd } from './cleanup.ts'

export type Exit = { readonly code: number | null; readonly signal: NodeJS.Signals | null }
export type Options = { readonly cwd?: string; readonly env?: NodeJS.ProcessEnv; readonly timeoutMs?: number }
export type Finished = Exit & { readonly stdout: string; readonly stderr: string }

export type Running = {
  readonly pid: number
  readonly exited: Promise<Exit>
  /** Undefined while it runs. */
  exit(): Exit | undefined
  stdout(): string
  stderr(): string
  /** Both, as they came. */
  output(): string
  /** Asks it to end (SIGTERM unless told otherwise), insists after 10 s. */
  stop(signal?: NodeJS.Signals): Promise<Exit>
}

/** Starts a program that ends with the test at the latest. */
export function start(t: Cleanup, name: string, command: string, args: readonly string[], options: Options = {}): Running {
  const running = launch(command, args, options)
  onEnd(t, async () => {
    const before = running.exit()
    await running.stop()
    if (hasFailed(t))
      t.diagnostic(`${name}${before === undefined ? '' : ` (had ended: ${describe(before)})`} said:\n${tail(running.output())}`)
  })
  return running
}

/** Runs a program to its end, whatever its exit code; too late (60 s unless told otherwise) it is killed, and this throws. */
export async function run(command: string, args: readonly string[], options: Options = {}): Promise<Finished> {
  const running = launch(command, args, options)
  const timeoutMs = options.timeoutMs ?? 60_000
  const abort = new AbortController()
  const exit = await Promise.race([running.exited, sleep(timeoutMs, undefined, { signal: abort.signal }).catch(() => undefined)])
  abort.abort()
  if (exit === undefined) {
    await running.stop('SIGKILL')
    throw new Error(`${line(command, args)}: not done within ${timeoutMs / 1000} s\n${tail(running.output())}`)
  }
  return { ...exit, stdout: running.stdout(), stderr: running.stderr() }
}

/** As `run`, and throws with everything it said unless it ends with 0. */
export async function succeed(command: string, args: readonly string[], options: Options = {}): Promise<Finished> {
  const finished = await run(command, args, options)
  if (finished.code !== 0) throw new Error(`${line(command, args)}: ${describe(finished)}\n${tail(finished.stdout + finished.stderr)}`)
  return finished
}

function launch(command: string, args: readonly string[], { cwd, env }: Options): Running {
  const child = spawn(command, args, { ...(cwd && { cwd }), ...(env && { env }), stdio: ['ignore', 'pipe', 'pipe'] })
  const said = { stdout: '', stderr: '', both: '' }
  for (const stream of ['stdout', 'stderr'] as const) {
    child[stream].setEncoding('utf8').on('data', (text: string) => {
      said[stream] += text
      said.both += text
    })
  }
  let exit: Exit | undefined
  const exited = new Promise<Exit>((resolve) => {
    child.once('error', (error) => {
      said.stderr += error.message
      said.both += error.message
      exit = { code: 127, signal: null }
      resolve(exit)
    })
    // after the last output, unlike 'exit'
    child.once('close', (code, signal) => {
      exit ??= { code, signal }
      resolve(exit)
    })
  })
  return {
    pid: child.pid ?? -1,
    exited,
    exit: () => exit,
    stdout: () => said.stdout,
    stderr: () => said.stderr,
    output: () => said.both,
    stop: (signal = 'SIGTERM') => stop(child, exited, signal),
  }
}

async function stop(child: ChildProcess, exited: Promise<Exit>, signal: NodeJS.Signals): Promise<Exit> {
  child.kill(signal)
  const insist = setTimeout(() => child.kill('SIGKILL'), 10_000)
  const exit = await exited
  clearTimeout(insist)
  return exit
}

const line = (command: string, args: readonly string[]) => [command, ...args].join(' ')
const describe = ({ code, signal }: Exit) => (signal === null ? `exit code ${code}` : `ended by ${signal}`)
const tail = (text: string) => (text.length > 12_000 ? `... ${text.slice(-12_000)}` : text)
