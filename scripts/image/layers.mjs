/** What is in the image: a layer of what the program needs, which changes seldom, and one of the program. */
import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import { root } from '../root.mjs'
import { withPackages } from './debian.mjs'
import { withDirectories } from './tar.mjs'

/** @typedef {import('./tar.mjs').Entry} Entry */

/** Who runs it, as in other images without root. */
export const userId = 65532
export const storePath = 'var/lib/ociregistry'

/** `coreutils` for one file: the first line of the program is `#!/usr/bin/env node`. */
const packageNames = ['base-files', 'ca-certificates', 'coreutils', 'libc6', 'libgcc-s1', 'libstdc++6']

/** The libraries that Node names, and the loader. */
const library = /^(?:usr\/)?lib(?:64)?\/(?:[^/]+-linux-gnu\/)?(?:ld-linux-[^/]+|lib(?:c|dl|gcc_s|m|pthread|stdc\+\+)\.so\.[.\d]+)$/
const alsoTaken = /^(?:(?:usr\/)?bin\/env|usr\/lib\/os-release|usr\/share\/(?:common-licenses\/.*|doc\/[^/]+\/copyright))$/
const authority = /^usr\/share\/ca-certificates\/mozilla\/.*\.crt$/

/** The layer of the program: all that a base image with a Node of its own needs. @returns {Entry[]} */
export function programLayer() {
  return withDirectories([
    { type: 'file', path: 'ociregistry/server', mode: 0o755, content: readFileSync(join(root, 'dist/ociregistry.cjs')) },
    { type: 'file', path: 'ociregistry/healthy', mode: 0o755, content: readFileSync(join(root, 'scripts/image/healthy.cjs')) },
    { type: 'file', path: 'ociregistry/LICENSE', mode: 0o644, content: readFileSync(join(root, 'LICENSE')) },
    { type: 'directory', path: storePath, mode: 0o755, owner: userId },
  ])
}

/** The layer below it: Node, the libraries that it wants, certificate authorities. @param {string} nodeDirectory with `bin/node` and `LICENSE` @returns {Entry[]} */
export function baseLayer(nodeDirectory) {
  const fromPackages = withPackages(packageNames, (packages) => [
    ...packages.flatMap(({ directory }) => filesOf(directory).filter(({ path }) => library.test(path) || alsoTaken.test(path))),
    text('etc/ssl/certs/ca-certificates.crt', authorities(packages)),
    // where scanners look for packages that nobody installed
    ...packages.map(({ name, control }) => text(`var/lib/dpkg/status.d/${name}`, control)),
  ])
  return withDirectories([
    ...fromPackages.map((entry) => ({ ...entry, path: merged(entry.path) })),
    ...['bin', 'lib', 'lib64'].map((path) => /** @type {const} */ ({ type: 'link', path, mode: 0o777, target: `usr/${path}` })),
    { type: 'file', path: 'usr/bin/node', mode: 0o755, content: readFileSync(join(nodeDirectory, 'bin/node')) },
    { type: 'file', path: 'usr/share/doc/nodejs/copyright', mode: 0o644, content: readFileSync(join(nodeDirectory, 'LICENSE')) },
    { type: 'link', path: 'etc/os-release', mode: 0o777, target: '../usr/lib/os-release' },
    text('etc/passwd', `root:x:0:0:root:/:/sbin/nologin\nociregistry:x:${userId}:${userId}:ociregistry:/:/sbin/nologin\n`),
    text('etc/group', `root:x:0:\nociregistry:x:${userId}:\n`),
    text('etc/nsswitch.conf', 'hosts: files dns\n'),
    { type: 'directory', path: 'tmp', mode: 0o1777 },
  ])
}

/** Everything below /usr, whichever release of Debian the package is of. @param {string} path */
const merged = (path) => path.replace(/^(?=(?:bin|lib|lib64)\/)/, 'usr/')

/** Those of the package, and not of this machine, which may trust its owner's besides. @param {readonly import('./debian.mjs').Package[]} packages */
function authorities(packages) {
  const found = packages.flatMap(({ directory }) => filesOf(directory).filter(({ path }) => authority.test(path)))
  if (found.length === 0) throw new Error('the package ca-certificates has no certificates')
  return found.map((entry) => (entry.type === 'file' ? entry.content.toString().trimEnd() : '')).join('\n')
}

/** @param {string} path @param {string} content @returns {Entry} */
const text = (path, content) => ({
  type: 'file',
  path,
  mode: 0o644,
  content: Buffer.from(content.endsWith('\n') ? content : `${content}\n`),
})

/** Every file and link, in the order of their paths. @param {string} directory @returns {Entry[]} */
function filesOf(directory) {
  const paths = readdirSync(directory, { recursive: true, encoding: 'utf8' }).sort()
  return paths.flatMap((path) => entryOf(directory, path) ?? [])
}

/** @param {string} directory @param {string} path @returns {Entry | undefined} */
function entryOf(directory, path) {
  const source = join(directory, path)
  const stat = lstatSync(source)
  if (stat.isSymbolicLink()) return { type: 'link', path, mode: 0o777, target: readlinkSync(source) }
  return stat.isFile() ? { type: 'file', path, mode: stat.mode & 0o755, content: readFileSync(source) } : undefined
}
