/** Other versions of Node, from npm: which, and where on this machine they lie. The container image is made of one of them, and `npm run test:nodes` runs the tests on each. */
import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { explainFailure, npmCommand } from './install.mjs'

/** Exact, so that what was tested is what is shipped. Major version -> version. @type {ReadonlyMap<number, string>} */
export const nodeVersions = new Map([
  [20, '20.20.2'],
  [22, '22.23.5'],
  [24, '24.22.3'],
  [26, '26.12.1'],
])

/** Of those, the one in the container image: an LTS release that is looked after for longest without libraries that the others lack. */
export const imageNodeVersion = '24.22.3'

/** Outside of the project, so that every clone of it finds what another one has fetched; of root not at home, where users that tests become may not go. */
export function cacheDirectory() {
  const caches = process.getuid?.() === 0 ? '/var/cache' : process.env.XDG_CACHE_HOME || join(homedir(), '.cache')
  return join(caches, 'ociregistry-build')
}

/**
 * The directory of one version's npm package, with `bin/node` and `LICENSE`; fetched when it is not there.
 * @param {string} version
 * @throws Error with what to tell a person
 */
export function installNode(version) {
  const name = `node-linux-${process.arch}`
  const home = join(cacheDirectory(), `${name}-${version}`)
  const directory = join(home, 'node_modules', name)
  if (existsSync(join(directory, 'bin/node'))) return directory
  process.stderr.write(`fetching Node ${version} (npm package ${name}) ...\n`)
  mkdirSync(cacheDirectory(), { recursive: true })
  const temporary = mkdtempSync(`${home}.`)
  try {
    // npm looks for the project around it unless there is one here
    writeFileSync(join(temporary, 'package.json'), '{"private":true}\n')
    const [command, ...prefix] = npmCommand()
    const args = [...prefix, 'install', '--no-audit', '--no-fund', '--ignore-scripts', '--loglevel=error', '--fetch-timeout=60000']
    const { status, error, stdout, stderr } = spawnSync(command, [...args, `${name}@${version}`], { cwd: temporary, encoding: 'utf8' })
    if (status !== 0) throw new Error(error === undefined ? explainFailure(`${stdout}${stderr}`) : `cannot run npm: ${error.message}`)
    // whoever was faster has the same
    if (existsSync(join(directory, 'bin/node'))) return directory
    rmSync(home, { recursive: true, force: true })
    chmodSync(temporary, 0o755)
    renameSync(temporary, home)
    return directory
  } finally {
    rmSync(temporary, { recursive: true, force: true })
  }
}
