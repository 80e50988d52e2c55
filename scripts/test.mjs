/** `npm test`: installs what the tests need, then types, lint, unit tests, faults of upstreams, build and end-to-end tests; the last lines say what passed, failed and was skipped, and why. */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { install } from './install.mjs'
import { installPackages } from './packages.mjs'
import { root } from './root.mjs'
import { Steps } from './steps.mjs'
import { summarize } from './summary.mjs'
import { select } from './test-selection.mjs'

/** Set by .ci/run: an end-to-end test that lacks a package is a failure. */
const requirePackages = (process.env.OCIREGISTRY_TEST_REQUIRE_PACKAGES ?? '') !== ''

/** By itself Node leaves one core idle, which is half of two. End-to-end tests mostly wait for other programs. */
const filesAtOnce = Math.max(2, availableParallelism())
/** A file of tests that takes this long hangs; nothing comes near it. */
const unitFileMs = 120_000
/** All cells of the matrix are one file. */
const faultsFileMs = 600_000
const e2eFileMs = 300_000

/** Node 20 knows no patterns in `--test`. */
function testFiles() {
  const names = readdirSync(join(root, 'test'), { recursive: true, encoding: 'utf8' })
  return names
    .filter((name) => name.endsWith('.test.ts'))
    .map((name) => `test/${name}`)
    .sort()
}

/** @param {string} temporary @param {readonly string[]} args @returns {Promise<boolean>} */
async function runAll(temporary, args) {
  const { types, lint, unit, faults, e2e, flags, unknown } = select(args, testFiles())
  if (unknown.length > 0) {
    process.stderr.write(`no test file matches "${unknown.join('", "')}"; give types, lint, unit, faults, e2e or a part of a path\n`)
    return false
  }
  const steps = new Steps(temporary)
  if (types) await steps.program('types', 'tsc', ['--noEmit'])
  if (lint) await steps.program('lint', 'biome', ['check', '.'])
  if (unit.length > 0)
    await steps.tests('unit tests', unit, [`--test-concurrency=${filesAtOnce}`, `--test-timeout=${unitFileMs}`, ...flags])
  if (faults.length > 0) await steps.tests('faults', faults, [`--test-timeout=${faultsFileMs}`, ...flags])
  if (e2e.length > 0) {
    installPackages()
    const built = await steps.node('build', ['build.mjs'])
    const atOnce = [`--test-concurrency=${filesAtOnce}`, `--test-timeout=${e2eFileMs}`]
    if (built) await steps.tests('end-to-end tests', e2e, [...atOnce, ...flags])
  }
  const { ok, text } = summarize(steps.done, steps.outcomes, { requirePackages })
  process.stdout.write(text)
  return ok
}

if (install()) {
  // what end-to-end tests share lies here; a short path, because sockets are bound below it
  const temporary = mkdtempSync(join(tmpdir(), 'oci-'))
  try {
    process.exitCode = (await runAll(temporary, process.argv.slice(2))) ? 0 : 1
  } finally {
    rmSync(temporary, { recursive: true, force: true })
  }
} else process.exitCode = 1
