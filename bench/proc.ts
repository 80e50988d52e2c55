/** What a program costs, as Linux counts it: processor time and memory of a process and of all below it. */
import { readdirSync, readFileSync } from 'node:fs'

/** `getconf CLK_TCK`: what /proc counts in on every machine on which Node runs, whatever the kernel's own clock. */
const clockTicksPerSecond = 100

/** Processor seconds so far, user and system, of a process, its workers, and its children that have ended. */
export function cpuSeconds(pid: number): number {
  const ticks = processTree(pid).map((one) =>
    fieldsOf(one)
      .slice(11, 15)
      .reduce((sum, field) => sum + Number(field), 0),
  )
  return sum(ticks) / clockTicksPerSecond
}

/** Processor seconds of everything on this machine so far. Without those of interrupts: Linux may charge them to nobody. */
export function machineCpuSeconds(): number {
  const [user = 0, nice = 0, system = 0] = readProc('stat').split('\n', 1).join().split(/ +/).slice(1).map(Number)
  return (user + nice + system) / clockTicksPerSecond
}

/** Processor seconds of our own children that have ended (clients run to their end): one client's is the difference. */
export function endedChildrenCpuSeconds(): number {
  const [user = '0', system = '0'] = fieldsOf(process.pid).slice(13, 15)
  return (Number(user) + Number(system)) / clockTicksPerSecond
}

/** The most memory that a process has had resident (VmHWM), and its workers with it: pages that they share count for each. */
export function peakMemoryBytes(pid: number): number {
  return sum(processTree(pid).map((one) => kibibytes(one, 'VmHWM') * 1024))
}

/** What they have resident now (VmRSS). */
export function residentMemoryBytes(pid: number): number {
  return sum(processTree(pid).map((one) => kibibytes(one, 'VmRSS') * 1024))
}

/** A process and all below it. */
function processTree(root: number): number[] {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name))
  const parents = new Map(pids.map((pid) => [Number(pid), Number(fieldsOf(Number(pid))[1])]))
  const tree = [root]
  for (const pid of tree) for (const [child, parent] of parents) if (parent === pid) tree.push(child)
  return tree
}

/** /proc/<pid>/stat behind the command's name, which may hold anything: [0] is the state, [1] the parent, [11] utime ... [14] cstime. */
function fieldsOf(pid: number): string[] {
  const text = readProc(`${pid}/stat`)
  return text.slice(text.lastIndexOf(')') + 2).split(' ')
}

function kibibytes(pid: number, key: string): number {
  return Number(new RegExp(`^${key}:\\s+(\\d+) kB`, 'm').exec(readProc(`${pid}/status`))?.[1] ?? 0)
}

/** Empty for a process that is gone. */
function readProc(path: string): string {
  try {
    return readFileSync(`/proc/${path}`, 'utf8')
  } catch {
    return ''
  }
}

const sum = (numbers: readonly number[]) => numbers.reduce((total, one) => total + one, 0)
