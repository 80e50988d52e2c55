import assert from 'node:assert/strict'
import { mkdir, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
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
