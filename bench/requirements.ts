/** The other programs of the comparison: installs them where it may (root, apt-get), else says which are missing. */
import { statfsSync } from 'node:fs'
import { installPackages, missingPackages } from '../scripts/packages.mjs'
import { sizeText } from './sizes.ts'

const needed = new Map([
  ['nginx', 'nginx-light'],
  ['docker-registry', 'docker-registry'],
  ['wrk', 'wrk'],
  ['curl', 'curl'],
])

/** One line that says what is missing and how to get it; undefined when all is there. */
export function installPrograms(): string | undefined {
  installPackages(needed)
  const missing = missingPackages(needed).join(' ')
  return missing === ''
    ? undefined
    : `missing: ${missing}; run this as root on Debian, or: apt-get install --no-install-recommends ${missing}`
}

/** As above, of the disk. */
export function lacksRoom(directory: string, bytes: number): string | undefined {
  const { bavail, bsize } = statfsSync(directory)
  if (bavail * bsize >= bytes) return undefined
  return `${directory} has no room for ${sizeText(bytes)}; another directory: TMPDIR=...`
}
