/** An empty cache: how long until the first answer, and what it weighs before there is anything to do. */
import { setTimeout as sleep } from 'node:timers/promises'
import { peakMemoryBytes } from '../proc.ts'
import { dockerRegistry } from '../programs/docker-registry.ts'
import { withFresh } from '../programs/fresh.ts'
import { ociregistry } from '../programs/ociregistry.ts'
import { type Measure, MIB, median } from './measure.ts'

/** What a program does when it believes that nobody looks is part of its idle memory. */
const idleMs = 1000

export const start: Measure = {
  name: 'start',
  programs: [ociregistry, dockerRegistry],
  warm: false,
  limitMs: ({ starts }) => starts * 3000 + 20_000,

  async take(scope, program, { directory, content, sizes, upstream }) {
    const startsMs: number[] = []
    const memories: number[] = []
    for (let i = 0; i < sizes.starts; i++) {
      await withFresh(scope, program, { directory, upstreamUrl: upstream.url, items: content.all }, async ({ startMs, pid }) => {
        await sleep(idleMs)
        startsMs.push(startMs)
        memories.push(peakMemoryBytes(pid) / MIB)
      })
    }
    return { figures: { start: median(startsMs), memory: median(memories) }, raw: { startsMs, memories } }
  },

  rows: () => [
    { key: 'start', label: 'start to first answer on `/v2/`, empty store: ms', digits: 0, goal: { atMost: 120 } },
    { key: 'memory', label: '- idle memory, MiB', digits: 0, goal: { atMost: 55 } },
  ],
}
