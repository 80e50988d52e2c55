import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdir, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { gathered } from '../../src/observe/gathered.ts'
import { openLogOutput } from '../../src/observe/log-output.ts'
import { temporaryDirectory } from '../support/files.ts'

test('Lines that come one after the other are written together, in their order', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const written: string[] = []
  const { write } = gathered((bytes) => written.push(bytes.toString()))
  write('a\n')
  write('b\n')
  assert.deepEqual(written, [])
  t.mock.timers.tick(10)
  assert.deepEqual(written, ['a\nb\n'])
  write('c\n')
  t.mock.timers.tick(10)
  assert.deepEqual(written, ['a\nb\n', 'c\n'])
})

test('Lines do not wait where there are many', () => {
  let length = 0
  const { write, flush } = gathered((bytes) => {
    length += bytes.byteLength
  })
  for (let i = 0; i < 1000; i++) write(`${'x'.repeat(99)}\n`)
  assert.ok(length > 50_000)
  flush()
  assert.equal(length, 100_000)
})

test('A line that is longer than all that may wait is written at once, behind those before it', () => {
  const written: string[] = []
  const { write, flush } = gathered((bytes) => written.push(bytes.toString()))
  const long = `${'ü'.repeat(70_000)}\n`
  write('a\n')
  write(long)
  assert.ok(written.join('') === `a\n${long}`)
  flush()
  assert.equal(written.length, 2)
})

test('What is flushed is not written again', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const written: string[] = []
  const { write, flush } = gathered((bytes) => written.push(bytes.toString()))
  write('a\n')
  flush()
  assert.deepEqual(written, ['a\n'])
  t.mock.timers.tick(10)
  assert.deepEqual(written, ['a\n'])
})

test('A log file that was given another name is opened anew when asked: no line is lost, and none goes to both', async (t) => {
  const directory = await temporaryDirectory(t)
  const [file, rotated] = [join(directory, 'x.log'), join(directory, 'x.log.1')]
  const output = openLogOutput(file)
  output.write('before\n')
  await rename(file, rotated)
  output.write('between\n')
  output.reopen()
  output.write('after\n')
  output.close()
  assert.equal(await readFile(rotated, 'utf8'), 'before\nbetween\n')
  assert.equal(await readFile(file, 'utf8'), 'after\n')
})

test('Where the log file cannot be opened again the old one stays in use', async (t) => {
  const directory = await temporaryDirectory(t)
  const [file, rotated] = [join(directory, 'x.log'), join(directory, 'x.log.1')]
  const output = openLogOutput(file)
  await rename(file, rotated)
  await mkdir(file)
  assert.throws(() => output.reopen(), { code: 'EISDIR' })
  output.write('still here\n')
  output.close()
  assert.equal(await readFile(rotated, 'utf8'), 'still here\n')
  await rm(file, { recursive: true })
})

/** In a process of its own, which can be ended where it waits for a pipe. @param script it has `openLogOutput`, and `file` */
async function apart(script: string, file: string): Promise<string> {
  const module = fileURLToPath(new URL('../../src/observe/log-output.ts', import.meta.url))
  const begin = `import { openLogOutput } from ${JSON.stringify(module)}; const file = ${JSON.stringify(file)}; `
  const args = ['--import', 'tsx', '--input-type=module', '--eval', begin + script]
  return (await promisify(execFile)(process.execPath, args, { timeout: 20_000 })).stdout
}

test('A named pipe that nobody reads holds nothing up: the old file stays in use', async (t) => {
  const directory = await temporaryDirectory(t)
  const [file, pipe] = [join(directory, 'x.log'), join(directory, 'pipe')]
  await promisify(execFile)('mkfifo', [pipe])
  const script = `
    const output = openLogOutput(file)
    try { output.prepare(file.replace('x.log', 'pipe')) } catch ({ code }) { console.log(code) }
    output.write('still here\\n')
    output.close()`
  assert.equal(await apart(script, file), 'ENXIO\n')
  assert.equal(await readFile(file, 'utf8'), 'still here\n')
})

test('A named pipe whose reader takes nothing holds nothing up, and one that reads gets the lines', async (t) => {
  const pipe = join(await temporaryDirectory(t), 'pipe')
  await promisify(execFile)('mkfifo', [pipe])
  const script = `
    import { constants, openSync, readSync } from 'node:fs'
    const reader = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK)
    const output = openLogOutput(file)
    output.write('first\\n')
    for (let i = 0; i < 100; i++) output.write('x'.repeat(9_999) + '\\n')
    output.close()
    const bytes = Buffer.alloc(100)
    console.log(bytes.toString('utf8', 0, readSync(reader, bytes)).split('\\n')[0])`
  assert.equal(await apart(script, pipe), 'first\n')
})
