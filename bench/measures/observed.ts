/** What it costs to be watched: cached manifests a second with metrics, with a line in the log for each request, and with both. */
import { join } from 'node:path'
import { freePort } from '../../test/e2e/support/ports.ts'
import { checkAnswer } from '../clients/check.ts'
import { requestRate } from '../clients/wrk.ts'
import { urlOf } from '../content.ts'
import { ownDirectory } from '../directories.ts'
import { cpuSeconds } from '../proc.ts'
import { ociregistry, ociregistryWith } from '../programs/ociregistry.ts'
import { startProgram } from '../programs/program.ts'
import { type Measure, median, type Row } from './measure.ts'

const WAYS = ['plain', 'metrics', 'log', 'both'] as const
type Way = (typeof WAYS)[number]

/** What one of them did in a round. */
type Round = Readonly<Record<Way, { readonly perSecond: number; readonly cpuMicroseconds: number }>>

const ROUNDS = 7

export const observed: Measure = {
  name: 'observed',
  programs: [ociregistry],
  warm: false,
  limitMs: ({ wrkSeconds, wrkWarmUpSeconds }) => 60_000 + WAYS.length * 1000 * (ROUNDS * wrkSeconds + wrkWarmUpSeconds),

  async take(scope, _, { directory, sizes, content, upstream }) {
    const own = await ownDirectory(scope, directory, 'observed')
    const item = content.manifestByTag
    const log = `logLevel: info\nlogFile: ${JSON.stringify(join(own, 'requests.log'))}\n`
    const settings: Record<Way, () => Promise<string>> = {
      plain: async () => '',
      metrics: async () => `metrics: ${await freePort()}\n`,
      log: async () => log,
      both: async () => `${log}metrics: ${await freePort()}\n`,
    }
    const ask = async (way: Way, seconds: number) => {
      const { url, pid } = servers[way]
      const before = cpuSeconds(pid)
      const { perSecond, requests } = await requestRate(scope, urlOf(url, item), seconds, item.mediaType)
      return { perSecond, cpuMicroseconds: ((cpuSeconds(pid) - before) / requests) * 1e6 }
    }
    const start = async (way: Way) => {
      const program = ociregistryWith(way, await settings[way]())
      const server = await startProgram(scope, program, { directory: join(own, way), upstreamUrl: upstream.url, items: [item] })
      await checkAnswer(server.url, item)
      return server
    }
    const servers = await forEachWay(start)
    if (sizes.wrkWarmUpSeconds > 0) await forEachWay((way) => ask(way, sizes.wrkWarmUpSeconds))
    const rounds: Round[] = []
    for (let i = 0; i < ROUNDS; i++) rounds.push(await forEachWay((way) => ask(way, sizes.wrkSeconds)))
    return { figures: figuresOf(rounds), raw: rounds }
  },

  rows: () => [
    { key: 'plain', label: 'the same manifest by tag, neither metrics nor log: a second', digits: 0 },
    ...ratioRows('metrics', 'with metrics'),
    ...ratioRows('log', 'with a line in a log file for each request'),
    ...ratioRows('both', 'with both'),
  ],
}

const ratioRows = (way: Way, label: string): Row[] => [
  { key: way, label: `- ${label}: in times of that`, digits: 2, ...(way === 'both' && { goal: { atLeast: 0.85 } }) },
  { key: `${way} cpu`, label: '- CPU for each request: in times of that without', digits: 2 },
]

/** One after the other. */
async function forEachWay<T>(work: (way: Way) => Promise<T>): Promise<Record<Way, T>> {
  const done: Partial<Record<Way, T>> = {}
  for (const way of WAYS) done[way] = await work(way)
  return done as Record<Way, T>
}

/** Ratios within each round, so that a machine that is slow for a while is slow for all. */
function figuresOf(rounds: readonly Round[]): Record<string, number> {
  const figures: Record<string, number> = { plain: median(rounds.map(({ plain }) => plain.perSecond)) }
  for (const way of ['metrics', 'log', 'both'] as const) {
    figures[way] = median(rounds.map((round) => round[way].perSecond / round.plain.perSecond))
    figures[`${way} cpu`] = median(rounds.map((round) => round[way].cpuMicroseconds / round.plain.cpuMicroseconds))
  }
  return figures
}
