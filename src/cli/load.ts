/** The command `load`: brings the images of a list into the store, whole, and exits with 1 if one of them is not. */
import { LoadRun } from '../cache/load-run.ts'
import type { Config } from '../config/config.ts'
import { reasonOf } from '../config/errno.ts'
import { ConfigError } from '../config/error.ts'
import { loadConfig } from '../config/load.ts'
import { createLog } from '../observe/log.ts'
import { ImageFileError, type ImageOfList, listedImages } from '../server/image-files.ts'
import { configuredNames } from '../server/which-registry.ts'
import type { Command } from './command.ts'
import type { Io } from './io.ts'
import { LoadDisplay } from './load-display.ts'
import { isLoaded, type LoadReport, loadDocument, loadTable } from './load-report.ts'

export const load: Command = {
  name: 'load',
  aliases: [],
  summary: 'Bring images into the store, for when there is no network; exit code 1 if one could not be loaded',
  flags: 'load',
  examples: [
    'ociregistry load --image-path /var/lib/ociregistry --image-file images.txt',
    "ociregistry --config-file config.yaml load --image-file 'base.txt,lists/*.txt' --platform linux/amd64 --platform linux/arm64",
    'ociregistry load --image-file - < images.txt',
  ],
  async run(line, io) {
    const { config } = await loadConfig({ flags: line, env: io.env, platform: io.platform, clock: io.clock })
    if (config.airGapped) throw new ConfigError('cannot load: the configuration is air-gapped, and no registry may be asked')
    const images = await imagesOf(config)
    const stopping = new AbortController()
    let signals = 0
    const ignore = io.onStopSignal(() => (signals++ === 0 ? stopping.abort(new Error('asked to stop')) : io.exit(1)))
    const awake = setInterval(() => {}, 1000) // pauses alone do not keep the process alive
    try {
      const report = await loaded(config, images, io, stopping.signal)
      io.stdout(line.values.json === true ? loadDocument(report) : loadTable(report))
      return isLoaded(report) ? 0 : 1
    } finally {
      clearInterval(awake)
      ignore()
    }
  },
}

async function imagesOf({ load: { imageFile }, registries }: Config): Promise<readonly ImageOfList[]> {
  if (imageFile === undefined) throw new ConfigError('--image-file: found nothing, want a list of images')
  try {
    return await listedImages(imageFile, configuredNames(registries))
  } catch (cause) {
    if (cause instanceof ImageFileError) throw new ConfigError(`--image-file: ${cause.message}`, { cause })
    throw cause
  }
}

async function loaded(config: Config, images: readonly ImageOfList[], io: Io, signal: AbortSignal): Promise<LoadReport> {
  // loaded on first use: other commands need none of it
  const [{ storeParts }, { holderOf, takeStore }, { withCache }, { VERSION }] = await Promise.all([
    import('../store/store-parts.ts'),
    import('./held-store.ts'),
    import('./command-cache.ts'),
    import('./build-info.ts'),
  ])
  const { imagePath, minFree, logLevel, logFormat } = config
  const { clock } = io
  const display = new LoadDisplay(io)
  const log = createLog({ level: logLevel, format: logFormat, write: (text) => display.write(text), clock })
  const parts = storeParts({ imagePath, minFree, self: holderOf('ociregistry load', io), clock, log })
  const advice = 'to load images into a store that a server runs on: POST /cmd/prefetch there, or start it with serve --preload-images'
  await takeStore(parts, 'load', () => advice)
  try {
    return await withCache(parts, { config, clock, log, version: VERSION }, async (cache) => {
      const { platforms, referrers, concurrency } = config.load
      const loader = cache.newLoader({ platforms, referrers, urgency: 'client' })
      const run = new LoadRun(images, { loader, concurrency, onResult: (_, progress) => display.tell(progress) })
      display.start(run)
      await run.run(signal).finally(() => display.stop())
      return { store: imagePath, images: run.images, amounts: run.amounts() }
    })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === undefined) throw error
    throw new ConfigError(`cannot load into the store ${imagePath}: ${reasonOf(error)}`, { cause: error })
  } finally {
    await parts.hold.release()
  }
}
