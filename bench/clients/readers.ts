/** Runs clients that all want the same blob at the same moment. */
import { root } from '../../scripts/root.mjs'
import type { Item } from '../content.ts'
import { complete, type Scope } from '../steps.ts'
import type { Reading } from './reader.ts'

export type Readings = {
  readonly readings: readonly Reading[]
  /** From the first request to the last byte of the last client. */
  readonly wallMs: number
  /** Processor time of the clients in that time: near 1, they were what was measured. */
  readonly clientBusy: number
}

export async function readTogether(scope: Scope, url: string, count: number, { file, digest }: Item): Promise<Readings> {
  const args = ['--import', 'tsx', 'bench/clients/readers-main.ts', url, String(count), file, digest]
  return JSON.parse(await complete(scope, process.execPath, args, { cwd: root }))
}
