/** As many small requests as a server answers: wrk, one thread, ten connections. */
import { commandPath } from '../../test/e2e/support/requirements.ts'
import { complete, type Scope } from '../steps.ts'

export type Rate = {
  readonly perSecond: number
  readonly requests: number
  readonly latency: { readonly p50: string; readonly p99: string }
}

/** Throws if any request failed. */
export async function requestRate(scope: Scope, url: string, seconds: number, accept: string): Promise<Rate> {
  const report = await complete(scope, commandPath('wrk'), ['-t1', '-c10', `-d${seconds}s`, '--latency', '-H', `Accept: ${accept}`, url])
  return parseWrk(report)
}

export function parseWrk(report: string): Rate {
  const wrong = /Non-2xx or 3xx responses.*|Socket errors.*/.exec(report)?.[0]
  if (wrong !== undefined) throw new Error(`wrk: ${wrong}`)
  const field = (pattern: RegExp) => {
    const value = pattern.exec(report)?.[1]
    if (value === undefined) throw new Error(`wrk printed no ${pattern.source}:\n${report}`)
    return value
  }
  return {
    perSecond: Number(field(/Requests\/sec:\s+([\d.]+)/)),
    requests: Number(field(/(\d+) requests in/)),
    latency: { p50: field(/50%\s+(\S+)/), p99: field(/99%\s+(\S+)/) },
  }
}
