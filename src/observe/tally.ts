/** Counts and times as they happen, at the price of one look-up in a map: labels are put together when somebody asks, which is seldom. */

/** As prom-client takes a metric that it did not make itself. */
export type Reading = {
  readonly name: string
  readonly help: string
  readonly type: 'counter' | 'gauge' | 'histogram'
  readonly values: readonly Sample[]
}
export type Sample = { readonly labels: Readonly<Record<string, string | number>>; readonly value: number; readonly metricName?: string }

/** No value of a label has it. */
const BETWEEN = '\n'

/** A counter for each combination of labels. */
export class Tally {
  readonly #counts = new Map<string, number>()

  /** @param known combinations that are there from the start, so that the first increase is seen as one */
  constructor(
    readonly name: string,
    readonly help: string,
    private readonly labels: readonly string[] = [],
    known: readonly (readonly string[])[] = labels.length === 0 ? [[]] : [],
  ) {
    for (const values of known) this.#counts.set(values.join(BETWEEN), 0)
  }

  /** Of a counter without labels. */
  add(count = 1): void {
    this.#add('', count)
  }

  /** Of a counter with one label. */
  addTo(value: string, count = 1): void {
    this.#add(value, count)
  }

  /** Of a counter with three labels. */
  addToThree(first: string, second: string, third: string): void {
    this.#add(first + BETWEEN + second + BETWEEN + third, 1)
  }

  get(): Reading {
    const values = Array.from(this.#counts, ([key, value]) => ({ labels: labelled(this.labels, key.split(BETWEEN)), value }))
    return { name: this.name, help: this.help, type: 'counter', values }
  }

  #add(key: string, count: number): void {
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + count)
  }
}

/** A histogram for each value of one label. */
export class Times {
  readonly #of = new Map<string, { readonly counts: Float64Array; sum: number }>()

  /** @param bounds in seconds, ascending */
  constructor(
    readonly name: string,
    readonly help: string,
    private readonly label: string,
    private readonly bounds: readonly number[],
  ) {}

  add(value: string, seconds: number): void {
    let times = this.#of.get(value)
    if (times === undefined) {
      times = { counts: new Float64Array(this.bounds.length + 1), sum: 0 }
      this.#of.set(value, times)
    }
    let i = 0
    while (i < this.bounds.length && seconds > (this.bounds[i] ?? 0)) i++
    times.counts[i] = (times.counts[i] ?? 0) + 1
    times.sum += seconds
  }

  get(): Reading {
    const values = Array.from(this.#of, ([value, { counts, sum }]) => this.#samples({ [this.label]: value }, counts, sum)).flat()
    return { name: this.name, help: this.help, type: 'histogram', values }
  }

  /** Buckets of Prometheus hold all that is no longer than their bound. */
  #samples(labels: Sample['labels'], counts: Float64Array, sum: number): Sample[] {
    let total = 0
    const buckets = [...this.bounds, '+Inf'].map((le, i) => {
      total += counts[i] ?? 0
      return { labels: { ...labels, le }, value: total, metricName: `${this.name}_bucket` }
    })
    return [...buckets, { labels, value: sum, metricName: `${this.name}_sum` }, { labels, value: total, metricName: `${this.name}_count` }]
  }
}

function labelled(labels: readonly string[], values: readonly string[]): Sample['labels'] {
  return Object.fromEntries(labels.map((label, i) => [label, values[i] ?? '']))
}
