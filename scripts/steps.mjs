/** Runs the steps of `npm test` one after the other, and keeps what came of them. */
import { spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from './root.mjs'

export class Steps {
  /** @type {import('./summary.mjs').Step[]} */
  done = []
  /** @type {import('./skip-reporter.mjs').Outcome[]} */
  outcomes = []
  #temporary
  #interrupted = false

  /** @param {string} temporary a directory for reports, and for what end-to-end tests share */
  constructor(temporary) {
    this.#temporary = temporary
  }

  /** A program of an npm package. @param {string} name @param {string} program @param {string[]} args */
  program(name, program, args) {
    return this.#run(name, join(root, 'node_modules/.bin', program), args)
  }

  /** @param {string} name @param {string[]} args */
  node(name, args) {
    return this.#run(name, process.execPath, args)
  }

  /** @param {string} name @param {readonly string[]} files @param {readonly string[]} flags for `node --test` */
  async tests(name, files, flags) {
    const report = join(this.#temporary, name.replaceAll(' ', '-'))
    const reporters = [
      ...['--test-reporter=spec', '--test-reporter-destination=stdout'],
      ...['--test-reporter=./scripts/skip-reporter.mjs', `--test-reporter-destination=${report}`],
    ]
    const args = ['--import', 'tsx', '--test', ...reporters, ...flags, ...files]
    const ok = await this.#run(name, process.execPath, args, { OCIREGISTRY_E2E_DIRECTORY: this.#temporary })
    if (existsSync(report)) this.outcomes.push(...readOutcomes(report))
    return ok
  }

  /** @param {string} name @param {string} command @param {readonly string[]} args @param {Record<string, string>} env */
  async #run(name, command, args, env = {}) {
    if (this.#interrupted) return false
    process.stderr.write(`\n# ${name}\n`)
    const startedMs = performance.now()
    const ok = await this.#toItsEnd(spawn(command, args, { cwd: root, stdio: 'inherit', env: { ...process.env, ...env } }))
    this.done.push({ name, ok, seconds: (performance.now() - startedMs) / 1000 })
    return ok
  }

  /** A signal ends the step, and no other begins; what the run has made is still removed. @param {import('node:child_process').ChildProcess} child */
  async #toItsEnd(child) {
    const interrupt = /** @param {NodeJS.Signals} signal */ (signal) => {
      this.#interrupted = true
      child.kill(signal)
    }
    process.on('SIGINT', interrupt).on('SIGTERM', interrupt)
    try {
      return await new Promise((resolve) => {
        child.once('exit', (code) => resolve(code === 0))
        child.once('error', (error) => {
          process.stderr.write(`${error.message}\n`)
          resolve(false)
        })
      })
    } finally {
      process.off('SIGINT', interrupt).off('SIGTERM', interrupt)
    }
  }
}

/** @param {string} path @returns {import('./skip-reporter.mjs').Outcome[]} */
function readOutcomes(path) {
  const lines = readFileSync(path, 'utf8').split('\n')
  const outcomes = lines.filter((line) => line !== '').map((line) => JSON.parse(line))
  return outcomes.map((outcome) => ({ ...outcome, file: outcome.file.replace(`${root}/`, '') }))
}
