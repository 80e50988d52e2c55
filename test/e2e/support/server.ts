/** The program under test: the built file, copied alone to an empty directory, run as a person would run it. */
import { copyFile, mkdir, mkdtemp, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { root } from '../../../scripts/root.mjs'
import type { Cleanup } from './cleanup.ts'
import { until } from './poll.ts'
import { freePort } from './ports.ts'
import { type Running, start } from './processes.ts'
import { testDirectory } from './run-directory.ts'

/** The built file in an empty directory; its path. */
export async function installProgram(t: Cleanup): Promise<string> {
  const program = join(await testDirectory(t), 'ociregistry.cjs')
  await copyFile(join(root, 'dist/ociregistry.cjs'), program)
  return program
}

export type Installation = {
  readonly program: string
  readonly configFile: string
  readonly imagePath: string
  readonly port: number
  /** `http://127.0.0.1:<port>` */
  readonly url: string
  readonly mirror: string
  /** Starts it. May be done again after it has stopped. */
  launch(): Promise<Running>
  /** Resolves when it answers. @throws Error if it ends before that */
  ready(server: Running): Promise<void>
  /** Starts it, waits until it answers. */
  start(): Promise<Running>
}

/** A registry as the configuration file names it, and where it lives. */
export type Upstream = {
  readonly name: string
  readonly url: string /** PEM file with its authority. */
  readonly caPath?: string | undefined
}

/**
 * Program, configuration, an empty store and a port: everything but the running process.
 * @param settings more keys of the configuration file, as YAML has them
 */
export async function install(
  t: Cleanup,
  upstreams: readonly Upstream[],
  settings: Readonly<Record<string, string>> = {},
): Promise<Installation> {
  const program = await installProgram(t)
  const directory = await testDirectory(t)
  const imagePath = join(directory, 'images')
  const configFile = join(directory, 'config.yaml')
  const entries = upstreams.map(
    ({ name, url, caPath }) => `  - name: ${name}\n    url: ${url}\n${caPath === undefined ? '' : `    tls: {ca: ${caPath}}\n`}`,
  )
  const lines = Object.entries({ imagePath, logLevel: 'debug', ...settings }).map(([key, value]) => `${key}: ${value}\n`)
  await writeFile(configFile, `${lines.join('')}registries:\n${entries.join('')}`)
  const port = await freePort()
  const mirror = `127.0.0.1:${port}`
  const url = `http://${mirror}`
  const args = [program, 'serve', '--config-file', configFile, '--port', String(port)]
  const launch = async () => {
    const cwd = await emptyDirectory(directory)
    return start(t, 'ociregistry', process.execPath, args, { cwd, env: { PATH: process.env.PATH, HOME: directory } })
  }
  const ready = async (server: Running) => {
    await until('the server answers', async () => {
      if (server.exit() !== undefined) throw new Error(`the server ended: ${server.output()}`)
      return (await fetch(`${url}/v2/`).catch(() => undefined))?.ok
    })
  }
  return {
    program,
    configFile,
    imagePath,
    port,
    url,
    mirror,
    launch,
    ready,
    async start() {
      const server = await launch()
      await ready(server)
      return server
    },
  }
}

async function emptyDirectory(parent: string): Promise<string> {
  await mkdir(parent, { recursive: true })
  return mkdtemp(join(parent, 'cwd-'))
}
