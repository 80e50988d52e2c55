/** Many clients that want the same blob at the same moment, which nobody has yet, over a slow link. */
import { mkdir, mkdtemp } from 'node:fs/promises'
import { join } from 'node:path'
import { readJoined } from '../clients/joined.ts'
import { urlOf } from '../content.ts'
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
  limitMs: ({ joinedClients, joinedBlobBytes, linkBytesPerSecond }) =>
    ((joinedClients + 1) * joinedBlobBytes * 1500) / linkBytesPerSecond + 30_000,

  async take(scope, program, { directory, content, sizes }) {
    const { joinedClients, linkBytesPerSecond } = sizes
    const { joinedBlob } = content
    const own = await mkdtemp(join(directory, 'joined-'))
    await mkdir(own, { recursive: true })
    const upstream = await startUpstream(scope, { items: content.all, directory: own, linkBytesPerSecond })
    const server = await startProgram(scope, program, { directory: own, upstreamUrl: upstream.url, content })
    const before = { cpu: cpuSeconds(server.pid), sent: await upstream.sent() }
    const clients = await readJoined(scope, urlOf(server.url, joinedBlob), joinedClients, joinedBlob)
    const sent = await upstream.sent()
    const right = clients.readings.filter(({ wrong }) => wrong === undefined)
    const firstBytesMs = right.map(({ firstByteMs }) => firstByteMs)
    return {
      figures: {
        bytes: (sent.bodyBytes - before.sent.bodyBytes) / joinedBlob.sizeBytes,
        wall: clients.wallMs / 1000 / (joinedBlob.sizeBytes / linkBytesPerSecond),
        firstMedian: median(firstBytesMs),
        firstWorst: Math.max(...firstBytesMs),
        right: right.length,
        memory: peakMemoryBytes(server.pid) / MIB,
      },
      raw: { ...clients, cpuSeconds: cpuSeconds(server.pid) - before.cpu, upstream: sent },
    }
  },

  rows: ({ joinedClients, joinedBlobBytes, linkBytesPerSecond }) => [
    {
      key: 'bytes',
      label: `${joinedClients} cold clients of one ${sizeText(joinedBlobBytes)} blob, link of ${sizeText(linkBytesPerSecond)}/s: upstream bytes / size`,
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
