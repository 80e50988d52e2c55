/** The built file as a program: what it needs, what it says, how it ends when something is wrong. */
import assert from 'node:assert/strict'
import { readFile, stat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { dirname, join } from 'node:path'
import test from 'node:test'
import { root } from '../../scripts/root.mjs'
import { freePort } from './support/ports.ts'
import { type Finished, run } from './support/processes.ts'
import { testDirectory } from './support/run-directory.ts'
import { installProgram } from './support/server.ts'

const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'))

test('the file runs by itself, without any other', async (t) => {
  const program = await installProgram(t)
  const finished = await run(program, ['version'], { cwd: dirname(program), env: { PATH: dirname(process.execPath) } })
  assert.equal(finished.code, 0, finished.stderr)
  assert.match(finished.stdout, new RegExp(version.replaceAll('.', '\\.')))
})

test('without arguments it prints help and ends well', async (t) => {
  const program = await installProgram(t)
  const { code, stdout, stderr } = await run(process.execPath, [program], { cwd: dirname(program) })
  assert.equal(code, 0, stderr)
  assert.match(stdout, /serve/)
})

test('the file is executable, in strict mode, and sizes the thread pool and the young generation above all other code', async (t) => {
  const program = await installProgram(t)
  assert.deepEqual((await readFile(program, 'utf8')).split('\n').slice(0, 4), [
    '#!/usr/bin/env node',
    "'use strict'",
    "process.env.UV_THREADPOOL_SIZE ??= '16'",
    "require('node:v8').setFlagsFromString('--semi-space-growth-factor=1 --no-parallel-scavenge')",
  ])
  assert.equal((await stat(program)).mode & 0o777, 0o755)
})

test('the licences of inlined libraries are in the file', async (t) => {
  const text = await readFile(await installProgram(t), 'utf8')
  for (const name of ['yaml', 'undici', 're2js', 'prom-client', 'tdigest', 'bintrees', '@opentelemetry/api']) {
    const licence = await readFile(join(root, 'node_modules', name, 'LICENSE'), 'utf8')
    assert.ok(text.includes(licence.trim()), `the licence of ${name}`)
  }
  assert.ok(text.includes('Copyright Fedor Indutny, 2018.'), 'the notice of llhttp, which undici contains')
})

test('the same sources give the same bytes', async (t) => {
  const directory = await testDirectory(t)
  const files = [join(directory, 'once.cjs'), join(directory, 'twice.cjs')]
  for (const file of files) {
    const { code, stderr } = await run(process.execPath, [join(root, 'build.mjs'), file], {
      env: { ...process.env, SOURCE_DATE_EPOCH: '1700000000' },
    })
    assert.equal(code, 0, stderr)
  }
  const [once = '', twice = ''] = await Promise.all(files.map((file) => readFile(file, 'utf8')))
  assert.ok(once === twice)
  assert.ok(once.includes('2023-11-14T22:13:20Z'), 'SOURCE_DATE_EPOCH is the date of the build')
})

test('a build bears the date of its commit, so that building it again gives the same bytes', async (t) => {
  const directory = await testDirectory(t)
  const git = await run('git', ['-c', `safe.directory=${root}`, 'log', '-1', '--format=%cI'], { cwd: root })
  if (git.code !== 0) return t.skip(`package: the sources are in no repository of git: ${git.stderr.trim()}`)
  const { SOURCE_DATE_EPOCH: _, ...env } = process.env
  const file = join(directory, 'built.cjs')
  const { code, stderr } = await run(process.execPath, [join(root, 'build.mjs'), file], { env })
  assert.equal(code, 0, stderr)
  const date = new Date(git.stdout.trim()).toISOString().replace('.000Z', 'Z')
  assert.ok((await readFile(file, 'utf8')).includes(date), date)
})

/** Exit code 1, one line that says what is wrong, no stack, nothing that serves. */
function assertRefused({ code, stdout, stderr }: Finished, ...says: (string | RegExp)[]): void {
  assert.equal(code, 1, stdout + stderr)
  const lines = stderr.trimEnd().split('\n')
  assert.equal(lines.length, 1, stderr)
  for (const words of says) assert.match(stderr, words instanceof RegExp ? words : new RegExp(words.replaceAll('.', '\\.')))
}

test('a mistake in the configuration file is one line with file, line and key', async (t) => {
  const program = await installProgram(t)
  const directory = await testDirectory(t)
  const configFile = join(directory, 'config.yaml')
  const mistakes: [string, ...(string | RegExp)[]][] = [
    ['logLevel: info\nimagePaht: /x\n', 'config.yaml', /\b2\b/, 'imagePaht', 'imagePath'],
    ['port: eighty\n', 'config.yaml', /\b1\b/, 'port', 'eighty'],
    ['logLevel: loud\n', 'config.yaml', 'logLevel', 'loud', 'debug'],
    ['registries:\n  - name: docker.io\n  - name: index.docker.io\n', 'config.yaml', /\b3\b/, 'docker.io'],
    ['serverTlsConfig:\n  cert: /a.crt\n  key: /a.key\n', 'config.yaml', 'serverTlsConfig'],
  ]
  for (const [text, ...says] of mistakes) {
    await writeFile(configFile, text)
    const args = [program, 'serve', '--config-file', configFile, '--image-path', join(directory, 'images')]
    assertRefused(await run(process.execPath, args, { cwd: directory, timeoutMs: 20_000 }), ...says)
  }
})

test('a configuration file that is not there is one line', async (t) => {
  const program = await installProgram(t)
  const args = [program, 'serve', '--config-file', '/nowhere/config.yaml']
  assertRefused(await run(process.execPath, args, { timeoutMs: 20_000 }), '/nowhere/config.yaml')
})

test('a port that somebody has is one line', async (t) => {
  const program = await installProgram(t)
  const directory = await testDirectory(t)
  const port = await freePort()
  const holder = createServer().listen(port, '127.0.0.1')
  t.after(() => holder.close())
  const args = [program, 'serve', '--host', '127.0.0.1', '--port', String(port), '--image-path', join(directory, 'images')]
  assertRefused(await run(process.execPath, args, { cwd: directory, timeoutMs: 20_000 }), String(port))
})

test('an image path that cannot be written is one line', async (t) => {
  const program = await installProgram(t)
  const directory = await testDirectory(t)
  // below a file: nobody can write there, root neither
  const file = join(directory, 'file')
  await writeFile(file, '')
  const args = [program, 'serve', '--host', '127.0.0.1', '--port', String(await freePort()), '--image-path', join(file, 'images')]
  assertRefused(await run(process.execPath, args, { cwd: directory, timeoutMs: 20_000 }), file)
})
