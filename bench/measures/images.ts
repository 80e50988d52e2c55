/** Many small images and several pullers, as a load test has them: cached, and from an empty cache. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type PullPlan, pullImages } from '../clients/images.ts'
import { ownDirectory } from '../directories.ts'
import { peakMemoryBytes } from '../proc.ts'
import { dockerRegistry } from '../programs/docker-registry.ts'
import { withFresh } from '../programs/fresh.ts'
import { nginxProxyCache } from '../programs/nginx.ts'
import { ociregistry } from '../programs/ociregistry.ts'
import type { Program } from '../programs/program.ts'
import type { Scope } from '../steps.ts'
import { startFileUpstream } from '../upstream/files.ts'
import { type Bench, type Measure, MIB, median } from './measure.ts'

export const images: Measure = {
  name: 'images',
  programs: [ociregistry, dockerRegistry, nginxProxyCache],
  warm: false,
  limitMs: ({ pullRuns, pullSeconds }) => (pullRuns + 1) * 30_000 + pullSeconds * 3000,

  async take(scope, program, bench) {
    const { cold, warm } = await pullers(scope, program, bench)
    const colds = []
    for (let i = 0; i < bench.sizes.pullRuns; i++) colds.push(await cold())
    const { direct, pulled, ...rest } = await warm()
    const coldUpstream = Math.max(...colds.map((one) => one.pulled.processors.upstream))
    return {
      figures: {
        warm: pulled.imagesPerSecond,
        warmRequests: rest.requestsPerImage,
        cold: median(colds.map((one) => one.pulled.imagesPerSecond)),
        coldRequests: median(colds.map(({ requestsPerImage }) => requestsPerImage)),
        memory: Math.max(rest.memory, ...colds.map(({ memory }) => memory)),
      },
      raw: { colds, warm: { direct, pulled, ...rest } },
      note:
        `straight from the upstream: ${direct.imagesPerSecond.toFixed(0)} images/s; processors kept busy: ` +
        `cached: clients ${pulled.processors.clients.toFixed(2)}, server ${pulled.processors.server.toFixed(2)}; ` +
        `not cached: upstream ${coldUpstream.toFixed(2)}`,
    }
  },

  rows: ({ images, pullers }) => [
    {
      key: 'warm',
      label: `${images} images of five tiny layers, ${pullers} pullers, cached: images a second`,
      digits: 0,
      goal: { atLeast: 0.4, of: 'nginx' },
    },
    { key: 'warmRequests', label: '- requests to the upstream for each', digits: 2, goal: { atMost: 0 } },
    { key: 'cold', label: 'the same, nothing cached: images a second', digits: 0, goal: { atLeast: 0.9, of: 'nginx' } },
    { key: 'coldRequests', label: '- requests to the upstream for each', digits: 2 },
    { key: 'memory', label: '- memory, MiB', digits: 0, goal: { atMost: 130 } },
  ],
}

async function pullers(scope: Scope, program: Program, { directory, content, sizes }: Bench) {
  const items = content.images.flat()
  const own = await ownDirectory(scope, directory, 'images')
  const imagesFile = join(own, 'images.json')
  await writeFile(imagesFile, JSON.stringify(content.images))
  const upstream = await startFileUpstream(scope, join(own, 'upstream'), items)

  async function pull(server: PullPlan['server'], seconds?: number) {
    const before = await upstream.requests()
    const { direct, pulled } = await pullImages(scope, {
      imagesFile,
      upstream,
      server,
      pullers: sizes.pullers,
      ...(seconds && { seconds }),
    })
    const requests = (await upstream.requests()) - before - direct.requests
    return { direct, pulled, requestsPerImage: requests / pulled.images, memory: peakMemoryBytes(server.pid) / MIB }
  }

  const place = { directory: own, upstreamUrl: upstream.url, items }
  return {
    cold: () => withFresh(scope, program, place, (server) => pull(server)),
    /** Twice everything, then for a while that does not count, as a JIT compiles meanwhile. */
    warm: () =>
      withFresh(scope, program, place, async (server) => {
        await pull(server)
        await pull(server, sizes.pullSeconds / 2)
        return pull(server, sizes.pullSeconds)
      }),
  }
}
