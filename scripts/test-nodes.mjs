/** `npm run test:nodes`: the tests on every version of Node that the program is for, one after the other; a table at the end. `-- 22 26 unit`: those versions, those parts. */
import { spawn } from 'node:child_process'
import { delimiter, dirname, join } from 'node:path'
import { install } from './install.mjs'
import { chooseRuns, tableOfRuns } from './node-runs.mjs'
import { installNode, nodeVersions } from './nodes.mjs'
import { root } from './root.mjs'

/** @param {string} version @param {string[]} testArgs @param {AbortSignal} interrupted @returns {Promise<import('./node-runs.mjs').Run>} */
async function runOn(version, testArgs, interrupted) {
  const node = join(installNode(version), 'bin/node')
  process.stderr.write(`\n## Node ${version}\n`)
  const startedMs = performance.now()
  // everything that a test starts by the name `node`, npm too, is this version
  const env = { ...process.env, PATH: [dirname(node), process.env.PATH].join(delimiter) }
  const child = spawn(node, [join(root, 'scripts/test.mjs'), ...testArgs], { cwd: root, env, stdio: ['ignore', 'pipe', 'inherit'] })
  interrupted.addEventListener('abort', () => child.kill('SIGTERM'))
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (text) => {
    process.stdout.write(text)
    output += text
  })
  const ok = await new Promise((resolve) => child.once('close', (code) => resolve(code === 0)))
  return { version, ok, seconds: (performance.now() - startedMs) / 1000, output }
}

/** @param {string[]} args */
async function runAll(args) {
  const { nodes, testArgs } = chooseRuns(args, nodeVersions)
  const interruption = new AbortController()
  for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM'])) process.on(signal, () => interruption.abort())
  const runs = []
  for (const version of nodes) if (!interruption.signal.aborted) runs.push(await runOn(version, testArgs, interruption.signal))
  process.stdout.write(`\n${tableOfRuns(runs)}`)
  return runs.length === nodes.length && runs.every(({ ok }) => ok)
}

try {
  process.exitCode = install() && (await runAll(process.argv.slice(2))) ? 0 : 1
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : error}\n`)
  process.exitCode = 1
}
