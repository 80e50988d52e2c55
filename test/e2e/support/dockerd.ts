/** dockerd as root, in a mount namespace of its own, so that it leaves no mount behind; driven by its API, as every Docker client does. */
import { mkdir, readdir, writeFile } from 'node:fs/promises'
import { type IncomingMessage, request } from 'node:http'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import type { Cleanup } from './cleanup.ts'
import { until } from './poll.ts'
import { run, start } from './processes.ts'
import { commandPath } from './requirements.ts'
import { testDirectory } from './run-directory.ts'

/** Why this machine cannot run dockerd as it must be run, or false. */
export async function dockerdRefused(): Promise<string | false> {
  if (process.getuid?.() !== 0) return 'privilege: only root can start dockerd'
  const { code, stderr } = await run(commandPath('unshare'), [...ownMounts, 'true'])
  return code === 0 ? false : `privilege: unshare cannot make a mount namespace: ${stderr.trim()}`
}

const ownMounts = ['--mount']

export type Dockerd = {
  /** `docker pull` of `name:tag`. Throws with the daemon's own words when it fails. */
  pull(name: string, tag: string): Promise<void>
  /** What it has of `name:tag`: the digest that the tag stands for, the config, the layers; sorted. */
  digests(reference: string): Promise<string[]>
}

/**
 * A daemon with nothing in it, ready to be asked; networks are left alone. HTTP to registries is done by the daemon, so it gets the environment.
 * @param daemonJson its configuration
 */
export async function startDockerd(t: Cleanup, daemonJson: string, env: NodeJS.ProcessEnv): Promise<Dockerd> {
  const directory = await testDirectory(t)
  const configFile = join(directory, 'daemon.json')
  // the one file of its own that it would keep in /etc, and that no flag moves
  await writeFile(configFile, JSON.stringify({ ...JSON.parse(daemonJson), 'deprecated-key-path': join(directory, 'key.json') }))
  const [socket, data] = [join(directory, 'd.sock'), join(directory, 'data')]
  await mkdir(data)
  const args = [
    ...['--config-file', configFile, '--host', `unix://${socket}`, '--pidfile', join(directory, 'pid'), '--storage-driver', 'vfs'],
    ...['--data-root', data, '--exec-root', join(directory, 'exec')],
    ...['--bridge=none', '--iptables=false', '--ip6tables=false', '--ip-forward=false', '--ip-masq=false'],
  ]
  const daemon = start(t, 'dockerd', commandPath('unshare'), [...ownMounts, commandPath('dockerd'), ...args], {
    env: { ...env, HOME: directory, TMPDIR: directory },
  })
  await until('dockerd answers', async () => {
    if (daemon.exit() !== undefined) throw new Error(`dockerd ended: ${daemon.output()}`)
    return (await ask(socket, 'GET', '/_ping').catch(() => undefined)) === 'OK'
  })
  return {
    async pull(name, tag) {
      // the status is 200 as soon as it begins; what became of it is in the last of many lines
      const progress = await ask(socket, 'POST', `/images/create?fromImage=${encodeURIComponent(name)}&tag=${tag}&platform=linux/amd64`)
      if (progress.includes('"error"')) throw new Error(`docker pull ${name}:${tag}: ${progress.trim().split('\n').at(-1)}`)
    },
    async digests(reference) {
      const { Id, RepoDigests }: { Id: string; RepoDigests: string[] } = JSON.parse(await ask(socket, 'GET', `/images/${reference}/json`))
      const named = RepoDigests.map((repoDigest) => repoDigest.replace(/^.*@/, ''))
      const layers = await readdir(join(data, 'image/vfs/distribution/diffid-by-digest/sha256'))
      return [Id, ...named, ...layers.map((hex) => `sha256:${hex}`)].sort()
    },
  }
}

async function ask(socketPath: string, method: string, path: string): Promise<string> {
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    request({ socketPath, method, path, agent: false }).once('response', resolve).once('error', reject).end()
  })
  const body = await text(response)
  if (response.statusCode !== 200) throw new Error(`${method} ${path}: ${response.statusCode} ${body}`)
  return body
}
