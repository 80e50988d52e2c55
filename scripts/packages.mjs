/** Programs that tests and measurements drive: which Debian package brings each, what is missing here, and installing it. */
import { spawnSync } from 'node:child_process'
import { accessSync, constants, existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'

/** What the end-to-end tests drive: command -> Debian package. @type {ReadonlyMap<string, string>} */
export const packages = new Map([
  ['skopeo', 'skopeo'],
  ['podman', 'podman'],
  ['buildah', 'buildah'],
  ['dockerd', 'docker.io'],
  ['containerd', 'containerd'],
  ['ctr', 'containerd'],
  ['runc', 'runc'],
  ['docker-registry', 'docker-registry'],
  ['openssl', 'openssl'],
  ['prometheus', 'prometheus'],
  ['promtool', 'prometheus'],
  ['setpriv', 'util-linux'],
  ['unshare', 'util-linux'],
  ['systemd-analyze', 'systemd'],
])

/** Where a command lies, or undefined; the system's directories count although a plain user's PATH may lack them. @param {string} command */
export function findCommand(command) {
  const directories = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin']
  return directories.map((directory) => join(directory, command)).find(isExecutable)
}

/** @param {string} path */
function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** Debian packages of which a command is missing. @param {ReadonlyMap<string, string>} wanted */
export function missingPackages(wanted = packages) {
  const names = [...wanted].filter(([command]) => findCommand(command) === undefined).map(([, name]) => name)
  return [...new Set(names)]
}

/** Installs what is missing where it may (root, apt-get); elsewhere it leaves everything as it is, and whoever needs it says what it lacks. @param {ReadonlyMap<string, string>} wanted */
export function installPackages(wanted = packages) {
  const missing = missingPackages(wanted)
  if (missing.length === 0 || process.getuid?.() !== 0 || findCommand('apt-get') === undefined) return
  process.stderr.write(`installing Debian packages: ${missing.join(' ')} ...\n`)
  withoutStartingServices(() => {
    const install = ['install', '-y', '-qq', '--no-install-recommends', ...missing]
    // a machine that never asked for package lists has none; one that cannot ask must not wait for long
    if (aptGet(install).status !== 0) {
      aptGet(['update', '-qq'])
      const { status, output } = aptGet(install)
      if (status !== 0) process.stderr.write(`${output}apt-get could not install them\n`)
    }
  })
}

/** @param {string[]} args */
function aptGet(args) {
  const options = [
    '-o',
    'Acquire::Retries=1',
    '-o',
    'Acquire::http::Timeout=20',
    '-o',
    'Acquire::https::Timeout=20',
    '-o',
    'DPkg::Lock::Timeout=60',
  ]
  const { status, stdout, stderr } = spawnSync('apt-get', [...options, ...args], {
    encoding: 'utf8',
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  return { status, output: `${stdout ?? ''}${stderr ?? ''}` }
}

const policyFile = '/usr/sbin/policy-rc.d'
const keptPolicy = '/usr/sbin/policy-rc.d.before-ociregistry-tests'
const ourPolicy = '#!/bin/sh\n# put here by the tests of ociregistry while they install packages; remove it\nexit 101\n'

/** Debian starts a service as soon as its package is installed, unless this file forbids it. The machine's own comes back whatever happens. @param {() => void} work */
function withoutStartingServices(work) {
  // apt-get gets the terminal's Ctrl-C itself and ends; we must live to put the policy back
  const stay = () => {}
  process.on('SIGINT', stay).on('SIGTERM', stay)
  restorePolicy()
  try {
    if (existsSync(policyFile)) renameSync(policyFile, keptPolicy)
    writeFileSync(policyFile, ourPolicy, { mode: 0o755 })
    work()
  } finally {
    restorePolicy()
    process.off('SIGINT', stay).off('SIGTERM', stay)
  }
}

/** Also after a run that was killed in the middle. */
function restorePolicy() {
  if (existsSync(policyFile) && readFileSync(policyFile, 'utf8') === ourPolicy) rmSync(policyFile)
  if (existsSync(keptPolicy) && !existsSync(policyFile)) renameSync(keptPolicy, policyFile)
}
