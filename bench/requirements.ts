/** The other programs of the comparison: installs them where it may (root, apt-get), else says which are missing. */
import { statfsSync } from 'node:fs'
import { findCommand, installPackages, packages } from '../scripts/packages.mjs'
import { sizeText } from './sizes.ts'

const needed: readonly (readonly [command: string, debianPackage: string])[] = [
  ['nginx', 'nginx-light'],
  ['docker-registry', 'docker-registry'],
  ['wrk', 'wrk'],
  ['curl', 'curl'],
]

/** One line that says what is missing and how to get it; undefined when all is there. */
export function installPrograms(): string | undefined {
  // what the tests need is not needed here: the table is of this process only
  packages.clear()
  for (const [command, name] of needed) packages.set(command, name)
  installPackages()
  const missing = needed.filter(([command]) => findCommand(command) === undefined)
  if (missing.length === 0) return undefined
  const [commands, names] = [0, 1].map((column) => missing.map((row) => row[column]).join(' '))
  return `missing: ${commands}; run this as root on Debian, or: apt-get install --no-install-recommends ${names}`
}

/** As above, of the disk. */
export function lacksRoom(directory: string, bytes: number): string | undefined {
  const { bavail, bsize } = statfsSync(directory)
  if (bavail * bsize >= bytes) return undefined
  return `${directory} has no room for ${sizeText(bytes)}; another directory: TMPDIR=...`
}
