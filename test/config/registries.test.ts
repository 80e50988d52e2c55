import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { pemPair } from '../support/certificates.ts'
import { temporaryDirectory } from '../support/files.ts'
import { assertMistake, loadText } from './load-text.ts'

const PLAIN = { name: 'a.io', aliases: [], scheme: 'https', address: 'a.io', tls: { insecureSkipVerify: false } }
const me = (password: object) => ({ ...PLAIN, auth: { user: 'me', password } })

const entries: [sentence: string, entry: string, want: object][] = [
  ['A name is enough', '{name: a.io}', PLAIN],
  ['A name has no upper case', '{name: A.IO}', PLAIN],
  ['A name may have a port', '{name: "a.io:5000"}', { ...PLAIN, name: 'a.io:5000', address: 'a.io:5000' }],
  ['A name may be one word', '{name: my-upstream}', { ...PLAIN, name: 'my-upstream', address: 'my-upstream' }],
  ["The old program's empty sections mean nothing", '{name: a.io, description: foo, scheme: https, auth: {}, tls: {}}', PLAIN],
  ['A description is anything', '{name: a.io, description: 2024}', PLAIN],
  ['A registry may talk http', '{name: a.io, scheme: http}', { ...PLAIN, scheme: 'http' }],
  ['Empty values mean nothing', '{name: a.io, aliases: [], url: "", scheme: , auth: {user: , password: ""}}', PLAIN],
  [
    'Docker Hub lives elsewhere than its name says',
    '{name: index.docker.io}',
    { ...PLAIN, name: 'docker.io', address: 'registry-1.docker.io' },
  ],
  ['Aliases are other names', '{name: a.io, aliases: [b.io, "C.io:5000"]}', { ...PLAIN, aliases: ['b.io', 'c.io:5000'] }],
  ['An entry may repeat its own names', '{name: a.io, aliases: [b.io, A.io, b.io]}', { ...PLAIN, aliases: ['b.io'] }],
  [
    "Docker Hub's names may stand as aliases of its entry",
    '{name: docker.io, aliases: [index.docker.io]}',
    { ...PLAIN, name: 'docker.io', address: 'registry-1.docker.io' },
  ],
  [
    'A url says where a registry lives',
    '{name: a.io, url: "http://10.0.0.1:5000"}',
    { ...PLAIN, scheme: 'http', address: '10.0.0.1:5000' },
  ],
  ['A url may end with a slash', '{name: a.io, url: "https://b.io/"}', { ...PLAIN, address: 'b.io' }],
  ['A url may have an IPv6 address', '{name: a.io, url: "https://[::1]:5000"}', { ...PLAIN, address: '[::1]:5000' }],
  [
    'A scheme may repeat what the url says',
    '{name: a.io, scheme: http, url: "http://b.io"}',
    { ...PLAIN, scheme: 'http', address: 'b.io' },
  ],
  [
    "A url may name one of Docker Hub's hosts",
    '{name: docker.io, url: "https://index.docker.io"}',
    { ...PLAIN, name: 'docker.io', address: 'index.docker.io' },
  ],
  [
    'A url with docker.io means where Docker Hub answers',
    '{name: a.io, url: "https://docker.io"}',
    { ...PLAIN, address: 'registry-1.docker.io' },
  ],
  ['A password may stand in the file', '{name: a.io, auth: {user: me, password: secret}}', me({ from: 'config', password: 'secret' })],
  [
    'A password of digits stays as it was written',
    '{name: a.io, auth: {user: me, password: 0012}}',
    me({ from: 'config', password: '0012' }),
  ],
  [
    'A password that looks like a truth stays as it was written',
    '{name: a.io, auth: {user: me, password: Yes}}',
    me({ from: 'config', password: 'Yes' }),
  ],
  [
    'A user name may be a number',
    '{name: a.io, auth: {user: 007, password: x}}',
    { ...PLAIN, auth: { user: '007', password: { from: 'config', password: 'x' } } },
  ],
  [
    'A password may come from the environment',
    '{name: a.io, auth: {user: me, passwordFromEnv: PASSWORD}}',
    me({ from: 'env', variable: 'PASSWORD' }),
  ],
  ['A password may come from a file', '{name: a.io, auth: {user: me, passwordFile: FILE}}', me({ from: 'file', path: 'FILE' })],
  [
    'TLS has an own CA and a client certificate',
    '{name: a.io, tls: {ca: FILE, cert: FILE, key: FILE, insecureSkipVerify: false}}',
    { ...PLAIN, tls: { ca: 'FILE', cert: 'FILE', key: 'FILE', insecureSkipVerify: false } },
  ],
  [
    'An own CA may stand beside insecureSkipVerify',
    '{name: a.io, tls: {ca: FILE, insecureSkipVerify: true}}',
    { ...PLAIN, tls: { ca: 'FILE', insecureSkipVerify: true } },
  ],
  [
    'A TLS setting that changes nothing may stand beside http',
    '{name: a.io, scheme: http, tls: {insecureSkipVerify: false}}',
    { ...PLAIN, scheme: 'http' },
  ],
]
for (const [sentence, entry, want] of entries) {
  test(sentence, async (t) => {
    const file = join(await temporaryDirectory(t), 'file')
    await writeFile(file, await pemPair(t))
    const { config, warnings } = await loadText(t, `registries: [${entry.replaceAll('FILE', file)}]`, { env: { PASSWORD: 'secret' } })
    assert.deepEqual(JSON.parse(JSON.stringify(config.registries).replaceAll(file, 'FILE')), [want])
    assert.deepEqual(warnings, [])
  })
}

test('Several entries may live at one url', async (t) => {
  const { config } = await loadText(t, 'registries:\n- {name: a.io, url: "https://m.io"}\n- {name: b.io, url: "https://m.io"}')
  assert.deepEqual(
    config.registries.map(({ address }) => address),
    ['m.io', 'm.io'],
  )
})

test('A url is no name: another entry may have it', async (t) => {
  const { config } = await loadText(t, 'registries:\n- {name: a.io, url: "https://b.io"}\n- {name: b.io}')
  assert.deepEqual(
    config.registries.map(({ name }) => name),
    ['a.io', 'b.io'],
  )
})

const NAME = 'want a registry: host or host:port'
const URL = 'want http://host[:port] or https://host[:port], with nothing behind it'
const SOURCES = 'want one of password, passwordFromEnv, passwordFile'
const ONE = 'want each name in one entry'

const mistakes: [sentence: string, entries: string, line: string][] = [
  ['An entry needs a name', '- url: https://b.io', `1: registries[0].name: found nothing, ${NAME}`],
  ['An entry is not nothing', '- name: a.io\n-', `2: registries[1].name: found nothing, ${NAME}`],
  [
    'An entry is a map',
    '- quay.io',
    '1: registries[0]: found a single value, want a map with the keys name, aliases, url, description, scheme, auth, tls',
  ],
  ['A name has no blanks', '- name: upstream one', `1: registries[0].name: found "upstream one", ${NAME}`],
  ['A name has no scheme', '- name: https://a.io', `1: registries[0].name: found "https://a.io", ${NAME}`],
  ['A name has no path', '- name: a.io/team', `1: registries[0].name: found "a.io/team", ${NAME}`],
  ['A name has no port beyond 65535', '- name: a.io:65536', `1: registries[0].name: found "a.io:65536", ${NAME}`],
  ['A name is not a list', '- name: [a.io]', `1: registries[0].name: found a list, ${NAME}`],
  ['A password before a name is not shown', '- name: me:secret@a.io', `1: registries[0].name: found "…@a.io", ${NAME}`],
  ['Aliases are a list', '- name: a.io\n  aliases: b.io', '2: registries[0].aliases: found a single value, want a list'],
  ['An alias is a registry', '- name: a.io\n  aliases:\n  - b.io\n  - b/c', `4: registries[0].aliases[1]: found "b/c", ${NAME}`],
  ['An alias is not nothing', '- name: a.io\n  aliases: [""]', `2: registries[0].aliases[0]: found nothing, ${NAME}`],
  [
    'One name has one entry',
    '- name: a.io\n- name: b.io\n- name: A.io',
    `3: registries[2].name: found a.io, which registries[0] (line 1) has already, ${ONE}`,
  ],
  [
    "Docker Hub's names have one entry",
    '- name: docker.io\n- name: registry-1.docker.io',
    `2: registries[1].name: found docker.io, which registries[0] (line 1) has already, ${ONE}`,
  ],
  [
    'A name is no alias of another entry',
    '- name: a.io\n  aliases: [b.io]\n- name: b.io',
    `3: registries[1].name: found b.io, which registries[0] (line 1) has already, ${ONE}`,
  ],
  [
    'An alias has one entry',
    '- name: a.io\n  aliases: [c.io]\n- name: b.io\n  aliases: [c.io]',
    `4: registries[1].aliases: found c.io, which registries[0] (line 1) has already, ${ONE}`,
  ],
  ['A url has a scheme', '- name: a.io\n  url: b.io', `2: registries[0].url: found "b.io", ${URL}`],
  ['A url is http or https', '- name: a.io\n  url: ftp://b.io', `2: registries[0].url: found "ftp://b.io", ${URL}`],
  ['A url has no path', '- name: a.io\n  url: https://b.io/v2', `2: registries[0].url: found "https://b.io/v2", ${URL}`],
  ['A url has no query', '- name: a.io\n  url: https://b.io?ns=x', `2: registries[0].url: found "https://b.io?ns=x", ${URL}`],
  ['A url has no fragment', '- name: a.io\n  url: https://b.io#x', `2: registries[0].url: found "https://b.io#x", ${URL}`],
  [
    'A url has no user, and its password is not shown',
    '- name: a.io\n  url: https://me:secret@b.io',
    `2: registries[0].url: found "https://…@b.io", ${URL}`,
  ],
  [
    'A scheme agrees with the url',
    '- name: a.io\n  url: http://b.io\n  scheme: https',
    '3: registries[0].scheme: found https beside a url with http, want the same or only url',
  ],
  ['A scheme is https or http', '- name: a.io\n  scheme: ftp', '2: registries[0].scheme: found "ftp", want https or http'],
  ['A user needs a password', '- name: a.io\n  auth:\n    user: me', `3: registries[0].auth.user: found without a password, ${SOURCES}`],
  [
    'A user with an empty password needs one',
    '- name: a.io\n  auth:\n    user: me\n    password: ""',
    `3: registries[0].auth.user: found without a password, ${SOURCES}`,
  ],
  ['A password needs a user', '- name: a.io\n  auth:\n    password: x', '3: registries[0].auth.password: found without user, want both'],
  [
    'A password has one source',
    '- name: a.io\n  auth:\n    user: me\n    passwordFromEnv: SET\n    password: x',
    `5: registries[0].auth.password: found beside passwordFromEnv, ${SOURCES}`,
  ],
  [
    'Credentials are a map, and are not shown',
    '- name: a.io\n  auth: me:secret',
    '2: registries[0].auth: found a single value, want a map with the keys user, password, passwordFromEnv, passwordFile, dockerConfig, token',
  ],
  [
    'A password is one value',
    '- name: a.io\n  auth:\n    user: me\n    password: [secret]',
    '4: registries[0].auth.password: found a list, want text',
  ],
  [
    'A password in place of a variable is not shown',
    '- name: a.io\n  auth: {user: me, passwordFromEnv: "p@ss word"}',
    '2: registries[0].auth.passwordFromEnv: found something else, want the name of an environment variable',
  ],
  [
    'A variable that is not set is a mistake',
    '- name: a.io\n  auth: {user: me, passwordFromEnv: NONE}',
    '2: registries[0].auth.passwordFromEnv: found NONE, which is not set in the environment, want a variable with the password',
  ],
  [
    'A variable that is empty is a mistake',
    '- name: a.io\n  auth: {user: me, passwordFromEnv: EMPTY}',
    '2: registries[0].auth.passwordFromEnv: found EMPTY, which is not set in the environment, want a variable with the password',
  ],
  ['A certificate needs a key', '- name: a.io\n  tls:\n    cert: /x', '3: registries[0].tls.cert: found without key, want both or none'],
  ['A key needs a certificate', '- name: a.io\n  tls:\n    key: /x', '3: registries[0].tls.key: found without cert, want both or none'],
  [
    'TLS settings need https',
    '- name: a.io\n  scheme: http\n  tls: {insecureSkipVerify: true}',
    '3: registries[0].tls: found settings for a registry with scheme http, want https or no tls',
  ],
  [
    'TLS settings need a url with https',
    '- name: a.io\n  url: http://b.io\n  tls: {ca: /x}',
    '3: registries[0].tls: found settings for a registry with scheme http, want https or no tls',
  ],
  [
    'insecureSkipVerify is a truth',
    '- name: a.io\n  tls: {insecureSkipVerify: true/false}',
    '2: registries[0].tls.insecureSkipVerify: found "true/false", want true or false',
  ],
]
for (const [sentence, entries, line] of mistakes) {
  // on the line of the key, so that the numbers above are those of the entries
  const text = `registries:\n${entries}`
  test(sentence, (t) => {
    const [number = '', ...rest] = line.split(':')
    return assertMistake(
      t,
      text,
      `config.yaml:${Number(number) + 1}:${rest.join(':')}`.replace(/\(line (\d+)\)/, (_, n) => `(line ${Number(n) + 1})`),
      { env: { EMPTY: '', SET: 'x' } },
    )
  })
}

for (const key of ['tls.ca', 'tls.cert', 'tls.key', 'auth.passwordFile']) {
  test(`A file named by ${key} has to be there and to be a file`, async (t) => {
    const directory = await temporaryDirectory(t)
    await writeFile(join(directory, 'good'), 'x')
    await mkdir(join(directory, 'bad'))
    for (const [name, reason] of [
      ['none', 'no such file or directory'],
      ['bad', 'it is a directory'],
      ['good/x', 'part of its path is no directory'],
    ]) {
      const path = (other: string) => join(directory, key === other ? (name ?? '') : 'good')
      const auth = `auth: {user: me, passwordFile: ${path('auth.passwordFile')}}`
      const tls = `tls: {ca: ${path('tls.ca')}, cert: ${path('tls.cert')}, key: ${path('tls.key')}}`
      const line = `config.yaml:1: registries[0].${key}: cannot read ${path(key)}: ${reason}, want a readable file`
      await assertMistake(t, `registries: [{name: a.io, ${auth}, ${tls}}]`, line)
    }
  })
}
