/** Starts the way to an upstream that can be told to fail. */
import { root } from '../../scripts/root.mjs'
import { ask } from '../../test/e2e/support/http-client.ts'
import { until } from '../../test/e2e/support/poll.ts'
import { launch, type Scope } from '../steps.ts'

/** Nobody listens; connections stand, but no answer ever comes; each answer comes by the byte, one a second. */
export const troubles = ['refusing', 'hanging', 'trickling'] as const
export const states = ['healthy', ...troubles] as const
export type Trouble = (typeof troubles)[number]
export type State = (typeof states)[number]

export type Gate = {
  /** The upstream's, for the program that is measured. */
  readonly url: string
  readonly controlUrl: string
}

export async function startGate(scope: Scope, upstreamUrl: string): Promise<Gate> {
  const gate = launch(scope, 'gate', process.execPath, ['--import', 'tsx', 'bench/upstream/gate-main.ts', upstreamUrl], { cwd: root })
  const [, port, controlPort] = await until('the gate listens', () => {
    if (gate.exit() !== undefined) throw new Error(`the gate ended: ${gate.output()}`)
    return /^(\d+) (\d+)\n/.exec(gate.stdout()) ?? undefined
  })
  return { url: `http://127.0.0.1:${port}`, controlUrl: `http://127.0.0.1:${controlPort}` }
}

export async function tellGate(controlUrl: string, state: State): Promise<void> {
  const { status } = await ask(`${controlUrl}/${state}`)
  if (status !== 200) throw new Error(`the gate answered ${status} to "${state}"`)
}
