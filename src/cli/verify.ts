/** The command `verify`: reads all that is stored and says what is wrong; with `--repair` it mends what it can. */
import type { Config } from '../config/config.ts'
import { reasonOf } from '../config/errno.ts'
import { ConfigError } from '../config/error.ts'
import type { CommandLineValues } from '../config/flags.ts'
import { loadConfig } from '../config/load.ts'
import { createLog, type Log } from '../observe/log.ts'
import { lockHolder } from '../store/lock.ts'
import type { Command } from './command.ts'
import { refuseOtherThanStore } from './held-store.ts'
import type { Io } from './io.ts'
import { isComplete, isSound, type VerifyReport, verifyDocument, verifyTable } from './verify-report.ts'

/** It shares the disk with a server that runs on the store. */
const BESIDE_A_SERVER_BYTES_PER_SECOND = 200 * 1024 * 1024

export const verify: Command = {
  name: 'verify',
  aliases: [],
  summary: 'Read all that is stored, and say what is wrong; exit code 1 if something is',
  flags: 'verify',
  mistakeCode: 2,
  examples: [
    'ociregistry verify --image-path /var/lib/ociregistry',
    'ociregistry verify --complete --image-path /var/lib/ociregistry',
    'ociregistry verify --json --rate 50MiB',
    'ociregistry --config-file config.yaml verify --repair',
  ],
  async run(line, io) {
    const { json, complete, repair } = line.values
    if (complete === true && repair === true)
      throw new ConfigError('--complete: found beside --repair, want one of the two: first mend, then look')
    const { config } = await loadConfig({ flags: line, env: io.env, platform: io.platform, clock: io.clock })
    await refuseOtherThanStore(config.imagePath, 'verify')
    const awake = setInterval(() => {}, 1000) // pauses alone do not keep the process alive
    try {
      const report = await verified(config, line.values, io)
      io.stdout(json === true ? verifyDocument(report) : verifyTable(report))
      return isSound(report) && (complete !== true || isComplete(report)) ? 0 : 1
    } finally {
      clearInterval(awake)
    }
  },
}

async function verified(config: Config, { rate, repair }: CommandLineValues, io: Io): Promise<VerifyReport> {
  const log = createLog({ level: config.logLevel, format: config.logFormat, write: (text) => io.stderr(text), clock: io.clock })
  try {
    if (repair === true) return await (await import('./repair.ts')).repair({ config, rate, io, log })
    return await look(config, rate ?? (await paceBesideServer(config.imagePath)), io, log)
  } catch (error) {
    if (error instanceof ConfigError || (error as NodeJS.ErrnoException).code === undefined) throw error
    const { path = config.imagePath } = error as NodeJS.ErrnoException
    throw new ConfigError(`cannot verify the store ${config.imagePath}: ${path}: ${reasonOf(error)}`, { cause: error })
  }
}

async function look(config: Config, rate: number | undefined, io: Io, log: Log): Promise<VerifyReport> {
  // loaded on first use: other commands need none of it
  const [{ StoreCheck }, { Inspector }, { Pace }, { StoreFiles }] = await Promise.all([
    import('../cache/store-check.ts'),
    import('../cache/inspector.ts'),
    import('../cache/pace.ts'),
    import('../store/store-files.ts'),
  ])
  const files = new StoreFiles(config.imagePath, log)
  const check = await new StoreCheck(files, new Inspector(files, new Pace(io.clock, rate))).run()
  return { store: config.imagePath, check }
}

/** Somebody who cannot be asked counts as a server. */
async function paceBesideServer(imagePath: string): Promise<number | undefined> {
  const holder = await lockHolder(imagePath).catch(() => 'unknown' as const)
  return holder === undefined ? undefined : BESIDE_A_SERVER_BYTES_PER_SECOND
}
