/**
 * The real systemd, as process 1 of namespaces of its own: on this machine's files, of which it sees a copy that goes with it, in a control group of its
 * own, without devices, and with the kernel's settings read-only. It has the network of the test.
 */
import { readFile } from 'node:fs/promises'
import { type Cleanup, onEnd } from './cleanup.ts'
import { until } from './poll.ts'
import { type Finished, run, start, succeed } from './processes.ts'
import { commandPath } from './requirements.ts'
import { testDirectory } from './run-directory.ts'

export type Systemd = {
  /** Runs a command beside it, to its end. */
  run(...command: readonly string[]): Promise<Finished>
  /** As `run`. @throws Error with all that it said unless it ends with 0 */
  succeed(...command: readonly string[]): Promise<string>
  /** Replaces a file that it sees. */
  write(path: string, text: string): Promise<void>
}

/** What belongs to the machine, and not to what runs on it. */
const MASKED = [
  'dev-hugepages.mount',
  'dev-mqueue.mount',
  'kmod-static-nodes.service',
  'proc-sys-fs-binfmt_misc.automount',
  'sys-fs-fuse-connections.mount',
  'sys-kernel-config.mount',
  'sys-kernel-debug.mount',
  'sys-kernel-tracing.mount',
  'systemd-firstboot.service',
  'systemd-journald-audit.socket',
  'systemd-modules-load.service',
  'systemd-remount-fs.service',
  'systemd-sysctl.service',
  'systemd-tmpfiles-setup.service', // it would clear /tmp first
  'systemd-udevd.service',
  'tmp.mount',
]

/** $0: a directory; $1: the name of a control group; $2: a file to be seen at /program. */
const JOIN_GROUP = `
set -e
mount -t tmpfs tmpfs "$0"
cd "$0"
mkdir cgroup upper work root
mount -t cgroup2 cgroup2 cgroup
mkdir "cgroup/$1"
echo 0 > "cgroup/$1/cgroup.procs"
exec unshare --cgroup sh -c "$3" "$2"
`

/** In the directory of the other, with a control group of its own. */
const BOOT = `
set -e
mount -t overlay overlay -o lowerdir=/,upperdir=upper,workdir=work root
cp "$0" root/program
cd root
mount -t proc proc proc
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs tmpfs run
mount -t tmpfs tmpfs dev
for device in 'null 1 3' 'zero 1 5' 'full 1 7' 'random 1 8' 'urandom 1 9' 'tty 5 0'; do
  set -- $device
  mknod -m 666 "dev/$1" c "$2" "$3"
done
mkdir dev/mqueue dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
: > etc/machine-id
: > etc/fstab
rm -rf etc/systemd/system etc/ociregistry var/lib/ociregistry
mkdir -p etc/systemd/system
for unit in ${MASKED.join(' ')}; do ln -s /dev/null "etc/systemd/system/$unit"; done
mount --move . /
exec chroot . env -i container=test PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --system --unit=basic.target --log-target=journal --show-status=no
`

const BOOTED = /^(?:running|degraded)\n$/

/** Ends with the test. @param program a file to be seen at /program. Text: why this machine refuses it */
export async function bootSystemd(t: Cleanup, program: string): Promise<Systemd | string> {
  const directory = await testDirectory(t)
  const group = `oci-test-${process.pid}`
  onEnd(t, () => removeGroup(group))
  const namespaces = ['--fork', '--kill-child', '--pid', '--mount', '--uts', '--ipc', '--propagation', 'private']
  const init = start(t, 'systemd', commandPath('unshare'), [...namespaces, 'sh', '-c', JOIN_GROUP, directory, group, program, BOOT])
  onEnd(t, () => init.stop('SIGKILL')) // it takes no other signal while it waits for its child, which ends with it
  const enter = async (command: readonly string[]) => {
    const [pid] = (await readFile(`/proc/${init.pid}/task/${init.pid}/children`, 'utf8')).split(' ')
    return ['--target', `${pid}`, '--mount', '--pid', '--uts', '--ipc', '--cgroup', ...command] as const
  }
  const systemd: Systemd = {
    run: async (...command) => run(commandPath('nsenter'), await enter(command)),
    succeed: async (...command) => (await succeed(commandPath('nsenter'), await enter(command))).stdout,
    write: async (path, text) => void (await systemd.succeed('sh', '-c', 'printf %s "$1" > "$0"', path, text)),
  }
  const state = async () => (init.exit() === undefined ? (await systemd.run('systemctl', 'is-system-running')).stdout : 'ended')
  const isOver = async () => [await state().catch(() => '')].find((text) => text === 'ended' || BOOTED.test(text))
  const reached = await until('systemd has booted', isOver, 30_000).catch(() => 'not booted')
  return BOOTED.test(reached) ? systemd : `privilege: systemd cannot run here: ${reached}: ${init.output().slice(-500)}`
}

/** It is empty once all of its processes have ended. */
async function removeGroup(name: string): Promise<void> {
  const remove = 'mount -t cgroup2 cgroup2 /mnt && { ! test -d "/mnt/$0" || find "/mnt/$0" -depth -type d -exec rmdir {} +; }'
  const isGone = async () => (await run(commandPath('unshare'), ['--mount', 'sh', '-c', remove, name])).code === 0
  await until(`the control group ${name} is gone`, isGone)
}
