/** One client and a large cached blob: how fast, and what it costs. */
import { checkAnswer } from '../clients/check.ts'
import { type Download, download } from '../clients/curl.ts'
import { urlOf } from '../content.ts'
import { cpuSeconds, peakMemoryBytes } from '../proc.ts'
import { dockerRegistry } from '../programs/docker-registry.ts'
import { nginxStatic } from '../programs/nginx.ts'
import { ociregistry } from '../programs/ociregistry.ts'
import { sizeText } from '../sizes.ts'
import { type Measure, MIB, median } from './measure.ts'

export const largeBlob: Measure = {
  name: 'large-blob',
  programs: [ociregistry, dockerRegistry, nginxStatic],
  warm: true,
  limitMs: () => 90_000,

  async take(scope, program, { content, sizes, startWarm }) {
    const server = await startWarm(scope, program)
    const { sizeBytes } = content.largeBlob
    await checkAnswer(server.url, content.largeBlob)
    const before = cpuSeconds(server.pid)
    const downloads: Download[] = []
    for (let i = 0; i < sizes.largeBlobRuns; i++) downloads.push(await download(scope, urlOf(server.url, content.largeBlob), sizeBytes))
    const gibibytes = (sizeBytes * downloads.length) / 2 ** 30
    return {
      figures: {
        speed: median(downloads.map(({ bytesPerSecond }) => bytesPerSecond)) / MIB,
        cpu: (cpuSeconds(server.pid) - before) / gibibytes,
        memory: peakMemoryBytes(server.pid) / MIB,
      },
      raw: { downloads },
    }
  },

  rows: ({ largeBlobBytes }) => [
    {
      key: 'speed',
      label: `cached ${sizeText(largeBlobBytes)} blob, one client: MiB/s`,
      digits: 0,
      goal: { atLeast: 0.9, of: 'docker-registry' },
    },
    { key: 'cpu', label: '- CPU seconds per GiB', digits: 2 },
    { key: 'memory', label: '- memory, MiB', digits: 0, goal: { atMost: 130 } },
  ],
}
