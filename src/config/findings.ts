/** What reading a configuration file brings to light besides values: mistakes, and settings whose feature comes later. */
import { ConfigError } from './error.ts'

type Finding = { readonly line: number; readonly key: string }
type Mistake = Finding & { readonly problem: string }

/** A file named in the configuration, or an environment variable: whether it is there is looked up at the end. */
export type Named = Finding & { readonly name: string }

export class Findings {
  readonly #file: string
  readonly #mistakes: Mistake[] = []
  readonly #later: Finding[] = []

  constructor(file: string) {
    this.#file = file
  }

  /** @param key as a path: `registries[0].tls.cert`. @param problem what was found, and what is allowed */
  mistake(line: number, key: string, problem: string): void {
    this.#mistakes.push({ line, key, problem })
  }

  /** The setting would switch on a feature that this version does not have. */
  later(line: number, key: string): void {
    this.#later.push({ line, key })
  }

  /** Whether there is a mistake. */
  get any(): boolean {
    return this.#mistakes.length > 0
  }

  get laterSettings(): readonly Finding[] {
    return this.#later
  }

  /** @throws ConfigError for the first mistake in the order of the file; it knows the others */
  throwFirst(): void {
    const sorted = this.#mistakes.toSorted((a, b) => a.line - b.line)
    const [first, ...others] = sorted.map(({ line, key, problem }) => `${this.#file}:${line}: ${key}: ${problem}`)
    if (first !== undefined) throw new ConfigError(first, { others })
  }
}
