/** The built program as a service of systemd: installed from the single file, with units that systemd itself finds no fault with. */
import assert from 'node:assert/strict'
import { readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import test from 'node:test'
import { root } from '../../scripts/root.mjs'
import { run, succeed } from './support/processes.ts'
import { commandPath, lacks } from './support/requirements.ts'
import { testDirectory } from './support/run-directory.ts'
import { installProgram } from './support/server.ts'

const UNITS = ['ociregistry.service', 'ociregistry.socket']
const NEEDS = { skip: lacks('systemd-analyze') }

test('the single file installs itself and its units into another root, and takes them away again', async (t) => {
  const program = await installProgram(t)
  const target = await testDirectory(t)
  const ask = (...args: string[]) => run(program, [...args, '--root', target], { cwd: dirname(program) })
  const { code, stdout, stderr } = await ask('install', '--systemd', '--listen', '0.0.0.0:8080')
  assert.equal(code, 0, stderr)
  assert.match(stderr, /^warning: everybody who reaches 0\.0\.0\.0:8080 can read what is cached/m)
  for (const unit of UNITS) {
    const path = join('etc/systemd/system', unit)
    assert.ok(stdout.includes(`installed ${join(target, path)}\n`), stdout)
    assert.equal(await readFile(join(target, path), 'utf8'), await readFile(join(root, 'systemd', unit), 'utf8'))
  }
  const installed = join(target, 'usr/local/bin/ociregistry')
  assert.equal((await stat(installed)).mode & 0o777, 0o755)
  assert.equal((await run(installed, ['version'])).code, 0)
  const again = await run(installed, ['install', '--systemd', '--root', target])
  assert.ok(!/^(?:installed|updated)/m.test(again.stdout), again.stdout)
  assert.equal((await ask('uninstall', '--systemd')).code, 0)
  assert.deepEqual(await readdir(join(target, 'usr/local/bin')), [])
  assert.deepEqual(await readdir(join(target, 'etc/ociregistry')), ['config.yaml'])
})

const mistakes: [args: string[], wanted: RegExp][] = [
  [['install'], /^error: install: found nothing that says for what, want --systemd\n$/],
  [['uninstall'], /^error: uninstall: found nothing that says for what, want --systemd\n$/],
  [['install', '--systemd', '--listen', '8080'], /^error: --listen: found "?8080"?, want ADDRESS:PORT/],
  [['uninstall', '--systemd', '--listen', '0.0.0.0:1'], /^error: --listen: found with the command uninstall/],
]

for (const [args, wanted] of mistakes) {
  test(`${args.join(' ')}: one line that says what is wrong, and exit code 1`, async (t) => {
    const { code, stdout, stderr } = await run(await installProgram(t), args)
    assert.deepEqual([code, stdout], [1, ''])
    assert.match(stderr, wanted)
  })
}

test('the configuration that is installed is one', async (t) => {
  const program = await installProgram(t)
  const { code, stderr } = await run(program, ['list', '--config-file', join(root, 'systemd/config.yaml'), '--image-path', '/nowhere'])
  assert.equal(code, 1)
  assert.match(stderr, /^error: .*\/nowhere/) // what is wrong is the store, which is not there
})

test('systemd finds no fault with the units', NEEDS, async (t) => {
  const directory = await testDirectory(t)
  const program = await installProgram(t)
  for (const unit of UNITS) {
    const text = await readFile(join(root, 'systemd', unit), 'utf8')
    await writeFile(join(directory, unit), text.replace('/usr/local/bin/ociregistry', program))
  }
  const { stderr } = await succeed(commandPath('systemd-analyze'), ['verify', '--man=no', ...UNITS.map((unit) => join(directory, unit))])
  assert.ok(!stderr.includes('ociregistry'), stderr)
})

test('the hardened service has an exposure below 2.0', NEEDS, async () => {
  const args = ['security', '--offline=true', '--no-pager', '--threshold=20', join(root, 'systemd/ociregistry.service')]
  const { stdout, stderr } = await succeed(commandPath('systemd-analyze'), args)
  const [, exposure] = /Overall exposure level for ociregistry\.service: ([\d.]+)/.exec(stdout + stderr) ?? []
  assert.ok(Number(exposure) < 2, `exposure ${exposure}`)
})
