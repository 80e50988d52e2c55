/** The image running as a container would run it: read-only, as its own user, process 1. By podman, or by what podman does, where that may not. */
import { mkdir, readFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { type Cleanup, onEnd } from './cleanup.ts'
import type { ContainerImage } from './container-image.ts'
import { removeControlGroups } from './control-group.ts'
import { until } from './poll.ts'
import { type Finished, run, start, succeed } from './processes.ts'
import { commandPath, lacks } from './requirements.ts'
import { testDirectory } from './run-directory.ts'

export type Container = {
  /** Resolves to the server's process id, as this machine counts. */
  pid(): Promise<number>
  /** Runs the health check of the image in it. */
  checkHealth(url: string): Promise<Finished>
  /** Asks it to end, as a runtime does; its exit code. */
  stop(): Promise<number | null>
}

export type Way = {
  /** Why this machine cannot do it, or false. */
  refused(): Promise<string | false>
  /** @param config directory with `registry-config.yaml`, which the chart mounts too */
  start(t: Cleanup, image: ContainerImage, config: string): Promise<Container>
}

/** Where the chart has its configuration, and how it starts the server. */
const configPath = '/var/ociregistry/config'
const command = ['/ociregistry/server', '--config-file', `${configPath}/registry-config.yaml`, 'serve']

/** What mounts do before the root file system becomes read-only: $1 is the root, $2 the store, $3 the configuration. */
const mounts = `mount --make-rprivate / && mount --bind "$1" "$1" && mount --bind "$2" "$1/var/lib/ociregistry" && mount --bind "$3" "$1${configPath}" &&
mount --options remount,bind,ro "$1"`

/** Namespaces and a root directory, without any program for containers. */
export const byChroot: Way = {
  async refused() {
    const missing = lacks('unshare', 'chroot')
    if (missing !== false) return missing
    const { code, stderr } = await run(commandPath('unshare'), ['--mount', '--pid', '--fork', 'mount', '--make-rprivate', '/'])
    return code === 0 ? false : `privilege: unshare cannot make namespaces: ${stderr.trim()}`
  },
  async start(t, { layers }, config) {
    const [root, store] = [await testDirectory(t), await testDirectory(t)]
    for (const layer of layers) await succeed('tar', ['--extract', '--preserve-permissions', '--file', layer, '--directory', root])
    await succeed('chown', ['65532:65532', store])
    await mkdir(join(root, configPath), { recursive: true })
    const script = `${mounts} && root=$1 && shift 3 && exec chroot --userspec=65532:65532 "$root" "$@"`
    const args = ['--mount', '--pid', '--fork', 'sh', '-c', script, 'sh', root, store, config, ...command]
    const unshare = start(t, 'the image', commandPath('unshare'), args, { env: { PATH: process.env.PATH } })
    const pid = () => until('the server is a process', () => childOf(unshare.pid))
    // without its child unshare ends by itself
    onEnd(t, async () => unshare.exit() ?? process.kill(await pid(), 'SIGKILL'))
    return {
      pid,
      checkHealth: (url) =>
        run(commandPath('chroot'), ['--userspec=65532:65532', root, '/ociregistry/healthy'], { env: healthEnvironment(url) }),
      async stop() {
        process.kill(await pid(), 'SIGTERM')
        return (await unshare.exited).code
      },
    }
  },
}

const healthEnvironment = (url: string) => ({ PATH: '/usr/bin', OCIREGISTRY_HEALTH_URL: url })

async function childOf(pid: number): Promise<number | undefined> {
  const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '')
  return Number(children.trim().split(' ')[0]) || undefined
}

/** podman with a storage of its own. `runc`, since `crun` wants more of control groups than some machines have. */
export const byPodman: Way = {
  async refused() {
    const missing = lacks('podman', 'runc')
    if (missing !== false) return missing
    return process.getuid?.() === 0 ? false : 'privilege: a container on the network of the host takes root'
  },
  async start(t, { archive }, config) {
    const podman = await ownPodman(t)
    const name = 'ociregistry'
    const { stdout } = await succeed(podman.command, [...podman.flags, 'load', '--quiet', '--input', archive], podman.options)
    const [image = ''] = /\S+$/.exec(stdout.trim()) ?? []
    const limits = ['--ulimit', 'nofile=1024:1024', '--ulimit', 'nproc=1024:1024']
    const where = ['--network', 'host', '--cgroup-parent', `/${podman.controlGroup}`, '--volume', `${config}:${configPath}:ro`]
    const flags = ['run', '--rm', '--name', name, '--read-only', '--no-healthcheck', ...limits, ...where, image, ...command.slice(1)]
    const running = start(t, 'the image', podman.command, [...podman.flags, ...flags], podman.options)
    return {
      pid: () => until('the server is a process', () => podman.pid(name)),
      checkHealth: (url) => {
        const env = ['--env', `OCIREGISTRY_HEALTH_URL=${url}`]
        return run(podman.command, [...podman.flags, 'exec', ...env, name, '/ociregistry/healthy'], podman.options)
      },
      stop: async () => (await running.stop()).code,
    }
  },
}

/** @returns how it is called; nothing of it is left when the test has ended */
async function ownPodman(t: Cleanup) {
  const storage = await testDirectory(t)
  const controlGroup = basename(storage)
  onEnd(t, () => removeControlGroups(controlGroup))
  const options = { env: { PATH: process.env.PATH, HOME: storage, TMPDIR: storage, XDG_RUNTIME_DIR: storage }, timeoutMs: 120_000 }
  const flags = [
    ...['--root', join(storage, 'root'), '--runroot', join(storage, 'run'), '--tmpdir', join(storage, 'tmp'), '--storage-driver', 'vfs'],
    ...['--cgroup-manager', 'cgroupfs', '--events-backend', 'file', '--runtime', commandPath('runc')],
  ]
  const command = commandPath('podman')
  const pid = async (name: string) => {
    const { stdout } = await run(command, [...flags, 'inspect', '--format', '{{.State.Pid}}', name], options)
    return Number(stdout) || undefined
  }
  return { command, flags, options, controlGroup, pid }
}
