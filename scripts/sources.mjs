/** When the sources of the program last changed. */
import { existsSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'

const sources = ['src', 'systemd', 'build.mjs', 'scripts/source-date.mjs', 'scripts/notices', 'package.json', 'package-lock.json']

/** Newest modification time (ms since 1970) of what the build reads; a directory counts, so that a deleted file is noticed. @param {string} root */
export function newestSourceMs(root) {
  return Math.max(...sources.map((path) => newestMs(join(root, path))))
}

/** @param {string} path @returns {number} */
function newestMs(path) {
  if (!existsSync(path)) return 0
  const stat = statSync(path)
  if (!stat.isDirectory()) return stat.mtimeMs
  return Math.max(stat.mtimeMs, ...readdirSync(path).map((name) => newestMs(join(path, name))))
}
