/** Many clients that want the same blob at the same moment, which nobody has yet, over a slow link. */
import { readTogether } from '../clients/readers.ts'
import { urlOf } from '../content.ts'
import { ownDirectory } from '../directories.ts'
import { cpuSeconds, peakMemoryBytes } from '../proc.ts'
import { dockerRegistry } from '../programs/docker-registry.ts'
import { nginxProxyCache } from '../programs/nginx.ts'
import { ociregistry } from '../programs/ociregistry.ts'
import { startProgram } from '../programs/program.ts'
import { sizeText } from '../sizes.ts'
import { startUpstream } from '../upstream/start.ts'
import { type Measure, MIB, median } from './measure.ts'

export const joined: Measure = {
  name: 'joined',
  programs: [ociregistry, dockerRegistry, nginxProxyCache],
  warm: false,
  // a program that downloads for each client, and once more for itself, takes so much longer
  limitMs: ({ joinedClients, mediumBlobBytes, linkBytesPerSecond }) =>
    ((joinedClients + 1) * mediumBlobBytes * 1500) / linkBytesPerSecond + 30_000,

  async take(scope, program, { directory, content, sizes }) {
    const { joinedClients, linkBytesPerSecond } = sizes
    const { mediumBlob } = content
    const own = await ownDirectory(scope, directory, 'joined')
    const upstream = await startUpstream(scope, { items: content.all, directory: own, linkBytesPerSecond })
    const server = await startProgram(scope, program, { directory: own, upstreamUrl: upstream.url, items: content.all })
    const before = { cpu: cpuSeconds(server.pid), sent: await upstream.sent() }
    const clients = await readTogether(scope, urlOf(server.url, mediumBlob), joinedClients, mediumBlob)
    const sent = await upstream.sent()
    const right = clients.readings.filter(({ wrong }) => wrong === undefined)
    const firstBytesMs = right.map(({ firstByteMs }) => firstByteMs)
    return {
      figures: {
        bytes: (sent.bodyBytes - before.sent.bodyBytes) / mediumBlob.sizeBytes,
        wall: clients.wallMs / 1000 / (mediumBlob.sizeBytes / linkBytesPerSecond),
        firstMedian: median(firstBytesMs),
        firstWorst: Math.max(...firstBytesMs),
        right: right.length,
        memory: peakMemoryBytes(server.pid) / MIB,
      },
      raw: { ...clients, cpuSeconds: cpuSeconds(server.pid) - before.cpu, upstream: sent },
      note: `clients kept ${clients.clientBusy.toFixed(2)} processors busy`,
    }
  },

  rows: ({ joinedClients, mediumBlobBytes, linkBytesPerSecond }) => [
    {
      key: 'bytes',
      label: `${joinedClients} cold clients of one ${sizeText(mediumBlobBytes)} blob, link of ${sizeText(linkBytesPerSecond)}/s: upstream bytes / size`,
      digits: 2,
      goal: { atMost: 1.004 },
    },
    { key: 'wall', label: '- wall / (size / link)', digits: 2, goal: { atMost: 1.1 } },
    { key: 'firstMedian', label: '- first byte, median, ms', digits: 0 },
    { key: 'firstWorst', label: '- first byte, worst, ms', digits: 0, goal: { atMost: 300 } },
    { key: 'right', label: '- clients with the right bytes', digits: 0, goal: { atLeast: joinedClients } },
    { key: 'memory', label: '- memory, MiB', digits: 0, goal: { atMost: 130 } },
  ],
}
