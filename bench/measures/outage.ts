/** Cached pulls while the upstream is healthy, refuses connections, never answers, or answers by the byte: they should not notice. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Outage, type Pulls, pullThroughOutages } from '../clients/outage.ts'
import type { Item } from '../content.ts'
import { ownDirectory } from '../directories.ts'
import { dockerRegistry } from '../programs/docker-registry.ts'
import { ociregistry, ociregistryWith } from '../programs/ociregistry.ts'
import { type Program, startProgram } from '../programs/program.ts'
import type { Scope } from '../steps.ts'
import { type Gate, type State, startGate, states, type Trouble, tellGate, troubles } from '../upstream/gate.ts'
import { startUpstream, type Upstream } from '../upstream/start.ts'
import { pullUntilCached } from '../warm.ts'
import { type Bench, type DetailLine, type Measure, median, type Row } from './measure.ts'

/** A program, and the troubles that each process of it goes through: one process after the other. */
type Subject = {
  readonly key: Policy
  readonly label: string
  readonly program: Program
  readonly processes: readonly (readonly Trouble[])[]
}
/** `byDefault`: what a program does by itself about tags that it has. */
type Policy = 'byDefault' | 'always'
type Place = {
  readonly directory: string
  readonly imagesFile: string
  readonly images: readonly (readonly Item[])[]
  readonly gate: Gate
  readonly upstream: Upstream
}

const askedEachTime = ociregistryWith('every tag is checked each time', `tagPolicy:\n  - {match: '**', revalidate: always}\n`)

export const outage: Measure = {
  name: 'outage',
  programs: [ociregistry, dockerRegistry],
  warm: false,
  limitMs: ({ outageRuns, outageSeconds, outageWarmUpSeconds }) =>
    90_000 + (outageRuns + 1) * troubles.length * 1000 * (2 * outageSeconds + outageWarmUpSeconds + 12),

  async take(scope, program, bench) {
    const images = bench.content.images.slice(0, bench.sizes.outageImages)
    const own = await ownDirectory(scope, bench.directory, 'outage')
    const imagesFile = join(own, 'images.json')
    await writeFile(imagesFile, JSON.stringify(images))
    const upstream = await startUpstream(scope, { items: images.flat(), directory: own })
    const gate = await startGate(scope, upstream.url)
    const place = { directory: join(own, 'program'), imagesFile, images, gate, upstream }
    await fillCache(scope, program, place)

    const outcomes: { readonly subject: Subject; readonly outages: readonly Outage[] }[] = []
    for (const subject of subjectsOf(program, bench)) outcomes.push({ subject, outages: await putThrough(scope, subject, place, bench) })
    return {
      figures: Object.assign({}, ...outcomes.map(({ subject, outages }) => figuresOf(subject.key, outages))),
      raw: Object.fromEntries(outcomes.map(({ subject, outages }) => [subject.key, outages])),
      details: outcomes.flatMap(({ subject, outages }) => detailsOf(subject.label, outages)),
    }
  },

  rows: ({ outagePulls }) => [
    { key: 'byDefault healthy p99', label: `${thousands(outagePulls)} cached pulls of small images, upstream healthy: p99, ms`, digits: 2 },
    ...againstHealthy('byDefault', 'p99'),
    { key: 'always healthy p50', label: 'the same, each tag checked each time (`always`): p50, ms', digits: 2 },
    ...againstHealthy('always', 'p50'),
    ...troubles.map((trouble) => ({
      key: `always ${trouble} slow`,
      label: `- upstream ${trouble}: requests over 50 ms`,
      digits: 0,
      goal: { atMost: 3 },
    })),
  ],

  details: {
    title: 'cached pulls',
    columns: [
      { label: 'pulls', digits: 0 },
      { label: 'p50, ms', digits: 2 },
      { label: 'p99, ms', digits: 2 },
      { label: 'longest, ms', digits: 0 },
      { label: 'requests over 50 ms', digits: 0 },
      { label: 'failed pulls', digits: 0 },
    ],
  },
}

const thousands = (count: number) => count.toLocaleString('en')

const againstHealthy = (policy: Policy, figure: 'p50' | 'p99'): Row[] =>
  troubles.map((trouble) => ({
    key: `${policy} ${trouble} ${figure} ratio`,
    label: `- upstream ${trouble}: in times of that`,
    digits: 2,
    goal: { atMost: 1.2 },
  }))

/** Who does not ask about tags has nothing to recover from; else each trouble gets a process of its own, and once is enough, as clients wait for long. */
function subjectsOf(program: Program, { sizes }: Bench): Subject[] {
  const { name } = program
  const oneEach = troubles.map((trouble) => [trouble])
  if (program !== ociregistry) return [{ key: 'byDefault', label: name, program, processes: oneEach }]
  return [
    { key: 'byDefault', label: name, program, processes: Array.from({ length: sizes.outageRuns }, () => troubles) },
    { key: 'always', label: `${name}, \`always\``, program: askedEachTime, processes: oneEach },
  ]
}

async function fillCache(scope: Scope, program: Program, { directory, gate, upstream, images }: Place): Promise<void> {
  const server = await startProgram(scope, program, { directory, upstreamUrl: gate.url, items: [] })
  for (const image of images) await pullUntilCached(scope, server.url, image, upstream)
  await server.process.stop()
}

async function putThrough(scope: Scope, { program, processes }: Subject, place: Place, { sizes }: Bench): Promise<Outage[]> {
  const { directory, imagesFile, gate } = place
  const outages: Outage[] = []
  for (const ofThisProcess of processes) {
    const server = await startProgram(scope, program, { directory, upstreamUrl: gate.url, items: [] })
    const pulled = await pullThroughOutages(scope, {
      imagesFile,
      serverUrl: server.url,
      controlUrl: gate.controlUrl,
      troubles: ofThisProcess,
      pulls: sizes.outagePulls,
      seconds: sizes.outageSeconds,
      warmUpSeconds: sizes.outageWarmUpSeconds,
    })
    outages.push(...pulled)
    await tellGate(gate.controlUrl, 'healthy')
    await server.process.stop()
  }
  return outages
}

/** As the details have them. */
function figuresOf(policy: Policy, outages: readonly Outage[]): Record<string, number> {
  const p50 = (state: State) => median(pullsOf(outages, state).map(({ p50Ms }) => p50Ms))
  const p99 = (state: State) => median(pullsOf(outages, state).map(({ p99Ms }) => p99Ms))
  const figures: Record<string, number> = { [`${policy} healthy p50`]: p50('healthy'), [`${policy} healthy p99`]: p99('healthy') }
  for (const trouble of troubles) {
    figures[`${policy} ${trouble} p50 ratio`] = p50(trouble) / p50('healthy')
    figures[`${policy} ${trouble} p99 ratio`] = p99(trouble) / p99('healthy')
    figures[`${policy} ${trouble} slow`] = Math.max(...pullsOf(outages, trouble).map(({ slowRequestsMs }) => slowRequestsMs.length))
  }
  return figures
}

/** Medians of all runs; what should not be at all is that of the worst. */
function detailsOf(label: string, outages: readonly Outage[]): DetailLine[] {
  return states.map((state) => {
    const pulls = pullsOf(outages, state)
    const values = [
      median(pulls.map(({ count }) => count)),
      median(pulls.map(({ p50Ms }) => p50Ms)),
      median(pulls.map(({ p99Ms }) => p99Ms)),
      Math.max(...pulls.map(({ maxMs }) => maxMs)),
      Math.max(...pulls.map(({ slowRequestsMs }) => slowRequestsMs.length)),
      Math.max(...pulls.map(({ failedPulls }) => failedPulls)),
    ]
    return { label: `${label}: upstream ${state}`, values }
  })
}

function pullsOf(outages: readonly Outage[], state: State): Pulls[] {
  if (state === 'healthy') return outages.map(({ healthy }) => healthy)
  return outages.filter(({ trouble }) => trouble === state).map(({ troubled }) => troubled)
}
