/** Many clients that hardly read: what each of them costs in memory. */
import { setTimeout as sleep } from 'node:timers/promises'
import { checkAnswer } from '../clients/check.ts'
import { readSlowly } from '../clients/slow.ts'
import { urlOf } from '../content.ts'
import { ownDirectory } from '../directories.ts'
import { peakMemoryBytes, residentMemoryBytes } from '../proc.ts'
import { dockerRegistry } from '../programs/docker-registry.ts'
import { nginxStatic } from '../programs/nginx.ts'
import { ociregistry } from '../programs/ociregistry.ts'
import { startProgram } from '../programs/program.ts'
import { sizeText } from '../sizes.ts'
import { pullUntilCached } from '../warm.ts'
import { type Measure, MIB } from './measure.ts'

const settleMs = 1000

export const slowClients: Measure = {
  name: 'slow-clients',
  programs: [ociregistry, dockerRegistry, nginxStatic],
  warm: false,
  limitMs: ({ slowSeconds }) => 60_000 + slowSeconds * 2000,

  async take(scope, program, { directory, content, sizes, upstream }) {
    const { slowClients, slowSeconds } = sizes
    const { mediumBlob, manifestByTag } = content
    const own = await ownDirectory(scope, directory, 'slow')
    const start = () => startProgram(scope, program, { directory: own, upstreamUrl: upstream.url, items: content.all })
    const filling = await start()
    await pullUntilCached(scope, filling.url, [manifestByTag, mediumBlob], upstream)
    await filling.process.stop()

    // a new process: what filling the cache took is not part of what is compared
    const server = await start()
    await sleep(settleMs)
    const before = residentMemoryBytes(server.pid)
    const reading = readSlowly(scope, urlOf(server.url, mediumBlob), slowClients, slowSeconds, mediumBlob)
    const during: number[] = []
    const watching = setInterval(() => during.push(residentMemoryBytes(server.pid)), 500)
    const { right, troubles } = await reading.finally(() => clearInterval(watching))
    const peak = peakMemoryBytes(server.pid)
    await checkAnswer(server.url, manifestByTag)
    return {
      figures: { added: (peak - before) / MIB, memory: peak / MIB, right },
      raw: { before, during, peak, troubles },
    }
  },

  rows: ({ slowClients, mediumBlobBytes }) => [
    {
      key: 'added',
      label: `${slowClients} clients that read one byte a second of a cached ${sizeText(mediumBlobBytes)} blob: memory added, MiB`,
      digits: 0,
      goal: { atMost: 40 },
    },
    { key: 'memory', label: '- memory, MiB', digits: 0, goal: { atMost: 130 } },
    { key: 'right', label: '- clients with the right bytes', digits: 0, goal: { atLeast: slowClients } },
  ],
}
