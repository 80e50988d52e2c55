/** The command `serve`: reads the configuration, starts the service, says so, and stops it when a signal or the admin API asks for it. */
import type { Config } from '../config/config.ts'
import { reasonOf } from '../config/errno.ts'
import { ConfigError } from '../config/error.ts'
import { type LoadedConfig, loadConfig } from '../config/load.ts'
import { createLog, type LogOptions } from '../observe/log.ts'
import { type LogOutput, openLogOutput } from '../observe/log-output.ts'
import { serviceManager } from '../observe/notify.ts'
import { printable } from '../observe/printable.ts'
import { summarised } from '../observe/repeats.ts'
import type { Service } from '../server/service.ts'
import { banner } from './banner.ts'
import { BUILD_DATE, VERSION } from './build-info.ts'
import type { Command } from './command.ts'
import { givenSockets } from './given-sockets.ts'
import type { Io } from './io.ts'
import { Reloader } from './reloader.ts'
import { describeStartFailure } from './start-failure.ts'

/** What is verified is made durable after the last answer. */
const ENDING_MS = 15_000

export const serve: Command = {
  name: 'serve',
  aliases: [],
  summary: 'Serve images to clients, pulling what is missing',
  flags: 'serve',
  examples: [
    'ociregistry serve --image-path /tmp/images --port 9000',
    'ociregistry --log-level info serve --image-path /tmp/images --air-gapped',
    'ociregistry serve --hello-world',
  ],
  async run(line, io) {
    const reloads = awaitReloadSignals(io)
    const load = () => loadConfig({ flags: line, env: io.env, platform: io.platform, clock: io.clock })
    const loaded = await load()
    const output = withLogFile(loaded.config, (file) => openLogOutput(file, (lines) => io.stderr(lines.toString())))
    try {
      return await runService(loaded, load, output, reloads, io)
    } finally {
      output.close()
    }
  },
}

/** @param use opens it. @throws ConfigError where it cannot */
function withLogFile<T>({ logFile }: Config, use: (file: string | undefined) => T): T {
  try {
    return use(logFile)
  } catch (cause) {
    throw new ConfigError(`cannot write the log file ${logFile}: ${reasonOf(cause)}; choose another with --log-file`, { cause })
  }
}

/** Goes on with the log as another configuration has it, if `work` succeeds. @throws ConfigError where its file cannot be opened; what `work` throws */
async function withLogOf(next: Config, output: LogOutput, logging: LogSettings, work: () => Promise<void>): Promise<void> {
  const move = withLogFile(next, output.prepare)
  await work().catch((error: unknown) => {
    move.stay()
    throw error
  })
  move.goOn()
  Object.assign(logging, logSettings(next))
}

type LogSettings = Pick<LogOptions, 'level' | 'format'>

function logSettings({ logLevel, logFormat }: Config): LogSettings {
  return { level: logLevel, format: logFormat }
}

/** @param load reads the configuration again */
async function runService(
  loaded: LoadedConfig,
  load: () => Promise<LoadedConfig>,
  output: LogOutput,
  reloads: ReloadSignals,
  io: Io,
): Promise<number> {
  const { config, warnings } = loaded
  const logging = { ...logSettings(config), write: output.write, clock: io.clock }
  const log = summarised(createLog(logging), io.clock)
  const started = io.clock.now()
  const signal = awaitStopSignal(io)
  try {
    const sockets = givenSockets(io.env, io.process.pid)
    const starting = io.startService({ config, log, clock: io.clock, version: VERSION, sockets })
    const service = await Promise.race([starting, signal.came])
    if (service === undefined) return 0 // asked to stop before it ran: nothing is open that a crash would harm
    output.flush()
    io.stderr(
      banner({
        config,
        version: VERSION,
        buildDate: BUILD_DATE,
        started,
        port: service.port,
        sockets: service.sockets,
        process: io.process,
      }),
    )
    for (const warning of warnings) io.stderr(`warning: ${printable(warning)}\n`)
    const reload = (next: Config) => withLogOf(next, output, logging, () => service.reload(next))
    const told = createLog({
      write: output.write,
      clock: io.clock,
      level: 'info',
      get format() {
        return logging.format
      },
    })
    const manager = serviceManager({ env: io.env, onFailure: (why) => log.error(why) })
    const serving = `serving on ${service.sockets.pulls ?? `port ${service.port}`}`
    void manager.ready(serving)
    const onBegin = () => void manager.reloading('reading the configuration')
    const onEnd = (problem?: string) => void manager.ready(problem === undefined ? serving : `${serving}; ${problem}`)
    const reloader = new Reloader({ load, started: loaded, service: { reload }, output, log: told, onBegin, onEnd })
    reloads.goTo(() => reloader.reload())
    const askedBy = await Promise.race([signal.came.then(() => 'a signal'), service.stopRequested.then(() => '/cmd/stop')])
    log.info('stopping', { askedBy })
    void manager.stopping('letting answers end', service.drainMs() + ENDING_MS)
    const code = await stop(service, io)
    log.info('stopped')
    return code
  } catch (error) {
    log.debug('could not start', { error }) // at this level, with the stack
    output.flush()
    io.stderr(`error: ${printable(describeStartFailure(error, config, io.process.uid))}\n`)
    return 1
  } finally {
    log.tellRest()
    signal.ignore()
    reloads.ignore()
  }
}

async function stop(service: Service, io: Io): Promise<number> {
  try {
    await service.stop()
    return 0
  } catch (error) {
    io.stderr(`error: cannot stop cleanly: ${printable(reasonOf(error))}\n`)
    return 1
  }
}

type StopSignal = { readonly came: Promise<undefined>; readonly ignore: () => void }

/** The first signal asks the service to end what it is doing; who sends a second does not want to wait for that. */
function awaitStopSignal(io: Io): StopSignal {
  let ignore = () => {}
  let signals = 0
  const came = new Promise<undefined>((resolve) => {
    ignore = io.onStopSignal(() => {
      signals++
      if (signals === 1) resolve(undefined)
      else io.exit(1)
    })
  })
  return { came, ignore }
}

type ReloadSignals = { readonly goTo: (reload: () => Promise<void>) => void; readonly ignore: () => void }

/**
 * The signal must never end the process, as it would by itself: neither before there is something to be reloaded (one that came meanwhile counts then)
 * nor when there is no more.
 */
function awaitReloadSignals(io: Io): ReloadSignals {
  let reload: (() => Promise<void>) | undefined
  let cameEarly = false
  io.onReloadSignal(() => {
    if (reload === undefined) cameEarly = true
    else void reload()
  })
  const goTo = (target: () => Promise<void>) => {
    reload = target
    if (cameEarly) void target()
    cameEarly = false
  }
  return { goTo, ignore: () => goTo(async () => {}) }
}
