/** The commands `install` and `uninstall`: this very file becomes a service of systemd, or no longer is one. */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { readFile, stat } from 'node:fs/promises'
import { isAbsolute, resolve } from 'node:path'
import { promisify } from 'node:util'
import { reasonOf } from '../config/errno.ts'
import { ConfigError } from '../config/error.ts'
import type { CommandLine } from '../config/flags.ts'
import type { Command } from './command.ts'
import { type Ground, putInPlace, takeAway } from './installation.ts'
import type { Io } from './io.ts'
import { SYSTEMD_TEXTS } from './systemd-texts.ts'

export const install: Command = {
  name: 'install',
  aliases: [],
  summary: 'Make this program a service of systemd, or bring that up to date',
  flags: 'install',
  examples: [
    'ociregistry install --systemd',
    'ociregistry install --systemd --listen 0.0.0.0:8080',
    'ociregistry install --systemd --root /mnt/image --dry-run',
  ],
  async run(line, io) {
    const ground = await groundOf(line, io)
    if (SYSTEMD_TEXTS === undefined) throw new ConfigError('install: found a program that was not built, want ociregistry.cjs')
    return putInPlace(ground, { texts: SYSTEMD_TEXTS, program: await readFile(io.process.program), listen: line.values.listen })
  },
}

export const uninstall: Command = {
  name: 'uninstall',
  aliases: [],
  summary: 'Remove the service; configuration and store stay',
  flags: 'uninstall',
  examples: ['ociregistry uninstall --systemd --dry-run', 'ociregistry uninstall --systemd'],
  run: async (line, io) => takeAway(await groundOf(line, io)),
}

async function groundOf({ words: [command], values }: CommandLine, io: Io): Promise<Ground> {
  if (values.systemd !== true) throw new ConfigError(`${command}: found nothing that says for what, want --systemd`)
  const root = values.root === undefined ? undefined : await rootAt(values.root)
  return {
    root,
    dryRun: values.dryRun === true,
    systemdRuns: root === undefined && existsSync('/run/systemd/system'), // sd_booted(3)
    run: async ([program, ...args]) => void (await promisify(execFile)(program, args)),
    stdout: (text) => io.stdout(text),
    stderr: (text) => io.stderr(text),
  }
}

/** Never one that is made for it: a name that was mistyped would get all files, and the system that is meant none. */
async function rootAt(path: string): Promise<string> {
  const wanted = 'want the root directory of another system, as an absolute path'
  if (!isAbsolute(path)) throw new ConfigError(`--root: found ${JSON.stringify(path)}, ${wanted}`)
  const why = await stat(path).then((stats) => (stats.isDirectory() ? undefined : 'it is no directory'), reasonOf)
  if (why !== undefined) throw new ConfigError(`--root: found ${JSON.stringify(path)}: ${why}, ${wanted}`)
  return resolve(path)
}
