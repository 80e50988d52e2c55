/** The date that a build bears, so that the same sources give the same bytes whenever they are built. */
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { root } from './root.mjs'
import { newestSourceMs } from './sources.mjs'

/** Seconds since 1970: SOURCE_DATE_EPOCH, else the commit's, else (no repository) the newest source file's. */
export function sourceDateSeconds() {
  const wanted = process.env.SOURCE_DATE_EPOCH
  if (wanted !== undefined && wanted !== '') {
    if (!/^\d{1,11}$/.test(wanted)) throw new Error(`SOURCE_DATE_EPOCH is "${wanted}"; it must be a number of seconds since 1970`)
    return Number(wanted)
  }
  // only a repository of our own counts: sources unpacked inside somebody else's have no commit
  if (existsSync(join(root, '.git'))) {
    try {
      const args = ['-c', `safe.directory=${root}`, 'log', '-1', '--format=%ct']
      const seconds = execFileSync('git', args, { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim()
      if (/^\d+$/.test(seconds)) return Number(seconds)
    } catch {
      // no git, or no commit yet
    }
  }
  return Math.floor(newestSourceMs(root) / 1000)
}

/** @param {number} seconds */
export const isoDate = (seconds) => new Date(seconds * 1000).toISOString().replace('.000Z', 'Z')
