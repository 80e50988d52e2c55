/** A program of the comparison: how it is set up in a directory of its own, started, and known to answer. */
import { mkdir } from 'node:fs/promises'
import { request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort } from '../../test/e2e/support/ports.ts'
import type { Running } from '../../test/e2e/support/processes.ts'
import type { Item } from '../content.ts'
import { launch, type Scope } from '../steps.ts'

/** The columns of the table. */
export const programNames = ['ociregistry', 'docker-registry', 'nginx'] as const
export type ProgramName = (typeof programNames)[number]

export type Setup = {
  /** Its own; what it has cached stays there from one start to the next. */
  readonly directory: string
  readonly upstreamUrl: string
  /** What the upstream has: a program that caches nothing serves these files itself. */
  readonly items: readonly Item[]
}

export type Invocation = { readonly command: string; readonly args: readonly string[] }

export type Program = {
  readonly name: ProgramName
  /** What it is in this measure, where that is not clear from its name. */
  readonly role: string
  /** Writes its configuration. It answers `GET /v2/` with 200 once it can serve. */
  configure(setup: Setup & { readonly port: number }): Promise<Invocation>
}

export type Server = {
  readonly url: string
  readonly pid: number
  /** Before its process was made, by `performance.now()`. */
  readonly startedMs: number
  /** From then until it had answered. */
  readonly startMs: number
  readonly process: Running
}

export async function startProgram(scope: Scope, program: Program, setup: Setup): Promise<Server> {
  await mkdir(setup.directory, { recursive: true })
  const port = await freePort()
  const { command, args } = await program.configure({ ...setup, port })
  const url = `http://127.0.0.1:${port}`
  const env = { PATH: process.env.PATH, HOME: setup.directory }
  const startedMs = performance.now()
  const running = launch(scope, program.name, command, args, { cwd: setup.directory, env })
  while (!(await answers(`${url}/v2/`))) {
    scope.signal.throwIfAborted()
    if (running.exit() !== undefined) throw new Error(`${program.name} ended: ${running.output()}`)
    if (performance.now() - startedMs > 20_000) throw new Error(`${program.name} does not answer: ${running.output()}`)
    await sleep(2)
  }
  return { url, pid: running.pid, startedMs, startMs: performance.now() - startedMs, process: running }
}

function answers(url: string): Promise<boolean> {
  return new Promise((resolve) => {
    const asked = request(url, { agent: false }, (response) => {
      response.resume().once('close', () => resolve(response.statusCode === 200))
    })
    asked.once('error', () => resolve(false)).end()
  })
}
