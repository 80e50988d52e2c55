/** `npm start`: installs what the build needs, builds when sources are newer than the program, runs it. Arguments after `--`. */
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, statSync } from 'node:fs'
import { constants } from 'node:os'
import { join } from 'node:path'
import { install } from './install.mjs'
import { root } from './root.mjs'
import { newestSourceMs } from './sources.mjs'
import { startArguments } from './start-arguments.mjs'

const program = join(root, 'dist/ociregistry.cjs')

function built() {
  if (existsSync(program) && statSync(program).mtimeMs >= newestSourceMs(root)) return true
  if (!install()) return false
  return spawnSync(process.execPath, [join(root, 'build.mjs')], { stdio: 'inherit' }).status === 0
}

/** Runs the program until it ends; its exit code is ours. @param {string[]} args */
function run(args) {
  // A process group of its own: otherwise Ctrl-C would reach the program from the terminal, from npm and from here, and the second one means "at once"
  const child = spawn(process.execPath, [program, ...args], { stdio: 'inherit', detached: true })
  let lastMs = Number.NEGATIVE_INFINITY
  for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGUSR2'])) {
    process.on(signal, () => {
      // npm passes on what the terminal already sent
      if (performance.now() - lastMs < 300) return
      lastMs = performance.now()
      child.kill(signal)
    })
  }
  child.on('error', (error) => {
    process.stderr.write(`cannot run ${program}: ${error.message}\n`)
    process.exitCode = 1
  })
  child.on('exit', (code, signal) => {
    process.exitCode = code ?? 128 + (signal === null ? 0 : constants.signals[signal])
    process.exit()
  })
}

if (built()) run(startArguments(process.argv.slice(2)))
else process.exitCode = 1
