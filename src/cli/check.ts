/** The command `check`: whether the server would start with a configuration. Reads it, and the files that it names, and touches nothing else. */
import { access, constants, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { reasonOf } from '../config/errno.ts'
import { ConfigError } from '../config/error.ts'
import { type LoadedConfig, loadConfig } from '../config/load.ts'
import { printable } from '../observe/printable.ts'
import { ImageFileError, listedImages } from '../server/image-files.ts'
import { configuredNames } from '../server/which-registry.ts'
import { errorCode } from '../store/file.ts'
import { type CheckReport, checkDocument, settingsTable } from './check-report.ts'
import type { Command } from './command.ts'
import type { Io } from './io.ts'

export const check: Command = {
  name: 'check',
  aliases: [],
  summary: 'Look for mistakes in the configuration and the files that it names, without a network; exit code 1 if there are any',
  flags: 'check',
  examples: ['ociregistry check --image-path /var/lib/ociregistry --port 9000', 'ociregistry check --print'],
  async run(line, io) {
    const report = await lookAt(() => loadConfig({ flags: line, env: io.env, platform: io.platform, clock: io.clock }))
    const isSound = report.mistakes.length === 0
    if (line.values.json === true) io.stdout(checkDocument(report, line.values.print === true))
    else tell(report, line.values.print === true, io)
    return isSound ? 0 : 1
  },
}

function tell({ mistakes, warnings, settings }: CheckReport, print: boolean, io: Io): void {
  for (const mistake of mistakes) io.stderr(`error: ${printable(mistake)}\n`)
  for (const warning of warnings) io.stderr(`warning: ${printable(warning)}\n`)
  if (print) io.stdout(settingsTable(settings))
  else if (mistakes.length === 0) io.stdout('no mistakes were found\n')
}

async function lookAt(load: () => Promise<LoadedConfig>): Promise<CheckReport> {
  try {
    const loaded = await load()
    return { ...loaded, mistakes: [...(await mistakesOfLogFile(loaded)), ...(await mistakesOfLists(loaded))] }
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    return { mistakes: [error.message, ...error.others], warnings: [], settings: [] }
  }
}

async function mistakesOfLogFile({ config: { logFile } }: LoadedConfig): Promise<readonly string[]> {
  const why = logFile === undefined ? undefined : await whyUnwritable(logFile)
  return why === undefined ? [] : [`logFile: cannot write ${logFile}: ${why}, want a file that can be written`]
}

/** What is not there yet would be made in its directory; here nothing is made. */
async function whyUnwritable(file: string): Promise<string | undefined> {
  try {
    const stats = await stat(file).catch((error: unknown) => {
      if (errorCode(error) !== 'ENOENT') throw error
    })
    if (stats?.isDirectory() === true || file.endsWith('/')) return 'it is a directory'
    await access(stats === undefined ? dirname(file) : file, constants.W_OK)
    return undefined
  } catch (error) {
    return reasonOf(error)
  }
}

/** The server would find them when it reads the lists, and `load` when it begins. */
async function mistakesOfLists({ config: { load, registries } }: LoadedConfig): Promise<readonly string[]> {
  const mistakes: string[] = []
  for (const key of ['preloadImages', 'imageFile'] as const) {
    const spec = load[key]
    if (spec === undefined) continue
    try {
      for (const listed of await listedImages(spec, configuredNames(registries)))
        if ('problem' in listed) mistakes.push(`${listed.list}:${listed.line}: found ${JSON.stringify(listed.text)}: ${listed.problem}`)
    } catch (error) {
      if (!(error instanceof ImageFileError)) throw error
      mistakes.push(`${key}: ${error.message}`)
    }
  }
  return mistakes
}
