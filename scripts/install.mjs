/** Installs the npm packages that the build and the tests need, when they are missing or older than the lock file. Quiet when there is nothing to do. */
import { spawnSync } from 'node:child_process'
import { readFileSync, realpathSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { root } from './root.mjs'

/** @param {string} path */
const modifiedMs = (path) => statSync(join(root, path), { throwIfNoEntry: false })?.mtimeMs ?? 0

/** npm writes node_modules/.package-lock.json last, so a broken installation counts as missing. */
const upToDate = () => modifiedMs('node_modules/.package-lock.json') >= modifiedMs('package-lock.json')

/** Says why this Node cannot run the project, or undefined when it can. @param {string} version as in process.versions.node */
export function nodeTooOld(version) {
  const wanted = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).engines.node.replace('>=', '')
  const older = version.localeCompare(wanted, 'en', { numeric: true }) < 0
  return older ? `Node ${wanted} or newer is needed; this is ${version}` : undefined
}

/** What to print when npm has failed: npm's own words, unless they are a stack about a connection. @param {string} output what npm printed */
export function explainFailure(output) {
  if (!/ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH|ERR_SOCKET_TIMEOUT|ENOTCACHED/.test(output))
    return `${output}npm ci failed`
  const [request = ''] = /request to \S+ failed.*/.exec(output) ?? []
  return `the npm registry cannot be reached, and packages are needed from it: ${request || 'no answer'}\n(behind a proxy: set HTTPS_PROXY; a mirror: npm config set registry <url>)`
}

/** The npm that runs this script, else the first one on the path. @returns {[string, ...string[]]} */
export function npmCommand() {
  const npm = process.env.npm_execpath
  return npm?.endsWith('.js') ? [process.execPath, npm] : ['npm']
}

/** @returns {boolean} whether the packages are there now */
export function install() {
  const tooOld = nodeTooOld(process.versions.node)
  if (tooOld !== undefined) {
    process.stderr.write(`${tooOld}\n`)
    return false
  }
  if (upToDate()) return true
  process.stderr.write('installing npm packages (npm ci) ...\n')
  const [command, ...prefix] = npmCommand()
  // without development packages nothing can be built, whatever NODE_ENV says
  const args = [
    ...prefix,
    'ci',
    '--include=dev',
    '--no-audit',
    '--no-fund',
    '--loglevel=error',
    '--fetch-timeout=60000',
    '--fetch-retry-maxtimeout=10000',
  ]
  const { status, error, stdout, stderr } = spawnSync(command, args, { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
  if (status === 0) return true
  const output = `${stdout ?? ''}${stderr ?? ''}`
  process.stderr.write(`${error === undefined ? explainFailure(output) : `cannot run npm: ${error.message}`}\n`)
  return false
}

if (realpathSync(process.argv[1] ?? '.') === fileURLToPath(import.meta.url)) process.exitCode = install() ? 0 : 1
