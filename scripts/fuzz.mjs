/** `npm run test:fuzz -- --runs N --seed S`: every invariant of test/fuzz/ with N inputs, from seed S on. */
import { spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { install } from './install.mjs'
import { root } from './root.mjs'

const { values } = parseArgs({ options: { runs: { type: 'string', default: '100000' }, seed: { type: 'string', default: '1' } } })
for (const [name, value] of Object.entries(values)) {
  if (/^\d{1,9}$/.test(value)) continue
  process.stderr.write(`--${name}: found ${value}, want a whole number\n`)
  process.exit(2)
}

if (install()) {
  const files = readdirSync(join(root, 'test/fuzz')).filter((name) => name.endsWith('.test.ts'))
  const args = ['--import', 'tsx', '--test', '--test-reporter=spec', ...files.map((name) => `test/fuzz/${name}`)]
  const env = { ...process.env, OCIREGISTRY_FUZZ_RUNS: values.runs, OCIREGISTRY_FUZZ_SEED: values.seed }
  process.exitCode = spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit', env }).status ?? 1
} else process.exitCode = 1
