/** What is known of this process, under the names that every program of Node has for it. */
import { readdir } from 'node:fs/promises'
import { type IntervalHistogram, monitorEventLoopDelay } from 'node:perf_hooks'
import type { Reading } from './tally.ts'

const LAG = 'nodejs_eventloop_lag'

/**
 * Not prom-client's: it is told of each garbage collection, which took a fifth of the time of a cached manifest.
 * From its making on the delay of the event loop is measured.
 */
export class ProcessReadings {
  readonly #delay: IntervalHistogram = monitorEventLoopDelay({ resolution: 10 })
  readonly #startedS = Date.now() / 1000 - process.uptime()

  constructor() {
    this.#delay.enable()
  }

  async read(): Promise<Reading[]> {
    const { user, system } = process.cpuUsage()
    const { rss, heapUsed, heapTotal, external } = process.memoryUsage()
    const gauges: [name: string, help: string, value: number | undefined][] = [
      ['process_start_time_seconds', 'When the process started, in seconds since 1970.', this.#startedS],
      ['process_resident_memory_bytes', 'Memory that the process has.', rss],
      ['process_open_fds', 'Open files and connections.', await openFiles()],
      ['nodejs_heap_size_total_bytes', 'Size of the JavaScript heap.', heapTotal],
      ['nodejs_heap_size_used_bytes', 'What of it is used.', heapUsed],
      ['nodejs_external_memory_bytes', 'Memory of buffers, beside the heap.', external],
      ...this.#lags(),
    ]
    return [
      {
        name: 'process_cpu_seconds_total',
        help: 'CPU time used.',
        type: 'counter',
        values: [{ labels: {}, value: (user + system) / 1e6 }],
      },
      ...gauges.map(([name, help, value]): Reading => {
        return { name, help, type: 'gauge', values: value === undefined ? [] : [{ labels: {}, value }] }
      }),
    ]
  }

  /** Since they were read last. */
  #lags(): [name: string, help: string, value: number][] {
    const delay = this.#delay
    const [p50, p99, max] = [delay.percentile(50), delay.percentile(99), delay.max]
    delay.reset()
    return [
      [`${LAG}_p50_seconds`, 'How late the event loop is, median.', p50 / 1e9],
      [`${LAG}_p99_seconds`, 'How late the event loop is, 99 of 100.', p99 / 1e9],
      [`${LAG}_max_seconds`, 'How late the event loop is, at most.', max / 1e9],
    ]
  }
}

/** Undefined where the system has no such list. */
async function openFiles(): Promise<number | undefined> {
  return readdir('/proc/self/fd').then(
    (names) => names.length,
    () => undefined,
  )
}
