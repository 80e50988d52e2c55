import assert from 'node:assert/strict'
import { mkdir, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { run } from '../../src/cli/run.ts'
import { temporaryDirectory } from '../support/files.ts'
import { FakeIo } from './fake-io.ts'

/** `$` in text and arguments is a directory that the files lie in, and the configuration is `$/c.yaml`. */
async function checked(t: TestContext, yaml: string, args: readonly string[] = [], files: Readonly<Record<string, string>> = {}) {
  const directory = await temporaryDirectory(t)
  const inPlace = (text: string) => text.replaceAll('$', directory)
  for (const [name, content] of Object.entries({ ...files, 'c.yaml': yaml })) await writeFile(join(directory, name), inPlace(content))
  const before = await readdir(directory)
  const io = new FakeIo()
  const code = await run(['--config-file', join(directory, 'c.yaml'), 'check', ...args.map(inPlace)], io)
  assert.deepEqual(await readdir(directory), before, 'nothing is made')
  const hide = (text: string) => text.replaceAll(directory, '$')
  return { code, out: hide(io.out), err: hide(io.err), started: io.started.length }
}

const FINE = 'no mistakes were found\n'
type Case = [sentence: string, yaml: string, files: Record<string, string>, code: number, out: string, err: string]
const cases: Case[] = [
  ['An empty configuration has no mistakes', '', {}, 0, FINE, ''],
  ['A configuration with settings has none', 'logLevel: info\nport: 9000', {}, 0, FINE, ''],
  ['A directory that is not there yet is no mistake', 'imagePath: $/none', {}, 0, FINE, ''],
  [
    'All mistakes of a file are told, in its order',
    'port: x\nlogLevel: loud\n',
    {},
    1,
    '',
    'error: $/c.yaml:1: port: found "x", want a whole number from 0 to 65535\nerror: $/c.yaml:2: logLevel: found "loud", want debug, info, warn or error\n',
  ],
  [
    'A feature to come is a warning',
    'resolveRef: a.b/c:1',
    {},
    0,
    FINE,
    'warning: this version does not have what these settings ask for, and goes on without: resolveRef ($/c.yaml:1)\n',
  ],
  [
    'A certificate that is not there is a mistake',
    'registries: [{name: a.io, tls: {ca: $/ca.pem}}]',
    {},
    1,
    '',
    'error: $/c.yaml:1: registries[0].tls.ca: cannot read $/ca.pem: no such file or directory, want a readable file\n',
  ],
  [
    'A file that is no certificate is a mistake',
    'registries: [{name: a.io, tls: {ca: $/ca.pem}}]',
    { 'ca.pem': 'x' },
    1,
    '',
    'error: $/c.yaml:1: registries[0].tls.ca: $/ca.pem holds no certificate in PEM, want a PEM file with certificates\n',
  ],
  [
    'A mistake in a file of credentials is told with its own line',
    'credsFile: $/creds.yaml',
    { 'creds.yaml': 'a.io:\n  username: me\n' },
    1,
    '',
    'error: $/creds.yaml:1: a.io.password: found nothing, want the password\n',
  ],
  [
    'A token that can be guessed is a mistake',
    'admin: {tokenFile: $/token}',
    { token: 'short' },
    1,
    '',
    'error: $/c.yaml:1: admin.tokenFile: found a token of 5 characters in $/token, want at least 16\n',
  ],
  ['A log file that is not there yet is no mistake', 'logFile: $/server.log', {}, 0, FINE, ''],
  ['A log file that is there is none', 'logFile: $/server.log', { 'server.log': 'a line\n' }, 0, FINE, ''],
  ...(
    [
      ['in a directory that is not there', '$/none/server.log', 'no such file or directory'],
      ['below a file', '$/server.log/x', 'part of its path is no directory'],
      ['that is a directory', '$', 'it is a directory'],
      ['that would be a directory', '$/none/', 'it is a directory'],
    ] as const
  ).map(([what, file, why]): Case => {
    const err = `error: logFile: cannot write ${file}: ${why}, want a file that can be written\n`
    return [`A log file ${what} is a mistake`, `logFile: ${file}`, { 'server.log': '' }, 1, '', err]
  }),
  ['A list of images is read', 'preloadImages: $/list.txt', { 'list.txt': '# base\nalpine:3\n' }, 0, FINE, ''],
  [
    'A preload list on standard input is a mistake',
    'preloadImages: "-"',
    {},
    1,
    '',
    'error: $/c.yaml:1: preloadImages: found "-", want files and globs; standard input can be read only once\n',
  ],
  ['Lists that are not there are a mistake', 'imageFile: $/none*.txt', {}, 1, '', 'error: imageFile: no files matched "$/none*.txt"\n'],
]
for (const [sentence, yaml, files, code, out, err] of cases) {
  test(`check: ${sentence}`, async (t) => {
    const found = await checked(t, yaml, [], files)
    assert.deepEqual([found.code, found.out, found.err, found.started], [code, out, err, 0])
  })
}

test('check: lines of lists that name no image are told, all of them', async (t) => {
  const { code, err } = await checked(t, 'preloadImages: $/list.txt', [], { 'list.txt': 'alpine:3\nUPPER/x\n\na b\n' })
  assert.equal(code, 1)
  assert.match(err, /^error: \$\/list\.txt:2: found "UPPER\/x": .*\nerror: \$\/list\.txt:4: found "a b": .*\n$/)
})

test('check takes the flags of serve', async (t) => {
  const { code, err } = await checked(t, '', ['--port', '99999'])
  assert.deepEqual([code, err], [1, 'error: --port: found "99999", want a whole number from 0 to 65535\n'])
})

test('check --print shows each setting, its value, and where it comes from', async (t) => {
  const { code, out } = await checked(t, 'logLevel: info\nregistries: [{name: a.io, auth: {user: me, password: secret}}]', [
    '--print',
    '--port',
    '9000',
  ])
  assert.equal(code, 0)
  const lines = out.split('\n').map((line) => line.split(/ {2,}/))
  for (const row of [
    ['logLevel', 'info', '$/c.yaml:1'],
    ['port', '9000', '--port'],
    ['prefetch', 'true', 'default'],
    ['credsFile', '-', 'default'],
    ['registries[a.io].auth.password', '(hidden)', '$/c.yaml:2'],
  ])
    assert.ok(
      lines.some((line) => JSON.stringify(line) === JSON.stringify(row)),
      `${row.join(' ')} is in\n${out}`,
    )
  assert.ok(!out.includes('secret'))
})

test('check --json is one document, with the settings where they are asked for', async (t) => {
  const plain = await checked(t, 'port: x', ['--json'])
  assert.deepEqual(
    [plain.code, plain.err, JSON.parse(plain.out)],
    [1, '', { ok: false, mistakes: ['$/c.yaml:1: port: found "x", want a whole number from 0 to 65535'], warnings: [] }],
  )
  const printed = JSON.parse((await checked(t, 'port: 1', ['--json', '--print'])).out)
  assert.deepEqual([printed.ok, printed.mistakes], [true, []])
  const port = printed.settings.find(({ key }: { key: string }) => key === 'port')
  assert.deepEqual(port, { key: 'port', value: '1', from: '$/c.yaml:1', needsRestart: true })
})

test('check says nothing of the store, which another process may hold', async (t) => {
  const directory = join(await temporaryDirectory(t), 'images')
  await mkdir(directory)
  const io = new FakeIo()
  assert.equal(await run(['--image-path', directory, 'check'], io), 0)
  assert.deepEqual([await readdir(directory), io.err], [[], ''])
})
