/** Ten connections and small cached answers: how many a second. */
import { checkAnswer } from '../clients/check.ts'
import { type Rate, requestRate } from '../clients/wrk.ts'
import { urlOf } from '../content.ts'
import { cpuSeconds, peakMemoryBytes } from '../proc.ts'
import { dockerRegistry } from '../programs/docker-registry.ts'
import { nginxStatic } from '../programs/nginx.ts'
import { ociregistry } from '../programs/ociregistry.ts'
import { sizeText } from '../sizes.ts'
import { type Measure, MIB } from './measure.ts'

const goal = { atLeast: 0.4, of: 'nginx' } as const

export const smallAnswers: Measure = {
  name: 'small-answers',
  programs: [ociregistry, dockerRegistry, nginxStatic],
  warm: true,
  limitMs: ({ wrkSeconds, wrkWarmUpSeconds }) => 3000 * (wrkSeconds + wrkWarmUpSeconds) + 30_000,

  async take(scope, program, { content, sizes, startWarm }) {
    const server = await startWarm(scope, program)
    const wanted = { tag: content.manifestByTag, digest: content.manifestByDigest, blob: content.smallBlob }
    const figures: Record<string, number> = {}
    const raw: Record<string, Rate & { readonly cpuMicrosecondsPerRequest: number }> = {}
    for (const [key, item] of Object.entries(wanted)) {
      const ask = (seconds: number) => requestRate(scope, urlOf(server.url, item), seconds, item.mediaType)
      await checkAnswer(server.url, item)
      if (sizes.wrkWarmUpSeconds > 0) await ask(sizes.wrkWarmUpSeconds)
      const before = cpuSeconds(server.pid)
      const rate = await ask(sizes.wrkSeconds)
      figures[key] = rate.perSecond
      raw[key] = { ...rate, cpuMicrosecondsPerRequest: ((cpuSeconds(server.pid) - before) / rate.requests) * 1e6 }
    }
    return { figures: { ...figures, memory: peakMemoryBytes(server.pid) / MIB }, raw }
  },

  rows: ({ smallBlobBytes }) => [
    { key: 'tag', label: 'cached manifest by tag, ten connections: a second', digits: 0, goal },
    { key: 'digest', label: 'cached manifest by digest: a second', digits: 0, goal },
    { key: 'blob', label: `cached ${sizeText(smallBlobBytes)} blob: a second`, digits: 0, goal },
    { key: 'memory', label: '- memory, MiB', digits: 0, goal: { atMost: 130 } },
  ],
}
