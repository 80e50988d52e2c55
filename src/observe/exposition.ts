/** The text that Prometheus scrapes: what was counted, and what is looked at now. */
import type { Metric } from 'prom-client'
import type { BoundedNames } from './bounded-names.ts'
import type { Counts } from './counts.ts'
import { type Observed, readGauges } from './gauges.ts'
import { ProcessReadings } from './process-readings.ts'
import type { Reading } from './tally.ts'

export type Exposition = { readonly contentType: string; readonly text: string }

export class Prometheus {
  readonly #counts: Counts
  readonly #registries: BoundedNames
  #process: ProcessReadings | undefined

  constructor(counts: Counts, registries: BoundedNames) {
    this.#counts = counts
    this.#registries = registries
  }

  /** Begins to measure the process itself. */
  start(): void {
    this.#process ??= new ProcessReadings()
  }

  async expose(observed: Observed): Promise<Exposition> {
    const { Registry } = await import('prom-client')
    const registry = new Registry()
    const readings = [
      ...readGauges(observed, this.#registries),
      ...this.#counts.all().map((counter) => counter.get()),
      ...((await this.#process?.read()) ?? []),
    ]
    for (const reading of readings) registry.registerMetric(asMetric(reading))
    return { contentType: registry.contentType, text: await registry.metrics() }
  }
}

/** All that a registry wants of a metric to write it down. */
function asMetric(reading: Reading): Metric {
  return { name: reading.name, get: async () => reading } as unknown as Metric
}
