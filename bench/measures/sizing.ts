/** What a machine needs for so many images: memory without and with clients, disk for what is known of them, time to start. */
import { readdir, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { checkAnswer } from '../clients/check.ts'
import { pullImages } from '../clients/images.ts'
import { ownDirectory } from '../directories.ts'
import { peakMemoryBytes, residentMemoryBytes } from '../proc.ts'
import { imagePathIn, ociregistry } from '../programs/ociregistry.ts'
import { startProgram } from '../programs/program.ts'
import { complete, type Scope } from '../steps.ts'
import { pullOfStored, writeStoredImages } from '../stored-images.ts'
import { type Bench, type DetailLine, type Measure, MIB } from './measure.ts'

const idleMs = 1000

export const sizing: Measure = {
  name: 'sizing',
  programs: [ociregistry],
  warm: false,
  limitMs: ({ sizingImages }) => sizingImages.length * 120_000,

  async take(scope, program, bench) {
    const details: DetailLine[] = []
    for (const count of bench.sizes.sizingImages) details.push(await sizeOf(scope, program, bench, count))
    return { figures: {}, raw: details, details }
  },

  rows: () => [],
  details: {
    title: 'ociregistry with so many images',
    columns: [
      { label: 'start to first hit, s', digits: 2 },
      { label: 'idle, MiB', digits: 0 },
      { label: 'all pulled by ten clients, MiB', digits: 0 },
      { label: 'pulls a second', digits: 0 },
      { label: 'on disk beside layers, KiB for each', digits: 1 },
    ],
  },
}

async function sizeOf(
  scope: Scope,
  program: typeof ociregistry,
  { directory, sizes, upstream }: Bench,
  count: number,
): Promise<DetailLine> {
  const own = await ownDirectory(scope, directory, `sizing-${count}`)
  const wanted = writeStoredImages(imagePathIn(own), count, Date.now())
  const imagesFile = join(own, 'pulls.json')
  await writeFile(imagesFile, JSON.stringify(Array.from({ length: count }, (_, i) => pullOfStored(i))))
  await complete(scope, 'sync', ['-f', own])
  const server = await startProgram(scope, program, { directory: own, upstreamUrl: upstream.url, items: [] })
  await checkAnswer(server.url, wanted)
  const firstHitSeconds = (performance.now() - server.startedMs) / 1000
  await sleep(idleMs)
  const idleBytes = residentMemoryBytes(server.pid)
  // the upstream has none of them: the clients warm up on the server itself
  const { pulled } = await pullImages(scope, { imagesFile, upstream: server, server, pullers: sizes.pullers })
  const peakBytes = peakMemoryBytes(server.pid)
  await server.process.stop()
  const metadataBytes = await allocatedBytes(imagePathIn(own))
  const values = [firstHitSeconds, idleBytes / MIB, peakBytes / MIB, pulled.imagesPerSecond, metadataBytes / 1024 / count]
  return { label: count.toLocaleString('en'), values }
}

/** What records and references take of the disk, in its blocks. */
async function allocatedBytes(imagePath: string): Promise<number> {
  let bytes = 0
  for (const name of ['img', 'fat', 'refs']) {
    const directory = join(imagePath, name)
    for (const file of await readdir(directory)) bytes += (await stat(join(directory, file))).blocks * 512
  }
  return bytes
}
