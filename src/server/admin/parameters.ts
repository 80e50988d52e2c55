/** The parameters of an admin request: known ones only, each once, and each what it should be. A mistake is one line that names the parameter. */
import { OciError } from '../../oci/error.ts'
import type { AdminRoute } from './routes.ts'

const LONGEST_SHOWN = 60

export class Parameters {
  readonly #query: URLSearchParams

  /** @throws OciError 400 for one that is not known, or given too often */
  constructor(query: URLSearchParams, { parameters, repeatable = [] }: Pick<AdminRoute, 'parameters' | 'repeatable'>) {
    for (const name of new Set(query.keys())) {
      if (!parameters.includes(name)) throw badRequest(`${shown(name)}: found an unknown parameter, want ${oneOf(parameters)}`)
      const times = query.getAll(name).length
      if (times > 1 && !repeatable.includes(name)) throw badRequest(`${name}: found ${times} values, want one`)
    }
    this.#query = query
  }

  /** Undefined where it is not given. */
  text(name: string): string | undefined {
    return this.#query.get(name) ?? undefined
  }

  /** Undefined where it is not given, or empty: of a filter, which then filters nothing. */
  filter(name: string): string | undefined {
    return this.#query.get(name) || undefined
  }

  all(name: string): string[] {
    return this.#query.getAll(name)
  }

  /** @param parse undefined for what is not allowed. @throws OciError 400 */
  value<T>(name: string, want: string, parse: (text: string) => T | undefined): T | undefined {
    const text = this.text(name)
    if (text === undefined) return undefined
    const value = parse(text)
    if (value === undefined) throw mistake(name, text, want)
    return value
  }

  /** A whole number. @throws OciError 400 */
  integer(name: string, want: string): number | undefined {
    return this.value(name, want, (text) => (/^-?\d{1,9}$/.test(text) ? Number(text) : undefined))
  }
}

/** @param found undefined: nothing */
export function mistake(name: string, found: string | undefined, want: string): OciError {
  return badRequest(`${name}: found ${found === undefined ? 'nothing' : shown(found)}, want ${want}`)
}

export function badRequest(message: string): OciError {
  return new OciError(400, 'UNSUPPORTED', message)
}

/** In quotes and on one line, whatever it holds. */
function shown(text: string): string {
  return JSON.stringify(text.length > LONGEST_SHOWN ? `${text.slice(0, LONGEST_SHOWN)}…` : text)
}

function oneOf(names: readonly string[]): string {
  return names.length === 0 ? 'none' : `one of ${names.join(', ')}`
}
