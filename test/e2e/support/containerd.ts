/** containerd and ctr without privileges, and the hosts.toml that send them to a mirror (B.1). */
import { chown, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Cleanup } from './cleanup.ts'
import { contentOf } from './content-check.ts'
import { until } from './poll.ts'
import { run, start, succeed } from './processes.ts'
import { readmeExample } from './readme.ts'
import { commandPath } from './requirements.ts'
import { testDirectory } from './run-directory.ts'

/** Why this machine cannot run containerd as it must be run, or false. */
export async function containerdRefused(): Promise<string | false> {
  if (process.getuid?.() !== 0) return false
  const { code, stderr } = await run(commandPath('setpriv'), [...asNobody, 'true'])
  return code === 0 ? false : `privilege: setpriv cannot become another user: ${stderr.trim()}`
}

const nobody = 65534
const asNobody = [`--reuid=${nobody}`, `--regid=${nobody}`, '--clear-groups']

/** Plug-ins that need privileges, or say so at every start. */
const disabledPlugins = [
  ...['grpc.v1.cri', 'internal.v1.opt', 'internal.v1.tracing', 'tracing.processor.v1.otlp', 'runtime.v1.linux', 'runtime.v2.task'],
  ...['aufs', 'btrfs', 'devmapper', 'zfs', 'overlayfs'].map((name) => `snapshotter.v1.${name}`),
].map((name) => `io.containerd.${name}`)

const configuration = (directory: string, uid: number, gid: number) => `version = 2
root = "${directory}/root"
state = "${directory}/state"
disabled_plugins = ${JSON.stringify(disabledPlugins)}
[grpc]
  address = "${directory}/c.sock"
  uid = ${uid}
  gid = ${gid}
[ttrpc]
  address = "${directory}/c.ttrpc"
  uid = ${uid}
  gid = ${gid}
`

export type Containerd = {
  /** `ctr content fetch`: resolves, fetches, keeps. HTTP is done by ctr, so it gets the environment. Throws with its own words when it fails. */
  fetch(reference: string, hostsDirectory: string, env: NodeJS.ProcessEnv, platform?: string): Promise<void>
  /** Digests of the content it has, hashed again. */
  content(): Promise<string[]>
  /** `ctr -n k8s.io image import`, without unpacking it, which takes privileges; the names of the images that it has then. */
  importArchive(path: string): Promise<string[]>
}

/** A containerd with nothing in it: content that it has already would not be fetched again. */
export async function startContainerd(t: Cleanup): Promise<Containerd> {
  const directory = await testDirectory(t)
  const root = process.getuid?.() === 0
  const [uid, gid] = root ? [nobody, nobody] : [process.getuid?.() ?? nobody, process.getgid?.() ?? nobody]
  const configFile = join(directory, 'config.toml')
  await writeFile(configFile, configuration(directory, uid, gid))
  if (root) await chown(directory, uid, gid)
  const socket = join(directory, 'c.sock')
  const command = [commandPath('containerd'), '-c', configFile]
  const env = { PATH: process.env.PATH, HOME: directory }
  const [program = '', ...args] = root ? [commandPath('setpriv'), ...asNobody, ...command] : command
  const daemon = start(t, 'containerd', program, args, { env })
  const ctr = (...args: string[]) => [commandPath('ctr'), '--address', socket, ...args] as const
  await until('containerd answers', async () => {
    if (daemon.exit() !== undefined) throw new Error(`containerd ended: ${daemon.output()}`)
    const [program, ...args] = ctr('--connect-timeout', '1s', 'version')
    return (await run(program, args, { env })).code === 0
  })
  return {
    async fetch(reference, hostsDirectory, clientEnv, platform) {
      const only = platform === undefined ? ['--all-platforms'] : ['--platform', platform]
      const [program, ...args] = ctr('content', 'fetch', '--hosts-dir', hostsDirectory, ...only, reference)
      await succeed(program, args, { env: { ...env, ...clientEnv } })
    },
    content: () => contentOf(join(directory, 'root/io.containerd.content.v1.content/blobs/sha256')),
    async importArchive(path) {
      const [program, ...args] = ctr('--namespace', 'k8s.io', 'image')
      await succeed(program, [...args, 'import', '--no-unpack', path], { env })
      return (await succeed(program, [...args, 'list', '--quiet'], { env })).stdout.trim().split('\n')
    },
  }
}

type HostsFile = {
  /** Directory under the hosts directory. */ readonly directory: string
  readonly example: RegExp
  readonly more?: string
}

/** The forms of hosts.toml by which a mirror is given: the README's examples. */
const hostsForms = {
  /** Every registry at once. */
  _default: { directory: '_default', example: /^\[host\."http:\/\/127\.0\.0\.1:8080"\]/ },
  /** As the seed documents show it, although the host is plain http. */
  'skip_verify on http': { directory: '_default', example: /^\[host\."http:\/\/127\.0\.0\.1:8080"\]/, more: '  skip_verify = true\n' },
  override_path: { directory: 'docker.io', example: /^\[host\."[^"]+\/v2\/docker\.io"\]\n(.*\n)* {2}override_path = true$/m },
  'path prefix': { directory: 'docker.io', example: /^\[host\."http:\/\/[^/"]+\/docker\.io"\]/m },
} satisfies Record<string, HostsFile>

export type HostsForm = keyof typeof hostsForms

/** Writes a hosts directory of one form for the server at `mirror` (`host:port`); answers with its path. */
export async function writeHosts(directory: string, form: HostsForm, mirror: string): Promise<string> {
  const { directory: registry, example, more = '' }: HostsFile = hostsForms[form]
  const hosts = join(directory, `hosts ${form}`.replaceAll(' ', '-'))
  await mkdir(join(hosts, registry), { recursive: true })
  await writeFile(join(hosts, registry, 'hosts.toml'), (await readmeExample('toml', example, mirror)) + more)
  return hosts
}
