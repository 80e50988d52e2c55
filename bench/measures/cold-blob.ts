/** One client, a blob that is not cached, and an upstream as fast as it can be. */
import { join } from 'node:path'
import { checkAnswer } from '../clients/check.ts'
import type { Reading } from '../clients/reader.ts'
import { type Readings, readTogether } from '../clients/readers.ts'
import { urlOf } from '../content.ts'
import { ownDirectory } from '../directories.ts'
import { cpuSeconds, peakMemoryBytes } from '../proc.ts'
import { dockerRegistry } from '../programs/docker-registry.ts'
import { withFresh } from '../programs/fresh.ts'
import { nginxProxyCache } from '../programs/nginx.ts'
import { ociregistry } from '../programs/ociregistry.ts'
import { sizeText } from '../sizes.ts'
import type { Scope } from '../steps.ts'
import { startFileUpstream } from '../upstream/files.ts'
import { type Bench, type Measure, MIB, median } from './measure.ts'

export const coldBlob: Measure = {
  name: 'cold-blob',
  programs: [ociregistry, dockerRegistry, nginxProxyCache],
  warm: false,
  limitMs: ({ coldRuns }) => coldRuns * 30_000 + 30_000,

  async take(scope, program, bench) {
    const { directory, content, sizes } = bench
    const items = content.all
    const own = await ownDirectory(scope, directory, 'cold-blob')
    const upstream = await startFileUpstream(scope, join(own, 'upstream'), items)
    const place = { directory: own, upstreamUrl: upstream.url, items }
    const direct: Single[] = []
    const runs: (Single & { readonly memory: number; readonly cpuSeconds: number })[] = []
    for (let i = 0; i < sizes.coldRuns; i++) {
      direct.push(await readOnce(scope, upstream.url, bench))
      const run = await withFresh(scope, program, place, async (server) => {
        // no client asks for a layer before it has the manifest of an image: this is not the first that the upstream hears of it
        for (const item of smallImage(bench)) await checkAnswer(server.url, item)
        const before = cpuSeconds(server.pid)
        const reading = await readOnce(scope, server.url, bench)
        return { ...reading, cpuSeconds: cpuSeconds(server.pid) - before, memory: peakMemoryBytes(server.pid) / MIB }
      })
      runs.push(run)
    }
    return {
      figures: {
        total: totalSeconds(runs),
        first: firstMs(runs) - firstMs(direct),
        memory: Math.max(...runs.map(({ memory }) => memory)),
      },
      raw: { direct, runs },
      note: `straight from the upstream: first byte ${firstMs(direct).toFixed(1)} ms, all ${totalSeconds(direct).toFixed(2)} s; client kept ${median(runs.map(({ clientBusy }) => clientBusy)).toFixed(2)} processors busy`,
    }
  },

  rows: ({ mediumBlobBytes }) => [
    {
      key: 'total',
      label: `one cold client of a ${sizeText(mediumBlobBytes)} blob, upstream as fast as it can: seconds`,
      digits: 2,
      goal: { atMost: 2, of: 'nginx' },
    },
    { key: 'first', label: '- first byte, later than straight from the upstream: ms', digits: 1, goal: { atMost: 20 } },
    { key: 'memory', label: '- memory, MiB', digits: 0, goal: { atMost: 130 } },
  ],
}

const firstMs = (readings: readonly Reading[]) => median(readings.map(({ firstByteMs }) => firstByteMs))
const totalSeconds = (readings: readonly Reading[]) => median(readings.map(({ totalMs }) => totalMs)) / 1000

type Single = Reading & Pick<Readings, 'clientBusy'>

/** Throws unless every byte is right. */
async function readOnce(scope: Scope, serverUrl: string, { content: { mediumBlob } }: Bench): Promise<Single> {
  const { readings, clientBusy } = await readTogether(scope, urlOf(serverUrl, mediumBlob), 1, mediumBlob)
  const [reading] = readings
  if (reading === undefined || reading.wrong !== undefined) throw new Error(`${serverUrl}: ${reading?.wrong}`)
  return { ...reading, clientBusy }
}

const smallImage = ({ content: { all, largeBlob, mediumBlob } }: Bench) => all.filter((item) => item !== largeBlob && item !== mediumBlob)
