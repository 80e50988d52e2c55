/** A whole run: content, upstream, warm caches, then every measure for every program, one after the other. */
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { makeContent } from './content.ts'
import { ownDirectory } from './directories.ts'
import type { Bench, Measure, Sample } from './measures/measure.ts'
import { watchOthers } from './others.ts'
import type { Program, ProgramName } from './programs/program.ts'
import type { Result, Samples } from './report/table.ts'
import type { Sizes } from './sizes.ts'
import { bounded, type Scope, scoped } from './steps.ts'
import { startUpstream } from './upstream/start.ts'
import { startWarmProgram, warmUp } from './warm.ts'

export type Plan = { readonly measures: readonly Measure[]; readonly sizes: Sizes; readonly interrupted: AbortSignal }
export type Outcome = {
  readonly results: readonly Result[]
  readonly failures: readonly string[]
  /** What other people's programs used of all processors, in the step in which it was most. */
  readonly othersBusy: number
}

export function runAll({ measures, sizes, interrupted }: Plan): Promise<Outcome> {
  return scoped(async (scope) => {
    const bench = await openBench(scope, sizes)
    const failures: string[] = []
    let othersBusy = 0

    /** A program that fails leaves its cells empty, and the others go on. */
    async function attempt<T>(what: string, limitMs: number, work: (scope: Scope) => Promise<T>): Promise<T | undefined> {
      const startedMs = performance.now()
      const others = watchOthers()
      try {
        const answer = await bounded(what, limitMs, interrupted, work)
        const busy = others()
        othersBusy = Math.max(othersBusy, busy)
        process.stderr.write(`  ${what} (${((performance.now() - startedMs) / 1000).toFixed(1)} s; others used ${percent(busy)})\n`)
        return answer
      } catch (error) {
        interrupted.throwIfAborted()
        failures.push(`${what}: ${(error as Error).message}`)
        process.stderr.write(`  ${what}: FAILED: ${(error as Error).message}\n`)
        return undefined
      }
    }

    const cold = new Set<ProgramName>()
    for (const program of warmPrograms(measures)) {
      const done = await attempt(`fill the cache: ${program.name}`, 120_000, async (step) => {
        await warmUp(step, program, bench)
        return true
      })
      if (done === undefined) cold.add(program.name)
    }

    const results: Result[] = []
    for (const measure of measures) {
      const samples: Samples = {}
      for (const program of measure.programs) {
        if (measure.warm && cold.has(program.name)) continue
        const what = `${measure.name}: ${program.name} (${program.role})`
        const sample: Sample | undefined = await attempt(what, measure.limitMs(sizes), (step) => measure.take(step, program, bench))
        if (sample === undefined) continue
        samples[program.name] = sample
        if (sample.note !== undefined) process.stderr.write(`    ${sample.note}\n`)
      }
      results.push({ measure, samples })
    }
    return { results, failures, othersBusy }
  })
}

export const percent = (part: number) => `${(part * 100).toFixed(0)} %`

/** Everything lies below one directory, which goes at the end. */
async function openBench(scope: Scope, sizes: Sizes): Promise<Bench> {
  const directory = await ownDirectory(scope, tmpdir(), 'oci-bench')
  const content = await makeContent(join(directory, 'content'), sizes)
  const upstream = await startUpstream(scope, { items: content.all, directory })
  return { directory, sizes, content, upstream, startWarm: startWarmProgram(directory, content, upstream) }
}

/** Each program once. */
function warmPrograms(measures: readonly Measure[]): Program[] {
  const programs = measures.filter(({ warm }) => warm).flatMap((measure) => measure.programs)
  return [...new Map(programs.map((program) => [program.name, program])).values()]
}
