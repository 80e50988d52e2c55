import assert from 'node:assert/strict'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { parseCommandLine } from '../../src/config/flags.ts'
import { loadConfig } from '../../src/config/load.ts'
import { settings } from '../../src/config/settings.ts'
import { systemClock } from '../../src/observe/clock.ts'
import { temporaryDirectory } from '../support/files.ts'
import { assertMistake, PLATFORM } from './load-text.ts'

/** All that a file may have. */
const KEYS = Object.keys(settings).join(', ')
const REGISTRY_KEYS = 'name, aliases, url, description, scheme, auth, tls'
const PRUNE_KEYS = 'enabled, duration, type, expr, frequency, count, dryRun, dryrun'
const AUTH_KEYS = 'user, password, passwordFromEnv, passwordFile, dockerConfig, token'

const mistakes: [sentence: string, text: string, line: string][] = [
  // keys
  [
    'An unknown key is named with the nearest',
    'logLevel: info\nprot: 80',
    `config.yaml:2: prot: found an unknown key, want port (the nearest) or another of ${KEYS}`,
  ],
  [
    'A key in the wrong case is a slip',
    'imagepath: /x',
    `config.yaml:1: imagepath: found an unknown key, want imagePath (the nearest) or another of ${KEYS}`,
  ],
  [
    'An unknown key like no other is named with those that are allowed',
    'storage: x',
    `config.yaml:1: storage: found an unknown key, want ${KEYS}`,
  ],
  [
    'An unknown key without a value is a mistake, too',
    'prot:',
    `config.yaml:1: prot: found an unknown key, want port (the nearest) or another of ${KEYS}`,
  ],
  ['A key that every object has is unknown, too', 'constructor: x', `config.yaml:1: constructor: found an unknown key, want ${KEYS}`],
  ['A key that is no word is shown in quotes', '"a\\nb": 1', `config.yaml:1: "a\\nb": found an unknown key, want ${KEYS}`],
  ['A merge key is unknown', '<<: {port: 1}', `config.yaml:1: "<<": found an unknown key, want ${KEYS}`],
  [
    'An unknown key of a map is named with its path',
    'pruneConfig:\n  enable: true',
    `config.yaml:2: pruneConfig.enable: found an unknown key, want enabled (the nearest) or another of ${PRUNE_KEYS}`,
  ],
  [
    'An unknown key of a registry is named with its path',
    'registries:\n- name: a.io\n- name: b.io\n  sheme: http',
    `config.yaml:4: registries[1].sheme: found an unknown key, want scheme (the nearest) or another of ${REGISTRY_KEYS}`,
  ],
  [
    'An unknown key deep in a registry is named with its path, not with its value',
    'registries:\n- name: a.io\n  auth:\n    user: me\n    pasword: secret',
    `config.yaml:5: registries[0].auth.pasword: found an unknown key, want password (the nearest) or another of ${AUTH_KEYS}`,
  ],
  [
    'A key that is set twice is named with both lines',
    'port: 1\nhost: localhost\nport: 1',
    'config.yaml:3: port: found a second time (first in line 1), want each key once',
  ],
  [
    'A key that is set twice is a mistake at any depth',
    'registries:\n- name: a.io\n  tls:\n    ca: /x\n    ca: /y',
    'config.yaml:5: registries[0].tls.ca: found a second time (first in line 4), want each key once',
  ],
  // types
  ['A word is no port', 'port: abc', 'config.yaml:1: port: found "abc", want a whole number from 0 to 65535'],
  ['A number in quotes is no number', 'port: "8080"', 'config.yaml:1: port: found "8080", want a whole number from 0 to 65535'],
  ['A port has an upper bound', 'port: 65536', 'config.yaml:1: port: found 65536, want a whole number from 0 to 65535'],
  ['A port is not negative', 'port: -1', 'config.yaml:1: port: found -1, want a whole number from 0 to 65535'],
  ['A fraction is no port', 'port: 80.5', 'config.yaml:1: port: found 80.5, want a whole number from 0 to 65535'],
  ['A list is no port', 'port:\n- 1', 'config.yaml:1: port: found a list, want a whole number from 0 to 65535'],
  ['A map is no port', 'port: {a: 1}', 'config.yaml:1: port: found a map, want a whole number from 0 to 65535'],
  ['A wait of no time is a mistake', 'pullTimeout: 0', 'config.yaml:1: pullTimeout: found 0, want a whole number from 1 to 2147483647'],
  ['A word is no truth', 'airGapped: maybe', 'config.yaml:1: airGapped: found "maybe", want true or false'],
  [
    'A word that every object knows is no truth',
    'airGapped: constructor',
    'config.yaml:1: airGapped: found "constructor", want true or false',
  ],
  ['A truth in quotes is none', 'airGapped: "true"', 'config.yaml:1: airGapped: found "true", want true or false'],
  ['A number is no truth', 'airGapped: 1', 'config.yaml:1: airGapped: found 1, want true or false'],
  ['A truth is no path', 'imagePath: true', 'config.yaml:1: imagePath: found true, want a path'],
  [
    'An unknown level is named with the known ones',
    'logLevel: loud',
    'config.yaml:1: logLevel: found "loud", want debug, info, warn or error',
  ],
  ['An unknown format is named with the known ones', 'logFormat: xml', 'config.yaml:1: logFormat: found "xml", want text or json'],
  [
    'A host comes without a port',
    'host: localhost:80',
    'config.yaml:1: host: found "localhost:80", want an IP address or a host name, without a port',
  ],
  [
    'defaultNs is a registry',
    'defaultNs: library/alpine',
    'config.yaml:1: defaultNs: found "library/alpine", want a registry: host or host:port',
  ],
  [
    'A list where a map is wanted is a mistake',
    'pruneConfig:\n- enabled: true',
    `config.yaml:1: pruneConfig: found a list, want a map with the keys ${PRUNE_KEYS}`,
  ],
  ['A map where a list is wanted is a mistake', 'registries:\n  name: a.io', 'config.yaml:1: registries: found a map, want a list'],
  ['Settings of later features are typed, too', 'health: soon', 'config.yaml:1: health: found "soon", want a whole number from 0 to 65535'],
  [
    'A duration has a unit',
    'pruneConfig: {duration: 30}',
    'config.yaml:1: pruneConfig.duration: found 30, want a duration such as 30d, 12h or 1h30m',
  ],
  [
    'Days do not mix with other units',
    'pruneConfig: {duration: 1d12h}',
    'config.yaml:1: pruneConfig.duration: found "1d12h", want a duration such as 30d, 12h or 1h30m',
  ],
  [
    'Pruning knows three types',
    'pruneConfig: {type: old}',
    'config.yaml:1: pruneConfig.type: found "old", want accessed, created or pattern',
  ],
  ['A word is no configuration file', 'hello', `config.yaml:1: the file: found a single value, want a map with the keys ${KEYS}`],
  [
    'A long value is shown in part',
    `logLevel: ${'x'.repeat(100)}`,
    `config.yaml:1: logLevel: found "${'x'.repeat(60)}…", want debug, info, warn or error`,
  ],
  ['A value of two lines is shown on one', 'logLevel: "a\\nb"', 'config.yaml:1: logLevel: found "a\\nb", want debug, info, warn or error'],
  // order
  [
    'Of several mistakes the first in the file is reported',
    'port: x\nbogus: 1\nlogLevel: y',
    'config.yaml:1: port: found "x", want a whole number from 0 to 65535',
  ],
  [
    'Of several that do not fit together the first in the file is reported',
    'registries:\n- name: a.io\n  tls: {cert: /x}\n- name: a.io',
    'config.yaml:3: registries[0].tls.cert: found without key, want both or none',
  ],
  [
    'Values are judged before what they make together, which may be a consequence',
    'registries:\n- name: a.io\n  tls: {cert: /x}\nport: x',
    'config.yaml:4: port: found "x", want a whole number from 0 to 65535',
  ],
  // TLS towards clients
  [
    'Verifying clients is one of two words',
    'serverTlsConfig: {clientAuth: maybe}',
    'config.yaml:1: serverTlsConfig.clientAuth: found "maybe", want none or verify',
  ],
  // YAML
  [
    'A quote that is never closed is reported where it opens',
    'port: 1\nhost: "x\nlogLevel: info\n',
    "config.yaml:2: host: not YAML: found a quote or bracket that is not closed, or a key without ':'",
  ],
  [
    'A line without a colon is not YAML',
    'port: 1\nhost\n',
    "config.yaml:2: not YAML: found a quote or bracket that is not closed, or a key without ':'",
  ],
  [
    'A second document is not allowed',
    'port: 1\n---\nport: 2\n',
    "config.yaml:2: not YAML: found a second document (after '---'), want one",
  ],
  [
    'A tab does not indent',
    'pruneConfig:\n\tenabled: true',
    'config.yaml:2: enabled: not YAML: found a tab in the indentation, want blanks',
  ],
  [
    'Wrong indentation is not YAML',
    'port: 1\n  host: x',
    'config.yaml:1: port: not YAML: found a value and more keys below it or on its line, want one value for each key',
  ],
  [
    'A reserved character needs quotes, and the value is not shown',
    'registries:\n- name: a.io\n  auth:\n    password: @secret',
    'config.yaml:4: password: not YAML: found a value that begins with a special character, want such a value in quotes',
  ],
  [
    'A tag needs quotes, and the value is not shown',
    'registries:\n- name: a.io\n  auth:\n    password: !secret',
    'config.yaml:4: password: not YAML: found a value that begins with a special character, want such a value in quotes',
  ],
  [
    'A star needs quotes, and the value is not shown',
    'registries:\n- name: a.io\n  auth:\n    password: *secret',
    "config.yaml:4: not YAML: found a value that begins with a special character, want such a value in quotes (or the anchor of '*' above it)",
  ],
  [
    'An alias of what it is in is not YAML',
    'registries: &x\n- *x',
    "config.yaml:2: not YAML: found a '*' within what it stands for, want it elsewhere",
  ],
  ['A key that is a list is not YAML', '? [a]\n: 1', 'config.yaml:1: not YAML: found a key that is no plain word, want key: value'],
  [
    'A bracket too many is not YAML',
    'port: 1\n}\n',
    'config.yaml:2: not YAML: found something left over after a value, or a bracket too many',
  ],
]
for (const [sentence, text, line] of mistakes) test(sentence, (t) => assertMistake(t, text, line))

const load = (file: string) =>
  loadConfig({ flags: parseCommandLine(['--config-file', file]), env: {}, platform: PLATFORM, clock: systemClock })

test('A missing file is named', async (t) => {
  const file = join(await temporaryDirectory(t), 'none.yaml')
  await assert.rejects(load(file), {
    name: 'ConfigError',
    message: `--config-file: cannot read ${file}: no such file or directory, want a YAML file`,
  })
})

test('A directory instead of a file is named', async (t) => {
  const file = join(await temporaryDirectory(t), 'config.yaml')
  await mkdir(file)
  await assert.rejects(load(file), { message: `--config-file: cannot read ${file}: it is a directory, want a YAML file` })
})

test('A file that is no text is named', async (t) => {
  await assertMistake(t, Buffer.from([0xff, 0xfe, 0x70]), '--config-file: cannot read config.yaml: it is no UTF-8 text, want a YAML file')
})

test('A few lines with many aliases do not become a huge tree', { timeout: 5000 }, async (t) => {
  const rows = Array.from({ length: 30 }, (_, i) => `- &a${i + 1} [${Array(10).fill(`*a${i}`).join(', ')}]`)
  await assertMistake(t, `imagePath:\n- &a0 [x]\n${rows.join('\n')}`, 'config.yaml:1: imagePath: found a list, want a path')
})
