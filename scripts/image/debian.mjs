/** Debian packages as apt knows them on this machine, unpacked without being installed: where the image's libraries and certificates come from. */
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readlinkSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { cacheDirectory } from '../nodes.mjs'
import { findCommand } from '../packages.mjs'

/** Unpacked: where its files lie, and its paragraph as dpkg keeps it. @typedef {{ name: string, version: string, directory: string, control: string }} Package */

/**
 * Their files are there while `use` runs.
 * @template T
 * @param {readonly string[]} names
 * @param {(packages: readonly Package[]) => T} use
 * @returns {T}
 * @throws Error with what to tell a person
 */
export function withPackages(names, use) {
  if (findCommand('apt-get') === undefined || findCommand('dpkg-deb') === undefined)
    throw new Error('this machine has no apt-get and dpkg-deb: the libraries of the image are taken from packages of Debian')
  const temporary = mkdtempSync(join(tmpdir(), 'oci-'))
  try {
    const packages = names.map((name) => unpack(name, temporary))
    return use([...packages, ...sharedDocumentation(packages).map((name) => unpack(name, temporary))])
  } finally {
    rmSync(temporary, { recursive: true, force: true })
  }
}

/** @param {string} name @param {string} temporary @returns {Package} */
function unpack(name, temporary) {
  const file = download(name)
  const directory = join(temporary, name)
  succeed('dpkg-deb', ['--extract', file, directory])
  const control = succeed('dpkg-deb', ['--field', file])
  return { name, version: /^Version: (.*)$/m.exec(control)?.[1] ?? '', directory, control }
}

/** apt-get keeps what is whole already, and checks what it fetches against the signed lists. @param {string} name @returns {string} its path */
function download(name) {
  const directory = join(cacheDirectory(), 'debian')
  mkdirSync(directory, { recursive: true })
  const uris = packageUris(name)
  const file = /^'[^']+' (\S+\.deb) /m.exec(uris)?.[1]
  if (file === undefined) throw new Error(`apt-get knows no package ${name}: ${uris.trim()}`)
  // as root it would become another user for this, who may not write here
  succeed('apt-get', ['--quiet', '--option', 'APT::Sandbox::User=root', '--option', 'Acquire::Retries=1', 'download', name], directory)
  return join(directory, file)
}

/** A machine that never asked for package lists has none. @param {string} name */
function packageUris(name) {
  const ask = () => spawnSync('apt-get', ['--print-uris', 'download', name], { encoding: 'utf8' })
  const { status, stdout } = ask()
  if (status === 0 && stdout.includes('.deb')) return stdout
  spawnSync('apt-get', ['--quiet', 'update'], { stdio: 'ignore' })
  const again = ask()
  return `${again.stdout}${again.stderr}`
}

/** Packages that the others leave their licences to: `usr/share/doc/libgcc-s1` is a link to `gcc-12-base`. @param {readonly Package[]} packages */
function sharedDocumentation(packages) {
  const targets = packages.flatMap(({ name, directory }) => {
    try {
      return [basename(readlinkSync(join(directory, 'usr/share/doc', name)))]
    } catch {
      return []
    }
  })
  return [...new Set(targets)].filter((target) => packages.every(({ name }) => name !== target))
}

/** @param {string} command @param {readonly string[]} args @param {string} [cwd] @returns {string} what it printed */
function succeed(command, args, cwd) {
  const { status, stdout, stderr, error } = spawnSync(command, args, { cwd, encoding: 'utf8' })
  if (status !== 0) throw new Error(`${command} ${args.at(-1)}: ${error?.message ?? (stderr.trim() || `exit code ${status}`)}`)
  return stdout
}
