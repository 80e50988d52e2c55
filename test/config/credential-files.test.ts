/** credsFile and dockerConfig when the program starts: what they may say, and what stops it. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { promisify } from 'node:util'
import { parseCredsFile } from '../../src/config/creds-file.ts'
import { temporaryDirectory } from '../support/files.ts'
import { loadText } from './load-text.ts'

const parse = (text: string | Uint8Array) => parseCredsFile('creds.yaml', Buffer.from(text))
const stored = (registry: string, path: string, user: string, password: string) => ({
  prefix: { registry, path },
  credential: { kind: 'password', user, password },
})

test('The credentials file of the second program is read as it is', async () => {
  const block = `  registry-1.docker.io:
    username: puller
    password: secret1
  ghcr.io:
    username: org-pull
    password: secret2
`
  assert.deepEqual(await parse(block), {
    credentials: [stored('docker.io', '', 'puller', 'secret1'), stored('ghcr.io', '', 'org-pull', 'secret2')],
    helpers: [],
    store: undefined,
  })
})

const read: [sentence: string, text: string, credentials: object[]][] = [
  ['An empty file has no credentials', '', []],
  ['A file with comments only has none', '# none yet\n', []],
  ['A key may have a path', 'docker.io/library: {username: a, password: b}', [stored('docker.io', 'library', 'a', 'b')]],
  ['A key may have a port', '"r.example:5000": {username: a, password: b}', [stored('r.example:5000', '', 'a', 'b')]],
  ['A key with a port needs no quotes', 'r.example:5000/org: {username: a, password: b}', [stored('r.example:5000', 'org', 'a', 'b')]],
  ['Values of digits stay as they were written', 'a.io: {username: 007, password: 0012}', [stored('a.io', '', '007', '0012')]],
  [
    'A registry and paths of it may stand side by side',
    'a.io: {username: a, password: b}\na.io/x: {username: c, password: d}',
    [stored('a.io', '', 'a', 'b'), stored('a.io', 'x', 'c', 'd')],
  ],
]
for (const [sentence, text, credentials] of read) {
  test(sentence, async () => assert.deepEqual((await parse(text)).credentials, credentials))
}

const mistakes: [sentence: string, text: string, message: string][] = [
  [
    'An empty user name is refused',
    'a.io:\n  username: ""\n  password: secret',
    'creds.yaml:1: a.io.username: found nothing, want the user name',
  ],
  ['An empty password is refused', 'a.io:\n  username: me\n  password:', 'creds.yaml:1: a.io.password: found nothing, want the password'],
  ['A registry without both is refused', 'a.io:', 'creds.yaml:1: a.io.username: found nothing, want the user name'],
  ['A user alone is refused', '# x\nb.io: {username: me}', 'creds.yaml:2: b.io.password: found nothing, want the password'],
  [
    'A slip is named with line and key, not with its value',
    'a.io:\n  username: me\n  pasword: secret',
    'creds.yaml:3: a.io.pasword: found an unknown key, want password (the nearest) or another of username, password',
  ],
  [
    'A value in place of both is not shown',
    'a.io: me:secret',
    'creds.yaml:1: a.io: found a single value, want a map with the keys username, password',
  ],
  ['A password is one value', 'a.io:\n  username: me\n  password: [secret]', 'creds.yaml:3: a.io.password: found a list, want text'],
  ['A list is no credentials file', '- a.io', 'creds.yaml:1: the file: found a list, want a map of registries with username and password'],
  [
    'A word is no credentials file',
    'secret',
    'creds.yaml:1: the file: found a single value, want a map of registries with username and password',
  ],
  [
    'A key that is no registry is refused, and its password not shown',
    'me:secret@a.io: {username: a, password: b}',
    'creds.yaml:1: "…@a.io": found a key that is no registry, want host, host:port, or one of them with a path: host/org/team',
  ],
  [
    'A key is no address',
    'https://a.io: {username: a, password: b}',
    'creds.yaml:1: "https://a.io": found a key that is no registry, want host, host:port, or one of them with a path: host/org/team',
  ],
  [
    'A registry that stands there twice is refused',
    'a.io: {username: a, password: b}\nA.io: {username: c, password: d}',
    'creds.yaml:2: A.io: found a.io a second time (first in line 1), want it once',
  ],
  [
    "Docker Hub's names are one",
    'docker.io/library: {username: a, password: b}\nregistry-1.docker.io/library: {username: c, password: d}',
    'creds.yaml:2: "registry-1.docker.io/library": found docker.io/library a second time (first in line 1), want it once',
  ],
  [
    'What is not YAML is named with its line, and not shown',
    'a.io:\n  username: me\n  password: @secret',
    'creds.yaml:3: password: not YAML: found a value that begins with a special character, want such a value in quotes',
  ],
]
for (const [sentence, text, message] of mistakes) {
  test(sentence, () => assert.rejects(parse(text), { name: 'ConfigError', message }))
}

test('Bytes that are no text are refused', () =>
  assert.rejects(parse(Uint8Array.of(0xff, 0xfe)), {
    name: 'ConfigError',
    message: 'creds.yaml: found bytes that are no UTF-8, want text',
  }))

/** Loads a configuration that names files in a directory, with the directory's name taken out of what is said. */
async function load(t: TestContext, text: string, files: Readonly<Record<string, string>>, args: readonly string[] = []) {
  const directory = await temporaryDirectory(t)
  for (const [name, content] of Object.entries(files)) await writeFile(join(directory, name), content)
  const inDirectory = (word: string) => word.replaceAll('DIR', directory)
  try {
    const { config } = await loadText(t, inDirectory(text), { args: args.map(inDirectory) })
    return JSON.parse(JSON.stringify(config).replaceAll(directory, 'DIR'))
  } catch (error) {
    if (error instanceof Error) error.message = error.message.replaceAll(directory, 'DIR')
    throw error
  }
}

const GOOD = { 'creds.yaml': 'a.io: {username: a, password: b}', 'config.json': '{"auths": {}}' }

test('Both files may be named by key, by flag, and for one registry', async (t) => {
  const { credsFile, dockerConfig } = await load(t, 'credsFile: DIR/creds.yaml\ndockerConfig: DIR/config.json', GOOD)
  assert.deepEqual([credsFile, dockerConfig], ['DIR/creds.yaml', 'DIR/config.json'])
  const flags = await load(t, 'credsFile: /no', GOOD, ['-f', 'DIR/creds.yaml', '--docker-config=DIR/config.json'])
  assert.deepEqual([flags.credsFile, flags.dockerConfig], ['DIR/creds.yaml', 'DIR/config.json'])
  const { registries } = await load(t, 'registries: [{name: a.io, auth: {dockerConfig: DIR/config.json}}]', GOOD)
  assert.deepEqual(registries[0].auth, { dockerConfig: 'DIR/config.json' })
})

const refused: [sentence: string, text: string, args: string[], message: string][] = [
  [
    'A credentials file that is not there stops the start, with the line that names it',
    'port: 1\ncredsFile: DIR/none',
    [],
    'config.yaml:2: credsFile: cannot read DIR/none: no such file or directory, want a readable file',
  ],
  [
    'A flag that names no file stops the start',
    '',
    ['-f', 'DIR/none'],
    '--creds-file: cannot read DIR/none: no such file or directory, want a readable file',
  ],
  ['A directory is no credentials file', '', ['-f', 'DIR'], '--creds-file: cannot read DIR: it is a directory, want a readable file'],
  [
    'A mistake in the credentials file stops the start',
    'credsFile: DIR/bad.yaml',
    [],
    'DIR/bad.yaml:2: a.io.username: found nothing, want the user name',
  ],
  ["A mistake in Docker's configuration stops the start", 'dockerConfig: DIR/bad.json', [], 'DIR/bad.json:2: not JSON'],
  [
    'A file of one registry that is not there stops the start',
    'registries:\n- name: a.io\n  auth:\n    dockerConfig: DIR/none',
    [],
    'config.yaml:4: registries[0].auth.dockerConfig: cannot read DIR/none: no such file or directory, want a readable file',
  ],
  [
    'A mistake in the file of one registry stops the start',
    'registries:\n- name: a.io\n  auth: {dockerConfig: DIR/bad.json}',
    [],
    'DIR/bad.json:2: not JSON',
  ],
  [
    'One registry has either a user or a file',
    'registries:\n- name: a.io\n  auth:\n    dockerConfig: DIR/config.json\n    user: me\n    password: x',
    [],
    'config.yaml:5: registries[0].auth.user: found beside dockerConfig, want one of the two',
  ],
]
for (const [sentence, text, args, message] of refused) {
  test(sentence, (t) => {
    const files = { ...GOOD, 'bad.yaml': '# x\na.io: {password: secret}', 'bad.json': '{"auths":\n' }
    return assert.rejects(load(t, text, files, args), { name: 'ConfigError', message })
  })
}

test('A pipe is no credentials file: it could be read only once', async (t) => {
  const directory = await temporaryDirectory(t)
  await promisify(execFile)('mkfifo', [join(directory, 'pipe')])
  const message = `--creds-file: cannot read ${directory}/pipe: it is no regular file, want a readable file`
  await assert.rejects(loadText(t, '', { args: ['-f', join(directory, 'pipe')] }), { name: 'ConfigError', message })
})
