/** What a server holds, once a second: file descriptors, memory, bytes on their way. */
import { readdirSync } from 'node:fs'
import { residentMemoryBytes } from '../../bench/proc.ts'
import { spoolsIn } from '../crash/support/store-state.ts'

export type Sample = { readonly pid: number; readonly descriptors: number; readonly residentBytes: number; readonly spoolBytes: number }

/** Undefined for a process that is gone. */
export async function sample(pid: number, imagePath: string): Promise<Sample | undefined> {
  const spoolBytes = [...(await spoolsIn(imagePath)).values()].reduce((sum, bytes) => sum + bytes, 0)
  const descriptors = countDescriptors(pid)
  const residentBytes = residentMemoryBytes(pid)
  return descriptors === 0 || residentBytes === 0 ? undefined : { pid, descriptors, residentBytes, spoolBytes }
}

/** 0 for a process that is gone. */
export function countDescriptors(pid: number): number {
  try {
    return readdirSync(`/proc/${pid}/fd`).length
  } catch {
    return 0
  }
}

export const most = (samples: readonly Sample[], of: (sample: Sample) => number) => samples.reduce((max, one) => Math.max(max, of(one)), 0)
