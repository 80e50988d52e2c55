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
  readonly imagePath: string
  readonly port: number
  /** `http://127.0.0.1:<port>` */
  readonly url: string
  readonly mirror: string
  /** Starts it, waits until it answers. May be done again after it has stopped. */
  start(): Promise<Running>
}

/** A registry as the configuration file names it, and where it lives. */
export type Upstream = {
  readonly name: string
  readonly url: string /** PEM file with its authority. */
  readonly caPath?: string | undefined
}

/** Program, configuration, an empty store and a port: everything but the running process. */
export async function install(t: Cleanup, upstreams: readonly Upstream[]): Promise<Installation> {
  const program = await installProgram(t)
  const directory = await testDirectory(t)
  const imagePath = join(directory, 'images')
  const configFile = join(directory, 'config.yaml')
  const entries = upstreams.map(
    ({ name, url, caPath }) => `  - name: ${name}\n    url: ${url}\n${caPath === undefined ? '' : `    tls: {ca: ${caPath}}\n`}`,
  )
  await writeFile(configFile, `imagePath: ${imagePath}\nlogLevel: debug\nregistries:\n${entries.join('')}`)
  const port = await freePort()
  const mirror = `127.0.0.1:${port}`
  const url = `http://${mirror}`
  const args = [program, 'serve', '--config-file', configFile, '--port', String(port)]
  return {
    program,
    imagePath,
    port,
    url,
    mirror,
    async start() {
      const cwd = await emptyDirectory(directory)
      const server = start(t, 'ociregistry', process.execPath, args, { cwd, env: { PATH: process.env.PATH, HOME: directory } })
      await until('the server answers', async () => {
        if (server.exit() !== undefined) throw new Error(`the server ended: ${server.output()}`)
        return (await fetch(`${url}/v2/`).catch(() => undefined))?.ok
      })
      return server
    },
  }
}

async function emptyDirectory(parent: string): Promise<string> {
  await mkdir(parent, { recursive: true })
  return mkdtemp(join(parent, 'cwd-'))
}
