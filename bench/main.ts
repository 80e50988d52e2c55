/** `npm run bench`: ours beside other programs, in one run, on loopback. */
import { spawnSync } from 'node:child_process'
import { mkdir, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { root } from '../scripts/root.mjs'
import { measures } from './measures/all.ts'
import type { Measure } from './measures/measure.ts'
import { type Options, parseOptions, usage } from './options.ts'
import { describeMachine, machineLine } from './report/machine.ts'
import { writeTable } from './report/readme.ts'
import { tableOf } from './report/table.ts'
import { installPrograms, lacksRoom } from './requirements.ts'
import { type Outcome, percent, runAll } from './run.ts'
import { fullSizes, quickSizes } from './sizes.ts'
import { Interrupted } from './steps.ts'

/** Exit code. */
async function main(args: readonly string[]): Promise<number> {
  const options = parseOptions(args)
  if (options.help) {
    process.stdout.write(usage)
    return 0
  }
  const sizes = options.quick ? quickSizes : fullSizes
  const chosen = choose(options)
  const problem = installPrograms() ?? lacksRoom(tmpdir(), sizes.diskBytes)
  if (problem !== undefined) throw new Error(problem)
  const machine = describeMachine()
  if (!options.without.includes('ociregistry') && !build()) return 1

  const date = new Date().toISOString()
  const outcome = await runAll({ measures: chosen, sizes, interrupted: interruption() })
  const report = `${date.slice(0, 10)}; ${machineLine(machine)}; others used up to ${percent(outcome.othersBusy)} of the processors\n\n${tableOf(outcome.results, sizes)}`
  process.stdout.write(`\n${options.quick ? 'QUICK: sizes too small to mean anything; ' : ''}${report}`)
  await keep(date, { date, machine, sizes, ...plain(outcome) })
  if (outcome.failures.length > 0) throw new Error(`failed:\n${outcome.failures.join('\n')}`)
  if (options.write) await writeTable(join(root, 'bench/README.md'), report)
  return 0
}

/** The measures that were asked for, without the programs that were not. */
function choose({ only, without }: Options): Measure[] {
  const wanted = only.flatMap(called)
  const chosen = measures.filter((measure) => only.length === 0 || wanted.includes(measure))
  return chosen.map((measure) => ({ ...measure, programs: measure.programs.filter(({ name }) => !without.includes(name)) }))
}

/** The one of that name, else those with it in their names. */
function called(text: string): Measure[] {
  const exactly = measures.filter(({ name }) => name === text)
  const found = exactly.length > 0 ? exactly : measures.filter(({ name }) => name.includes(text))
  if (found.length === 0) throw new Error(`no measure "${text}"; there are: ${measures.map(({ name }) => name).join(', ')}`)
  return found
}

const build = () => spawnSync(process.execPath, [join(root, 'build.mjs')], { stdio: ['ignore', 'ignore', 'inherit'] }).status === 0

function interruption(): AbortSignal {
  const controller = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => controller.abort(new Interrupted('interrupted')))
  return controller.signal
}

const plain = ({ results, failures, othersBusy }: Outcome) => ({
  othersBusy,
  results: results.map(({ measure, samples }) => ({ measure: measure.name, samples })),
  failures,
})

async function keep(date: string, everything: unknown): Promise<void> {
  const directory = join(root, 'bench/out')
  const file = join(directory, `${date.replaceAll(':', '-')}.json`)
  await mkdir(directory, { recursive: true })
  await writeFile(file, `${JSON.stringify(everything, null, 2)}\n`)
  process.stderr.write(`\nall samples: ${file}\n`)
}

try {
  process.exitCode = await main(process.argv.slice(2))
} catch (error) {
  process.stderr.write(`bench: ${(error as Error).message}\n`)
  process.exitCode = 1
}
