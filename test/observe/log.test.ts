import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { createLog, type LogFields, type LogLevel, type LogOptions } from '../../src/observe/log.ts'
import { openLogOutput } from '../../src/observe/log-output.ts'
import { printable } from '../../src/observe/printable.ts'
import { ManualClock } from '../support/clock.ts'
import { temporaryDirectory } from '../support/files.ts'

const TIME = '2026-01-01T00:00:00.000Z'

/** What is written when `fields` are logged at info. */
function written(message: string, fields: LogFields, options: Partial<LogOptions> = {}): string {
  let text = ''
  createLog({ level: 'info', format: 'text', write: (line) => (text += line), clock: new ManualClock(), ...options }).info(message, fields)
  return text
}

const noStack = (message: string, options?: ErrorOptions) =>
  Object.assign(new Error(message, options), { stack: `Error: ${message}\n    at here` })

const texts: [sentence: string, message: string, fields: LogFields, want: string][] = [
  ['A line has time, level and message', 'server is running', {}, 'server is running'],
  ['Fields follow as key=value', 'x', { a: 1, b: true, c: null, d: 'ok', e: 10n }, 'x a=1 b=true c=null d=ok e=10'],
  ['A field without a value is left out', 'x', { a: undefined, b: 1 }, 'x b=1'],
  ['A value with blanks is quoted', 'x', { a: 'b c' }, 'x a="b c"'],
  ['An empty value is quoted', 'x', { a: '' }, 'x a=""'],
  ['A value with quotes is quoted', 'x', { a: 'b"c' }, 'x a="b\\"c"'],
  ['A value with an equals sign is quoted, so that it is no field', 'x', { a: 'b=c' }, 'x a="b=c"'],
  ['A line end in a value makes no line', 'x', { a: `b\n${TIME} ERROR forged` }, `x a="b\\n${TIME} ERROR forged"`],
  ['A line end in the message makes no line', 'GET /a\r\nb', {}, 'GET /a\\r\\nb'],
  ['A line end in a key makes no line', 'x', { 'a\nb': 1 }, 'x a\\nb=1'],
  [
    'Control characters do not reach the terminal',
    'x\u001b[2J',
    { a: '\u001b[31m', b: '\u0000', c: '\u009b' },
    'x\\u001b[2J a="\\u001b[31m" b="\\u0000" c="\\u009b"',
  ],
  ['Line ends of Unicode make no line', 'a\u2028b\u2029c\u0085d', {}, 'a\\u2028b\\u2029c\\u0085d'],
  ['The direction of writing is not turned', 'a\u202eb', { c: 'd\u2066' }, 'a\\u202eb c=d\\u2066'],
  ['Other writing stays as it is', 'grüße', { a: '日本' }, 'grüße a=日本'],
  ['An error is its message', 'x', { error: noStack('no route') }, 'x error="no route"'],
  [
    'An error without a message is its code',
    'x',
    { error: Object.assign(new Error(''), { code: 'ECONNREFUSED' }) },
    'x error=ECONNREFUSED',
  ],
  [
    'An error tells its causes',
    'x',
    { error: noStack('a failed', { cause: noStack('b', { cause: noStack('c') }) }) },
    'x error="a failed: b: c"',
  ],
  ['An error that tells its cause already does not repeat it', 'x', { error: noStack('a: b', { cause: noStack('b') }) }, 'x error="a: b"'],
  ['A bug comes with its stack', 'x', { error: noStack('no'), bug: true }, 'x error="Error: no\\n    at here" bug=true'],
  ['An object is JSON', 'x', { a: { b: [1, 'c d'] } }, 'x a="{\\"b\\":[1,\\"c d\\"]}"'],
  ['A date is ISO 8601', 'x', { a: new Date(0) }, 'x a=1970-01-01T00:00:00.000Z'],
  ['A date that is none does no harm', 'x', { a: new Date(Number.NaN) }, 'x a="Invalid Date"'],
]
for (const [sentence, message, fields, want] of texts) {
  test(`Text: ${sentence}`, () => assert.equal(written(message, fields), `${TIME} INFO  ${want}\n`))
}

const circular: { self?: unknown } = {}
circular.self = circular

const jsons: [sentence: string, message: string, fields: LogFields, want: object][] = [
  ['A line has time, level and msg', 'x', {}, {}],
  ['Fields are keys of their own', 'x', { a: 1, b: 'c d', e: { f: true }, g: undefined }, { a: 1, b: 'c d', e: { f: true } }],
  ['A field cannot pass for the time, the level or the message', 'x', { time: 0, level: 'error', msg: 'forged' }, {}],
  ['An error is an object', 'x', { error: Object.assign(noStack('no'), { code: 'E' }) }, { error: { message: 'no', code: 'E' } }],
  ['An error within a value is one, too', 'x', { a: [noStack('no')] }, { a: [{ message: 'no' }] }],
  [
    'A bug comes with its stack',
    'x',
    { error: noStack('no'), bug: true },
    { error: { message: 'no', stack: 'Error: no\n    at here' }, bug: true },
  ],
  ['A big number is text', 'x', { a: 10n }, { a: '10' }],
]
for (const [sentence, message, fields, want] of jsons) {
  test(`JSON: ${sentence}`, () => {
    assert.deepEqual(JSON.parse(written(message, fields, { format: 'json' })), { time: TIME, level: 'info', msg: message, ...want })
  })
}

test('JSON: every entry is one line without control characters, and reads back as it was', () => {
  const evil = 'a\nb\u0085c\u2028d\u202ee\u007f\u009b"\\'
  const line = written(evil, { [evil]: evil }, { format: 'json' })
  assert.equal(printable(line.slice(0, -1)), line.slice(0, -1))
  assert.deepEqual(JSON.parse(line), { time: TIME, level: 'info', msg: evil, [evil]: evil })
})

test('What JSON cannot hold does not stop the program', () => {
  for (const format of ['text', 'json'] as const) assert.match(written('x', { circular }, { format }), /unprintable/)
})

test('Only what is important enough is written', () => {
  const levels: LogLevel[] = ['debug', 'info', 'warn', 'error']
  for (const [i, level] of levels.entries()) {
    let text = ''
    const log = createLog({ level, format: 'text', write: (line) => (text += line), clock: new ManualClock() })
    for (const each of levels) log[each]('x')
    const want = ['DEBUG', 'INFO ', 'WARN ', 'ERROR'].slice(i).map((word) => `${TIME} ${word} x\n`)
    assert.equal(text, want.join(''))
    assert.deepEqual(
      levels.filter((each) => log.isOn(each)),
      levels.slice(i),
    )
  }
})

test('At debug level errors come with their stacks and those of their causes', () => {
  const error = noStack('a', { cause: noStack('b') })
  assert.match(written('x', { error }, { level: 'debug' }), / error="Error: a\\n {4}at here\\ncaused by Error: b\\n {4}at here"\n$/)
})

test('The time is that of the clock', async () => {
  const clock = new ManualClock()
  await clock.advance(1234)
  assert.equal(written('x', {}, { clock }), '2026-01-01T00:00:01.234Z INFO  x\n')
})

test('A log file is appended to, and others may read it', async (t) => {
  const file = join(await temporaryDirectory(t), 'x.log')
  for (const line of ['a\n', 'b\n']) {
    const output = openLogOutput(file)
    output.write(line)
    output.close()
  }
  assert.equal(await readFile(file, 'utf8'), 'a\nb\n')
  assert.equal((await stat(file)).mode & 0o777, 0o644 & ~process.umask())
})

test('A log file that cannot be opened is an error at once', async (t) => {
  const directory = await temporaryDirectory(t)
  await mkdir(join(directory, 'dir'))
  await writeFile(join(directory, 'file'), '')
  for (const [name, code] of [
    ['none/x.log', 'ENOENT'],
    ['dir', 'EISDIR'],
    ['file/x.log', 'ENOTDIR'],
  ] as const) {
    assert.throws(() => openLogOutput(join(directory, name)), { code })
  }
})

test('A line that cannot be written is lost, and the program goes on', {
  skip: !existsSync('/dev/full') && 'privilege: no /dev/full here',
}, () => {
  const output = openLogOutput('/dev/full')
  output.write('x\n')
  output.close()
})
