/** Runs clients that read one byte a second. */
import { root } from '../../scripts/root.mjs'
import type { Item } from '../content.ts'
import { complete, type Scope } from '../steps.ts'

export type SlowReadings = {
  /** Clients that got a byte each second, the first ones of the file. */
  readonly right: number
  readonly troubles: readonly string[]
}

/** They all ask at once, wait for their heads, and then read for `seconds`. */
export async function readSlowly(scope: Scope, url: string, count: number, seconds: number, { file }: Item): Promise<SlowReadings> {
  const args = ['--import', 'tsx', 'bench/clients/slow-main.ts', url, String(count), String(seconds), file]
  return JSON.parse(await complete(scope, process.execPath, args, { cwd: root }))
}
