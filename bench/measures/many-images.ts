/** A store with very many images: how long until it answers from it, and what it weighs to know them all. */
import { setTimeout as sleep } from 'node:timers/promises'
import { checkAnswer } from '../clients/check.ts'
import { ownDirectory } from '../directories.ts'
import { peakMemoryBytes } from '../proc.ts'
import { imagePathIn, ociregistry } from '../programs/ociregistry.ts'
import { startProgram } from '../programs/program.ts'
import { complete } from '../steps.ts'
import { writeStoredImages } from '../stored-images.ts'
import { type Measure, MIB, median } from './measure.ts'

const idleMs = 1000

export const manyImages: Measure = {
  name: 'many-images',
  programs: [ociregistry],
  warm: false,
  limitMs: ({ storedStarts }) => storedStarts * 6000 + 120_000,

  async take(scope, program, { directory, sizes, upstream }) {
    const own = await ownDirectory(scope, directory, 'many')
    const wanted = writeStoredImages(imagePathIn(own), sizes.storedImages, Date.now())
    await complete(scope, 'sync', ['-f', own])
    const before = await upstream.sent()
    const firstHitsMs: number[] = []
    const memories: number[] = []
    for (let i = 0; i < sizes.storedStarts; i++) {
      const server = await startProgram(scope, program, { directory: own, upstreamUrl: upstream.url, items: [] })
      await checkAnswer(server.url, wanted)
      firstHitsMs.push(performance.now() - server.startedMs)
      await sleep(idleMs)
      memories.push(peakMemoryBytes(server.pid) / MIB)
      await server.process.stop()
    }
    const { requests } = await upstream.sent()
    if (requests !== before.requests)
      throw new Error(`${requests - before.requests} requests to the upstream, with everything in the store`)
    return { figures: { first: median(firstHitsMs) / 1000, memory: median(memories) }, raw: { firstHitsMs, memories } }
  },

  rows: ({ storedImages }) => [
    {
      key: 'first',
      label: `${storedImages.toLocaleString('en')} images in the store: start to first hit, seconds`,
      digits: 2,
      goal: { atMost: 1 },
    },
    { key: 'memory', label: '- memory, MiB', digits: 0, goal: { atMost: 120 } },
  ],
}
