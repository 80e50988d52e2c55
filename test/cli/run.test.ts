import assert from 'node:assert/strict'
import { test } from 'node:test'
import { commands } from '../../src/cli/commands.ts'
import { run } from '../../src/cli/run.ts'
import { until } from '../support/until.ts'
import { FakeIo } from './fake-io.ts'

async function runWith(args: readonly string[]): Promise<{ code: number; out: string; err: string }> {
  const io = new FakeIo()
  const code = await run(args, io)
  return { code, out: io.out, err: io.err }
}

const VERSION = 'ociregistry version: dev build date: dev\n'
const OVERVIEW =
  /^NAME:\n {3}ociregistry - a pull-only.*\nCOMMANDS:\n {3}serve .*\n {3}verify .*\n {3}version .*\n {3}help, h .*\n\nGLOBAL OPTIONS:\n/s
const SERVE =
  /^NAME:\n {3}ociregistry serve - Serve images to clients, pulling what is missing\n.*\nOPTIONS:\n {3}--host ADDRESS .*\nGLOBAL OPTIONS:\n.*\nEXAMPLES:\n/s
const ABOUT_VERSION = /^NAME:\n {3}ociregistry version - Print the version and the date of its build\n/
const ABOUT_HELP = /^NAME:\n {3}ociregistry help, h - Explain the program, or one of its commands\n/

const answers: [sentence: string, args: string[], out: string | RegExp][] = [
  ['No arguments print help', [], OVERVIEW],
  ['Global flags alone print help', ['--log-level', 'info'], OVERVIEW],
  ['--help prints help', ['--help'], OVERVIEW],
  ['-h prints help', ['-h'], OVERVIEW],
  ['help prints help', ['help'], OVERVIEW],
  ['h prints help', ['h'], OVERVIEW],
  ['help serve prints help for serve', ['help', 'serve'], SERVE],
  ['h serve prints help for serve', ['h', 'serve'], SERVE],
  ['serve --help prints help for serve', ['serve', '--help'], SERVE],
  ['serve -h prints help for serve, whatever the other flags', ['--port', '1', 'serve', '-h'], SERVE],
  ['version --help prints help for version', ['version', '--help'], ABOUT_VERSION],
  ['help --help prints help for help', ['help', '--help'], ABOUT_HELP],
  ['help help prints help for help', ['help', 'help'], ABOUT_HELP],
  ['version prints the version', ['version'], VERSION],
  ['--version prints the version', ['--version'], VERSION],
  ['version takes global flags', ['--log-level', 'debug', 'version'], VERSION],
]
for (const [sentence, args, out] of answers) {
  test(`${sentence}, on stdout, exit 0`, async () => {
    const answer = await runWith(args)
    assert.deepEqual([answer.code, answer.err], [0, ''])
    if (out instanceof RegExp) assert.match(answer.out, out)
    else assert.equal(answer.out, out)
  })
}

const NAMES = commands.map(({ name }) => name).join(', ')

const mistakes: [sentence: string, args: string[], line: string][] = [
  [
    'An unknown command is named with the nearest',
    ['srve'],
    `"srve": found an unknown command, want serve (the nearest) or another of ${NAMES}`,
  ],
  ['A command like no other is named with those that are there', ['pull'], `"pull": found an unknown command, want ${NAMES}`],
  [
    'Help for an unknown command is a mistake',
    ['help', 'serv'],
    `"serv": found an unknown command, want serve (the nearest) or another of ${NAMES}`,
  ],
  ['An unknown command with a line end is one line', ['a\nb'], `"a\\nb": found an unknown command, want ${NAMES}`],
  [
    'An unknown flag is named with the nearest',
    ['serve', '--prot', '1'],
    '--prot: found an unknown flag, want --port (the nearest) or another one that --help lists',
  ],
  ['A flag of serve needs serve', ['--port', '1'], '--port: found without a command, want: ociregistry serve --port 1'],
  [
    'A flag of another command is a mistake',
    ['version', '--air-gapped'],
    '--air-gapped: found with the command version, want it with the command serve or load',
  ],
  ['A word too many is a mistake', ['serve', 'now'], '"now": found a word behind the command serve, want only options there'],
  [
    'A word too many behind help is a mistake',
    ['help', 'serve', 'now'],
    '"now": found a word behind the command help, want only options there',
  ],
  [
    'A missing configuration file is named',
    ['serve', '--config-file', '/no/x.yaml'],
    '--config-file: cannot read /no/x.yaml: no such file or directory, want a YAML file',
  ],
  [
    'A file name with a line end is one line',
    ['serve', '--config-file', '/no/a\nb'],
    '--config-file: cannot read /no/a\\nb: no such file or directory, want a YAML file',
  ],
  ['An unknown level is one line', ['serve', '--log-level', 'loud'], '--log-level: found "loud", want debug, info, warn or error'],
]
for (const [sentence, args, line] of mistakes) {
  test(`${sentence}, on stderr, exit 1`, async () => {
    assert.deepEqual(await runWith(args), { code: 1, out: '', err: `error: ${line}\n` })
  })
}

test('A bug is not passed off as a mistake of the user', async () => {
  const io = new FakeIo()
  io.stdout = () => {
    throw new TypeError('bug')
  }
  await assert.rejects(run(['version'], io), TypeError)
})

/** They need a store, or change this host: their examples are in their own tests. */
const ON_A_STORE = ['load', 'list', 'prune', 'verify', 'install', 'uninstall']
for (const { name, examples } of commands.filter((command) => !ON_A_STORE.includes(command.name))) {
  test(`The help of ${name} has examples that work`, async () => {
    assert.ok(examples.length >= 2)
    for (const example of examples) {
      const io = new FakeIo()
      const done = run(example.split(' ').slice(1), io)
      if (name === 'serve') await untilStarted(io)
      assert.deepEqual([await done, io.started.length], [0, name === 'serve' ? 1 : 0], example)
    }
  })
}

async function untilStarted(io: FakeIo): Promise<void> {
  await until(() => io.err.includes('Process id'))
  await io.signal()
}
