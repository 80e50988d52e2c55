/**
 * A client that pulls one image after the other on a connection that it keeps, a process of its own: manifest by tag, then config and layers. What is timed is
 * the requests; the digest of every body is checked. Trouble of the upstream comes and goes meanwhile. Prints what became of the pulls as JSON.
 */
import { hash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { type Item, urlOf } from '../content.ts'
import { percentile } from '../measures/measure.ts'
import { type State, tellGate } from '../upstream/gate.ts'
import { Connection } from './connection.ts'
import type { Outage, OutagePlan, Pulls } from './outage.ts'

const slowMs = 50
const requestLimitMs = 5000

const plan = JSON.parse(process.argv[2] ?? '') as OutagePlan
const images: Item[][] = JSON.parse(await readFile(plan.imagesFile, 'utf8'))
const origin = new URL(plan.serverUrl)
let connection = new Connection(origin)
let next = 0

async function pullMany(count: number, seconds: number): Promise<Pulls> {
  const startedMs = performance.now()
  const pullsMs: number[] = []
  const failures: string[] = []
  const slowRequestsMs: number[] = []
  while (pullsMs.length < count && performance.now() - startedMs < seconds * 1000) {
    let pullMs = 0
    for (const item of images[next++ % images.length] ?? []) {
      const { ms, failure } = await ask(item)
      pullMs += ms
      if (ms > slowMs || failure !== undefined) slowRequestsMs.push(ms)
      if (failure === undefined) continue
      failures.push(failure)
      break
    }
    pullsMs.push(pullMs)
  }
  return {
    count: pullsMs.length,
    p50Ms: percentile(pullsMs, 50),
    p99Ms: percentile(pullsMs, 99),
    maxMs: Math.max(...pullsMs),
    slowRequestsMs,
    failedPulls: failures.length,
    failures: [...new Set(failures)],
  }
}

/** The gate is told in any case: the pause in which that is done comes before healthy pulls, too. */
async function pullWhile(state: State, count = plan.pulls, seconds = plan.seconds): Promise<Pulls> {
  await tellGate(plan.controlUrl, state)
  return pullMany(count, seconds)
}

/** After a failure there is a new connection. Throws if the body is wrong. */
async function ask(item: Item): Promise<{ readonly ms: number; readonly failure?: string }> {
  const startedMs = performance.now()
  let isLate = false
  const limit = setTimeout(() => {
    isLate = true
    connection.close()
  }, requestLimitMs)
  try {
    const body = await connection.get(urlOf('', item), item.mediaType)
    const ms = performance.now() - startedMs
    const found = `sha256:${hash('sha256', body)}`
    if (found !== item.digest) throw new WrongBody(`${item.path}: the body hashes to ${found}, not to ${item.digest}`)
    return { ms }
  } catch (error) {
    if (error instanceof WrongBody) throw error
    connection.close()
    connection = new Connection(origin)
    const failure = isLate ? `no answer within ${requestLimitMs / 1000} s` : (error as Error).message
    return { ms: performance.now() - startedMs, failure }
  } finally {
    clearTimeout(limit)
  }
}

class WrongBody extends Error {}

for (let half = 0; half < 2; half++) await pullWhile('healthy', Number.POSITIVE_INFINITY, plan.warmUpSeconds / 2)
const outages: Outage[] = []
for (const trouble of plan.troubles) {
  const healthy = await pullWhile('healthy')
  outages.push({ trouble, healthy, troubled: await pullWhile(trouble) })
}
connection.close()
process.stdout.write(JSON.stringify(outages))
