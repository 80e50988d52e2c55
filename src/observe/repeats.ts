/** Warnings and errors that come again and again: the first few of a minute are written, the rest is counted and told once, when the minute is over. */
import type { Clock } from './clock.ts'
import type { Log, LogFields, LogLevel } from './log.ts'

const WINDOW_MS = 60_000
/** So many are written. */
const FEW = 5
/** More kinds of lines than that in a minute, and the others are written as they come. */
const MOST_KINDS = 1000

/** Counts how often something has come since it was first seen. */
export class Repeats {
  readonly #times = new Map<string, number>()

  constructor(private readonly mostKeys = MOST_KINDS) {}

  /** @returns how often it has come, this time included; 0 where there are too many others to count it */
  count(key: string): number {
    const times = this.#times.get(key) ?? 0
    if (times === 0 && this.#times.size >= this.mostKeys) return 0
    this.#times.set(key, times + 1)
    return times + 1
  }

  /** Forgets it. @returns how often it came */
  end(key: string): number {
    const times = this.#times.get(key) ?? 0
    this.#times.delete(key)
    return times
  }
}

/** What makes two lines with the same message the same trouble. */
export function kindOfLine(level: LogLevel, message: string, fields: LogFields): string {
  const { kind, registry, upstream, source } = fields
  const host = typeof source === 'string' ? source.split('/', 1) : undefined
  return [level, message, kind, registry, upstream, host].join('\n')
}

type Last = { readonly level: 'warn' | 'error'; readonly message: string; fields: LogFields }

export type SummarisedLog = Log & {
  /** Tells what is still only counted: the program ends. */
  readonly tellRest: () => void
}

export function summarised(log: Log, clock: Pick<Clock, 'sleep'>): SummarisedLog {
  const repeats = new Repeats()
  const lasts = new Map<string, Last>()
  const tell = (key: string) => {
    const more = repeats.end(key) - FEW
    const last = lasts.get(key)
    lasts.delete(key)
    if (more > 0 && last !== undefined) log[last.level](`${last.message}: repeated ${more} times`, last.fields)
  }
  const line =
    (level: 'warn' | 'error') =>
    (message: string, fields: LogFields = {}) => {
      const key = kindOfLine(level, message, fields)
      const times = repeats.count(key)
      if (times === 1) void clock.sleep(WINDOW_MS).then(() => tell(key))
      if (times <= FEW) log[level](message, fields)
      else lasts.set(key, { level, message, fields })
    }
  return {
    debug: (message, fields) => log.debug(message, fields),
    info: (message, fields) => log.info(message, fields),
    warn: line('warn'),
    error: line('error'),
    isOn: (level) => log.isOn(level),
    tellRest: () => {
      for (const key of [...lasts.keys()]) tell(key)
    },
  }
}
