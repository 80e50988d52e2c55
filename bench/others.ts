/** Was the machine ours? What other people's programs used of it meanwhile; numbers of a busy machine are not worth writing down. */
import { availableParallelism } from 'node:os'
import { cpuSeconds, machineCpuSeconds } from './proc.ts'

/** From now on; the answer is a part of all processors. Ask when everything that was started meanwhile has ended or still runs below us. */
export function watchOthers(): () => number {
  const others = () => machineCpuSeconds() - cpuSeconds(process.pid)
  const before = { seconds: others(), ms: performance.now() }
  return () => {
    const available = ((performance.now() - before.ms) / 1000) * availableParallelism()
    return Math.max(0, others() - before.seconds) / available
  }
}
